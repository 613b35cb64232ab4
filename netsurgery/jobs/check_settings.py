"""A net held against the netsurgery.toml that names it: preprocessing and labels."""

from __future__ import annotations

from pathlib import Path

from netsurgery.errors import FormatError, NetsurgeryError
from netsurgery.formats.labels import read_labels
from netsurgery.formats.settings import Settings, find_settings, load_settings
from netsurgery.jobs.check_schema import Finding
from netsurgery.net.net import Net
from netsurgery.net.shapes import Shapes

__all__ = ["settings_findings", "settings_of"]


def settings_of(prototxt: Path) -> tuple[Settings | None, list[Finding]]:
    """The settings that are of this net, and what is wrong with the file.

    Those are of the nearest netsurgery.toml in its folder or above, if it names this net, or none
    and lies beside it.
    """
    if str(prototxt) == "-":
        return None, []
    path = find_settings(prototxt.absolute().parent)
    if path is None:
        return None, []
    beside = path.parent.resolve() == prototxt.absolute().parent.resolve()
    try:
        found = load_settings(path)
    except FormatError as error:
        return None, [Finding.of("settings", "error", error)] if beside else []
    if found.prototxt is None:
        return (found if beside else None), []
    return (found if found.prototxt.resolve() == prototxt.resolve() else None), []


def settings_findings(settings: Settings, net: Net, shapes: Shapes) -> list[Finding]:
    """What does not fit: the mean and the channels' order, the labels."""
    found = [_preprocessing(settings, net, shapes), ("error", _labels(settings, net, shapes))]
    return [Finding("settings", level, f"{settings.path}: {what}") for level, what in found if what]


def _preprocessing(settings: Settings, net: Net, shapes: Shapes) -> tuple[str, str]:
    """What is wrong, or to be known, of the mean, the channels' order and the scales."""
    given = (settings.mean, settings.channel_swap, settings.raw_scale, settings.input_scale)
    if all(one is None for one in given):
        return "", ""
    if 0 in (settings.raw_scale, settings.input_scale):
        return "error", "a scale of 0 leaves nothing of a picture"
    inputs = [shapes.blobs.get(one.name) or () for one in net.inputs]
    images = [shape for shape in inputs if len(shape) == 4]
    if not images:
        return "", ""
    # The transformer needs numpy, which most checks do not.
    from netsurgery.maps.mapper import make_transformer

    _, channels, height, width = images[0]
    try:
        note = make_transformer(settings, channels).mean_for((height, width))[1]
    except NetsurgeryError as error:
        return "error", str(error)
    return "note", note or ""


def _labels(settings: Settings, net: Net, shapes: Shapes) -> str:
    if settings.labels is None:
        return ""
    try:
        labels = read_labels(settings.labels)
    except FormatError as error:
        return str(error)
    known = {blob: shape for blob in net.outputs if len(shape := shapes.blobs.get(blob, ())) > 1}
    if not known or any(shape[1] == len(labels) for shape in known.values()):
        return ""
    blob, shape = list(known.items())[-1]
    try:
        labels.check(shape[1], blob)
    except FormatError as error:
        return str(error)
    return ""
