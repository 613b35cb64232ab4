"""What becomes of netsurgery.toml when a net is converted."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from netsurgery.errors import FormatError, SettingsError, UntrustedError
from netsurgery.formats.settings import Settings
from netsurgery.net.shapes import infer
from netsurgery.surgery.convolution.plan import ConvolutionPlan

__all__ = ["SettingsOutcome", "check_settings", "plan_settings"]


class SettingsOutcome(NamedTuple):
    """The text to write, or None and why none is written.

    of_this_net: whether the file, written or kept, names the new net.
    """

    text: str | None
    note: str = ""
    of_this_net: bool = False


def check_settings(plan: ConvolutionPlan, settings: Settings) -> None:
    """Read the files that the settings name, so that a wrong one is reported now, not by the map.

    Raises FormatError and its children.
    """
    if settings == Settings():
        return
    from netsurgery.formats.settings_fit import check_pixels, file_named

    for image in plan.inputs:
        check_pixels(settings, image.old[1])
    labels = None
    if settings.labels is not None:
        from netsurgery.formats.labels import load_labels

        labels = load_labels(settings.labels)
    named = labels is not None or settings.background is not None
    for blob, classes in _classes(plan) if named else ():
        if labels is not None:
            labels.check(classes, blob)
        if settings.background is not None:
            from netsurgery.maps.class_names import ClassNames

            with file_named(settings, "background"):
                ClassNames(classes, labels, blob).find_background(settings.background)


def _classes(plan: ConvolutionPlan) -> Iterator[tuple[str, int]]:
    """The map that classify-map takes by default, and its channels, the classes; or nothing."""
    for blob, shape in list(plan.maps.items())[-1:]:
        ranks = plan.new.ranked_by(blob)
        if ranks is None:
            yield blob, shape[1]
        else:
            scores = infer(plan.new).blobs.get(ranks.bottoms[0], ())
            yield from [(ranks.bottoms[0], scores[1])] if len(scores) == 4 else []


def plan_settings(
    plan: ConvolutionPlan, settings: Settings, path: Path, prototxt: Path, weights: Path
) -> SettingsOutcome:
    """What to write to `path`, the netsurgery.toml beside the outputs.

    One that is there already is kept. Names that TOML cannot hold (not UTF-8) leave it out.
    """
    if os.path.exists(path):
        return _left_alone(path, settings, prototxt)
    # The key `window` has one size, and does not say for which input. Cells of an activation map
    # lie by what they see.
    window = None
    if len(plan.inputs) == 1 and not plan.activation_maps:
        window = plan.inputs[0].window
    new_settings = replace(
        settings,
        prototxt=prototxt,
        weights=weights,
        window=window,
        # None leaves the key out of the file.
        stages=plan.net.given_stages or None,
        level=plan.net.state.level or None,
    )
    try:
        return SettingsOutcome(new_settings.to_toml(path.parent), of_this_net=True)
    except SettingsError as error:
        return SettingsOutcome(None, f"no {path.name} is written: {error}")


def _left_alone(path: Path, settings: Settings, prototxt: Path) -> SettingsOutcome:
    sentence = f"{path} is there already and was kept as it is"
    from netsurgery.formats.found_settings import load_found

    try:
        # None: nobody has said here that it is to be trusted.
        names = load_found(path, None, ["prototxt"]).prototxt
    except UntrustedError:
        note = f"{sentence}, but other users can change it: it is used with --trust-config only"
        return SettingsOutcome(None, note)
    except FormatError:
        return SettingsOutcome(None, f"{sentence}, but it cannot be read")
    this_net = names is not None and names.resolve() == prototxt.resolve()
    if names is not None and not this_net:
        sentence += f": it names another net, {names.name}"
    ignored = "; the preprocessing given now is not in it" if settings != Settings() else ""
    return SettingsOutcome(None, sentence + ignored, of_this_net=this_net)
