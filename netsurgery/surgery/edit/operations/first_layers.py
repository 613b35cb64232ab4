"""Preprocessing folded into the weights of the first layers.

The first layers are the Convolution, Deconvolution and InnerProduct layers that read the net's
image. With y = W * (s (x - m)) + b:

swap-input-channels   W with its three input channels reversed: BGR for RGB
fold-scale:s          W times s
fold-mean:m           b minus the sum of W times m; a bias is added where there is none

A mean of one value for each channel is exact for a Convolution without padding, where every
window covers the whole mean; a mean picture is exact for an InnerProduct. With padding, zeros are
no longer the mean, so the result differs at the borders: only `padding=approximate` allows that.
None is idempotent: repeated, each is applied again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from netsurgery.errors import SurgeryError
from netsurgery.io.shape_text import shape_text
from netsurgery.io.wording import counted
from netsurgery.net import types
from netsurgery.net.known_fields import check_fields
from netsurgery.net.net import Layer, NetInput, Shape
from netsurgery.net.shapes import Shapes
from netsurgery.net.types.record import Channels, Role
from netsurgery.surgery.edit.channel_types import (
    group_of,
    is_linear,
    looks_at_values,
    mixes,
    spreads,
    takes_all_behind,
)
from netsurgery.surgery.edit.channel_weights import (
    add_bias,
    bottom_shape,
    by_channels,
    change_weight,
    is_padded,
)
from netsurgery.surgery.edit.layer_text import give_bias, own_message
from netsurgery.surgery.edit.operations.record import Argument, Form, Operation
from netsurgery.surgery.edit.session import EditSession, refusal
from netsurgery.surgery.edit.values.record import parse_number

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Wide = NDArray[np.float64]

__all__ = [
    "OPERATIONS",
    "Passing",
    "alike",
    "first_layers",
    "fold_mean",
    "fold_scale",
    "image_blobs",
    "image_of",
    "swap_input_channels",
    "unchanged",
]

#: Whether a layer may stand between the input and a first layer.
Passing = Callable[[Shapes, Layer], bool]

_APPROXIMATE = ":padding=approximate"


def alike(shapes: Shapes, layer: Layer) -> bool:
    """Whether the layer does the same to every channel of its one bottom."""
    several = [role for role in types.roles(layer) if role is not Role.SIZE]
    same = types.channels(layer) is Channels.ALIKE and not mixes(shapes, layer, 1)
    return same and several == [Role.VALUE]


def unchanged(shapes: Shapes, layer: Layer) -> bool:
    """Whether the layer's top is its bottom, number by number."""
    return alike(shapes, layer) and types.keeps_values(layer)


def swap_input_channels(work: EditSession, name: str) -> None:
    """Reverse the three input channels in the first layers, or in layer `name` alone.

    Raises SurgeryError for an input of other than three channels, and for readers of it whose
    channels cannot be reversed.
    """
    named = [work.layer(name)] if name else None
    for layer in named or first_layers(work, alike, "the order of its channels"):
        if not is_linear(layer):
            expected = "Convolution, Deconvolution, InnerProduct"
            raise refusal(layer.name, f"it is of type {layer.type}, expected {expected}")
        channels = bottom_shape(work, layer)[1]
        if channels != 3:
            count = counted(channels, "channel")
            raise refusal(layer.name, f"its input has {count}, expected 3")
        if group_of(work.shapes, layer) != 1:
            raise refusal(layer.name, "its channels are in groups, each with filters of its own")
        change_weight(
            work, layer, lambda weight: weight[:, :, ::-1], "input channels in opposite order"
        )
    work.notes.append(
        "the net takes its channels in the opposite order now; its preprocessing has to follow "
        "(the channel swap)"
    )


def fold_scale(work: EditSession, argument: str) -> None:
    """Multiply the first layers' weights by the number: the input is no longer scaled by it."""
    number = parse_number(argument)
    if number is None or number == 0:  # divided by 0 no input would be left
        raise SurgeryError(f"found {argument!r}, expected a number other than 0")
    for layer in first_layers(work, unchanged, "the scale of its values"):
        change_weight(work, layer, lambda weight: weight * number, f"weights times {number:g}")
    work.notes.append(f"the net takes what it took before divided by {number:g}")


def fold_mean(work: EditSession, argument: str) -> None:
    """Take the mean into the first layers' biases: the input comes as it is.

    argument: one value a channel ("104,117,123"), one for all, or a mean file, in the net's own
    scale and order; ``:padding=approximate`` after it lets padded layers pass. Raises
    SurgeryError, MeanError.
    """
    from netsurgery.formats.mean import load_mean

    approximate = argument.endswith(_APPROXIMATE)
    spec = argument.removesuffix(_APPROXIMATE)
    mean = load_mean(spec)
    work.read_files.append(spec)
    layers = first_layers(work, unchanged, "the mean of its values")
    # All computed before any param is set: what can be refused here is refused before that.
    shifts = [_shift(work, layer, mean.astype(float), approximate) for layer in layers]
    edits = work.net.prototxt.edits()
    for layer, shift in zip(layers, shifts, strict=True):
        work.refuse_shared(layer.name, 1)
        if own_message(layer).boolean("bias_term", True):
            old = work.peek(layer.name, 1)
            work.set_param(layer.name, 1, old - shift.reshape(old.shape))
        else:
            add_bias(work, layer, -shift)
            give_bias(edits, layer)
        kind = " (approximate at the borders: it is padded)" if is_padded(work, layer) else ""
        work.describe(layer.name, 1, f"bias less the mean's share{kind}")
    work.edited(edits)
    work.notes.append("the net takes its input without the mean taken off (no mean any more)")


def image_blobs(work: EditSession, passing: Passing) -> set[str]:
    """The net's image, and what `passing` layers make of it."""
    blobs = {image_of(work).name}
    for layer in work.net.layers:
        if passing(work.shapes, layer) and _reads_values(layer, blobs):
            check_fields(layer)
            blobs.update(layer.tops)
    return blobs


def first_layers(work: EditSession, passing: Passing, what: str) -> list[Layer]:
    """The layers with weights that read the net's image, through `passing` layers or not.

    Raises SurgeryError where another layer looks at `what` of the image.
    """
    blobs = image_blobs(work, passing)
    first: list[Layer] = []
    for layer in work.net.layers:
        if not _reads_values(layer, blobs) or passing(work.shapes, layer):
            continue
        if not is_linear(layer) or len(layer.bottoms) > 1:
            raise refusal(
                layer.name, f"it ({layer.type}) also reads the input, so {what} cannot be changed"
            )
        check_fields(layer)
        bottom_shape(work, layer)
        first.append(layer)
    if not first:
        raise SurgeryError(f"no layer with weights reads the net's input {image_of(work).name!r}")
    outputs = sorted(blobs.intersection(work.net.outputs))
    if outputs:
        raise SurgeryError(f"the input is itself an output of the net, as {outputs[0]!r}")
    return first


def _reads_values(layer: Layer, blobs: Collection[str]) -> bool:
    """Whether one of `blobs` is more to the layer than a size."""
    return any(
        bottom in blobs and looks_at_values(layer, index)
        for index, bottom in enumerate(layer.bottoms)
    )


def image_of(work: EditSession) -> NetInput:
    """The net's one input of pictures. Raises SurgeryError where there is none, or several."""
    images = [each for each in work.net.inputs if each.shape is not None and len(each.shape) > 1]
    if len(images) > 1:
        # Of several, only pictures count: rois, sequence markers and the like have fewer axes.
        images = [each for each in images if len(each.shape or ()) == 4]
    if len(images) != 1:
        names = ", ".join(repr(each.name) for each in work.net.inputs) or "none"
        raise SurgeryError(f"the net has no one image among its inputs ({names})")
    return images[0]


def _shift(work: EditSession, layer: Layer, mean: Wide, approximate: bool) -> Wide:
    """The sum of W times the mean, for each output."""
    import numpy as np

    shape = bottom_shape(work, layer)
    if spreads(layer):
        raise refusal(
            layer.name,
            "the mean after a Deconvolution differs by position, so no bias can replace it",
        )
    if is_padded(work, layer) and not approximate:
        raise refusal(
            layer.name,
            "it is padded, so no bias gives the same at the borders",
            f"{_APPROXIMATE[1:]} after another colon allows it",
        )
    weight = by_channels(work, layer, work.peek(layer.name, 0).astype(np.float64))
    values = _values(layer, mean, shape)
    if values.ndim == 3 and not takes_all_behind(layer):
        means = ",".join(f"{value:g}" for value in mean.reshape(len(mean), -1).mean(axis=1))
        raise refusal(
            layer.name,
            "a mean picture is not the same at every place of a Convolution",
            f"its values a channel are {means}",
        )
    grouped = values.reshape(weight.shape[0], 1, weight.shape[2], -1)
    shift: Wide = (weight * grouped).sum(axis=(2, 3)).ravel()
    return shift


def _values(layer: Layer, mean: Wide, shape: Shape) -> Wide:
    """The mean as C values, or as the C x H x W of the layer's bottom."""
    import numpy as np

    # C x 1 x 1, as some mean files have it, is one value a channel.
    if mean.ndim == 3 and mean.shape[1:] == (1, 1):
        mean = mean[:, 0, 0]
    if mean.ndim == 1 and len(mean) in (1, shape[1]):
        return np.broadcast_to(mean, (shape[1],))
    inner = takes_all_behind(layer)
    if mean.ndim == 3 and (mean.shape == shape[1:] if inner else mean.shape[0] == shape[1]):
        return mean
    raise refusal(
        layer.name, f"a mean of {shape_text(mean.shape)}; its bottom is {shape_text(shape)}"
    )


OPERATIONS = (
    Operation(
        "swap-input-channels",
        swap_input_channels,
        (
            Form(
                "swap-input-channels[:LAYER]",
                "BGR for RGB: the input channels of the first layers, or of LAYER, reversed.",
            ),
        ),
        "swap-input-channels",
        structural=False,
    ),
    Operation(
        "fold-scale",
        fold_scale,
        (
            Form(
                "fold-scale:NUMBER",
                "The input's scale into the first weights. Before fold-mean: Caffe's input is "
                "(x - mean) * scale.",
            ),
        ),
        "fold-scale:0.017",
        Argument.REQUIRED,
        structural=False,
    ),
    Operation(
        "fold-mean",
        fold_mean,
        (
            Form(
                "fold-mean:MEAN",
                "The mean, a value for each channel or a mean file, into the first biases.",
            ),
            Form(
                "fold-mean:MEAN:padding=approximate",
                "The same where a first layer is padded; inexact at the borders.",
            ),
        ),
        "fold-mean:104,117,123",
        Argument.REQUIRED,
    ),
)
