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
    return [
        Finding("settings", "error", f"{settings.path}: {error}")
        for error in (_preprocessing(settings, net, shapes), _labels(settings, net, shapes))
        if error
    ]


def _preprocessing(settings: Settings, net: Net, shapes: Shapes) -> str:
    given = (settings.mean, settings.channel_swap, settings.raw_scale, settings.input_scale)
    if all(one is None for one in given):
        return ""
    if 0 in (settings.raw_scale, settings.input_scale):
        return "a scale of 0 leaves nothing of a picture"
    images = [shapes.blobs.get(one.name) or () for one in net.inputs]
    channels = [shape[1] for shape in images if len(shape) == 4]
    # The transformer needs numpy, which most checks do not.
    from netsurgery.maps.mapper import make_transformer

    try:
        if channels:
            make_transformer(settings, channels[0])
    except NetsurgeryError as error:
        return str(error)
    return ""


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
