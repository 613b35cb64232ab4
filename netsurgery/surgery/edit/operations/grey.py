"""A net for color pictures turned into one for grey pictures, and back.

rgb-to-grey        one input channel for three: W' = the sum of W over its channels
grey-to-rgb:WORD   three for one: W'c = wc W

After ``rgb-to-grey`` a net gives for a grey picture what it gave for that picture in all three
channels. After ``grey-to-rgb`` it gives for a color picture x what it gave for the grey picture
w0 x0 + w1 x1 + w2 x2. Both hold with padding too, up to the rounding of the weights.

The weights w are in the order of the new net's channels. They are those of ITU-R BT.601, red .299,
green .587, blue .114, as in OpenCV's grey (which Caffe reads grey pictures with): ``bgr`` (the
default) or ``rgb`` is the order. ``mean`` is a third each; three numbers are the weights
themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from netsurgery.errors import SurgeryError
from netsurgery.io.wording import counted
from netsurgery.surgery.edit.channel_types import group_of
from netsurgery.surgery.edit.channel_weights import change_weight
from netsurgery.surgery.edit.cut_params import edit_as_expected
from netsurgery.surgery.edit.layer_text import other_phases_read
from netsurgery.surgery.edit.operations.first_layers import (
    Passing,
    alike,
    first_layers,
    image_blobs,
    image_of,
    unchanged,
)
from netsurgery.surgery.edit.operations.record import Argument, Form, Operation
from netsurgery.surgery.edit.session import EditSession, refusal
from netsurgery.surgery.edit.values.record import parse_number

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Wide = NDArray[np.float64]

__all__ = ["OPERATIONS", "grey_to_rgb", "rgb_to_grey"]

_BGR = (0.114, 0.587, 0.299)

_SHARES = {
    "": _BGR,
    "bgr": _BGR,
    "rgb": _BGR[::-1],
    "mean": (1 / 3, 1 / 3, 1 / 3),
}


def rgb_to_grey(work: EditSession, argument: str) -> None:
    """Sum the first layers' weights over the three channels of the image.

    Raises SurgeryError for an input of other than three channels, and where something else reads
    them.
    """
    _change(
        work,
        (3, 1),
        alike,
        lambda weight: weight.sum(axis=2, keepdims=True),
        "weights of three input channels summed",
    )
    work.notes.append(
        "the net takes one channel now, and gives what it gave for that channel in all three; "
        "a mean of three values has to be folded in before (fold-mean), and its preprocessing to "
        "follow (no channel swap)"
    )


def grey_to_rgb(work: EditSession, argument: str) -> None:
    """Share the first layers' weights out to three channels.

    argument: "bgr" ("" too), "rgb", "mean", or three numbers. Raises SurgeryError for an input of
    other than one channel, and where something else reads it.
    """
    import numpy as np

    shares = _shares(argument)
    text = ", ".join(f"{share:.4g}" for share in shares)
    column = np.array(shares).reshape(1, 1, 3, 1)
    _change(
        work,
        (1, 3),
        unchanged,
        lambda weight: weight * column,
        f"weights times {text} for three input channels",
    )
    work.notes.append(
        f"the net takes three channels now, and makes one of them by {text} in the order they come "
        "in; its preprocessing has to follow"
    )


def _shares(argument: str) -> tuple[float, ...]:
    if argument in _SHARES:
        return _SHARES[argument]
    numbers = [parse_number(piece) for piece in argument.split(",")]
    shares = tuple(number for number in numbers if number is not None)
    if len(numbers) != 3 or len(shares) != 3:
        raise SurgeryError(f"found {argument!r}, expected bgr, rgb, mean or three numbers")
    return shares


def _change(
    work: EditSession,
    channels: tuple[int, int],
    passing: Passing,
    make: Callable[[Wide], Wide],
    what: str,
) -> None:
    """Put the first layers' weights through `make`; the image has other channels then."""
    old, new = channels
    image = image_of(work)
    count = image.shape[1] if image.shape is not None else 0
    if count != old:
        raise SurgeryError(
            f"the net's input {image.name!r} has {counted(count, 'channel')}, expected {old}"
        )
    for layer in first_layers(work, passing, "the number of its channels"):
        if group_of(work.shapes, layer) != 1:
            raise refusal(layer.name, "its channels are in groups, each with filters of its own")
        change_weight(work, layer, make, what)
    blobs = {}
    for name in image_blobs(work, passing):
        if reader := other_phases_read(work.net, name):
            raise SurgeryError(f"layer {reader!r} of another phase or stage names {name!r}")
        batch, _, *rest = work.shapes.of(name)
        blobs[name] = (batch, new, *rest)
    edits = work.net.prototxt.edits()
    if len(image.dims) < 2:
        raise SurgeryError(f"the prototxt declares no shape for its input {image.name!r}")
    edits.replace(image.dims[1].start, image.dims[1].end, str(new))
    edit_as_expected(work, edits, blobs)


OPERATIONS = (
    Operation(
        "rgb-to-grey",
        rgb_to_grey,
        (
            Form(
                "rgb-to-grey",
                "One input channel for three: gives for a grey picture what the net gave for it "
                "in all three channels. After fold-mean.",
            ),
        ),
        "rgb-to-grey",
        Argument.NONE,
    ),
    Operation(
        "grey-to-rgb",
        grey_to_rgb,
        (
            Form(
                "grey-to-rgb[:bgr]",
                "Three input channels for one, weighted by .114, .587, .299 (BGR).",
            ),
            Form("grey-to-rgb:rgb", "The same weights for RGB."),
            Form("grey-to-rgb:mean", "A third of each channel."),
            Form("grey-to-rgb:A,B,C", "Three weights, in the order of the channels."),
        ),
        "grey-to-rgb:rgb",
    ),
)
