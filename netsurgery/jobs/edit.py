"""Edits of a net and its weights: the new files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from netsurgery.errors import SurgeryError
from netsurgery.formats.caffemodel import Caffemodel
from netsurgery.formats.caffemodel_write import check_written, planned, rewrite
from netsurgery.formats.prototxt import Prototxt
from netsurgery.formats.weights import WeightsFile, check_size, is_hdf5_name, write_weights
from netsurgery.io.files import Output, Outputs
from netsurgery.io.npy import npy_bytes
from netsurgery.surgery.edit.plan import EditPlan
from netsurgery.surgery.edit.weights import new_layers

__all__ = ["EditPlaces", "check_edit_places", "write_edit"]


@dataclass(frozen=True)
class EditPlaces:
    """Where the outputs go; `prototxt` is None where no new prototxt is wanted."""

    weights: Path
    prototxt: Path | None = None


def check_edit_places(plan: EditPlan, places: EditPlaces) -> None:
    """Raise SurgeryError where the net changes and its new prototxt has no place to go."""
    if plan.text is not None and places.prototxt is None:
        raise SurgeryError(
            f"{plan.net.prototxt.path}: the net's structure changes with its weights; "
            "say where the new prototxt goes with --prototxt-out"
        )


def write_edit(
    plan: EditPlan,
    model: WeightsFile,
    places: EditPlaces,
    *,
    force: bool = False,
    progress: Callable[[int], None] | None = None,
) -> tuple[str, ...]:
    """Write what `plan` says; returns the files written.

    What no operation named is copied byte for byte where both files are caffemodels. `model` is
    the open file that the plan was made with. progress: called with the bytes of weights written.
    Raises SurgeryError, OutputError; nothing is written then.
    """
    check_edit_places(plan, places)
    paths: list[str | Path] = [places.weights, *plan.saved]
    paths += [] if places.prototxt is None else [places.prototxt]
    net = plan.net.prototxt
    with Outputs(paths, inputs=[net.path, model.path], force=force) as outputs:
        for name, array in plan.saved.items():
            outputs[name].write(npy_bytes(array))
        if places.prototxt is not None:
            text = net.text if plan.text is None else plan.text
            outputs[places.prototxt].write(Prototxt.parse(text).to_bytes())
        _write_weights(plan, model, outputs[places.weights], progress)
    return tuple(map(str, paths))


def _write_weights(
    plan: EditPlan, model: WeightsFile, output: Output, progress: Callable[[int], None] | None
) -> None:
    if isinstance(model, Caffemodel) and not is_hdf5_name(output.path):
        segments = rewrite(model, plan.changes)
        check_size(segments, output.path)
        output.write_segments(segments, progress)
        check_written(Path(output.temporary), planned(model, plan.changes))
    else:
        layers = new_layers(model, plan.changes, plan.net)
        write_weights(output, layers, net_name=model.net_name or plan.net.name, progress=progress)
