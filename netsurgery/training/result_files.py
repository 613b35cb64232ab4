"""What a finished run leaves in its folder: the net in use, its weights, and their settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from netsurgery.errors import FormatError, NetError
from netsurgery.formats.labels import Labels
from netsurgery.formats.settings import SETTINGS_NAME, Settings
from netsurgery.io.files import Outputs
from netsurgery.maps.class_names import ClassNames
from netsurgery.training.plan import TrainingPlan
from netsurgery.training.training_net import TrainingNet

__all__ = ["DEPLOY", "MODEL", "write_results"]

DEPLOY, MODEL, LABELS = "deploy.prototxt", "model.caffemodel", "labels.txt"


def write_results(
    folder: Path, plan: TrainingPlan, net: TrainingNet, save: Callable[[Path], None]
) -> tuple[str, ...]:
    """Write the trained net; the files, the prototxt last, as it implies the others.

    save: writes the weights to a path. Files of an earlier run of this folder are replaced.
    Raises OutputError, and what `save` raises.
    """
    model, labels, settings, deploy = (
        folder / name for name in (MODEL, LABELS, SETTINGS_NAME, DEPLOY)
    )
    said = Settings(**plan.settings)
    new = replace(
        said,
        prototxt=deploy,
        weights=model,
        labels=labels,
        background=_background(plan),
        window=plan.window,
    )
    files = (model, labels, settings, deploy)
    with Outputs(files, force=True) as outputs:
        save(Path(outputs[model].temporary))
        outputs[labels].write("".join(f"{name}\n" for name in plan.names).encode())
        outputs[settings].write(new.to_toml(folder).encode())
        outputs[deploy].write(net.deploy.prototxt.to_bytes())
    return tuple(map(str, files))


def _background(plan: TrainingPlan) -> str:
    """The name that finds the background's class; its number where that finds another."""
    labels = Labels(LABELS, plan.names)
    name = plan.names[plan.background]
    try:
        number = ClassNames(len(labels), labels, LABELS).find_background(name)
    except (FormatError, NetError):
        number = None
    return name if number == plan.background else str(plan.background)
