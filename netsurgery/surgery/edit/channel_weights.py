"""A layer's weight seen by its input channels, whatever layout it is stored in, and its bias."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from netsurgery.io.shape_text import shape_text
from netsurgery.net import types
from netsurgery.net.net import Layer, Shape
from netsurgery.net.windows import conv_window
from netsurgery.surgery.edit.channel_types import group_of, spreads, takes_all_behind
from netsurgery.surgery.edit.layer_text import own_message
from netsurgery.surgery.edit.session import EditSession, refusal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Wide = NDArray[np.float64]

__all__ = [
    "add_bias",
    "bottom_shape",
    "by_channels",
    "change_weight",
    "is_padded",
    "note_bias",
    "stored",
]

#: Field number of bias_term in ConvolutionParameter and InnerProductParameter.
_BIAS_TERM = 2


def bottom_shape(work: EditSession, layer: Layer) -> Shape:
    """The shape of the layer's bottom, its channels on axis 1. Raises SurgeryError for others."""
    shape = work.shapes.blobs.get(layer.bottoms[0], ())
    axis = own_message(layer).integer("axis", 1, -(2**31))
    if len(shape) < 2 or axis % len(shape) != 1:
        raise refusal(
            layer.name, f"its bottom is {shape_text(shape)} with axis {axis}, expected N x C"
        )
    return shape


def change_weight(work: EditSession, layer: Layer, make: Callable[[Wide], Wide], what: str) -> None:
    """Put the weight through `make`: group x outputs x channels of the group x the rest.

    `make` may give more or fewer channels.
    """
    import numpy as np

    work.refuse_shared(layer.name, 0)
    old = work.peek(layer.name, 0)
    new = make(by_channels(work, layer, old.astype(np.float64)))
    work.set_param(layer.name, 0, stored(layer, new, old.shape))
    work.describe(layer.name, 0, what)


def by_channels(work: EditSession, layer: Layer, weight: Wide) -> Wide:
    """The weight as group x outputs of the group x channels of the group x the rest."""
    channels, group = bottom_shape(work, layer)[1], group_of(work.shapes, layer)
    result: Wide
    if takes_all_behind(layer):
        result = weight.T if types.keeps_turned(layer) else weight
        result = result.reshape(1, len(result), channels, -1)
    elif spreads(layer):
        # A Deconvolution's weight is inputs x outputs of a group: swapped, outputs come first.
        result = weight.reshape(group, channels // group, weight.shape[1], -1).swapaxes(1, 2)
    else:
        result = weight.reshape(group, len(weight) // group, channels // group, -1)
    return result


def stored(layer: Layer, weight: Wide, shape: Shape) -> Wide:
    """The inverse of `by_channels`: as a weight of `shape`, but for the number of channels."""
    result: Wide
    group, outputs, channels = weight.shape[:3]
    if spreads(layer):
        result = weight.swapaxes(1, 2).reshape(group * channels, *shape[1:])
    elif takes_all_behind(layer):
        result = weight.reshape(outputs, -1)
        result = result.T if types.keeps_turned(layer) else result
    else:
        result = weight.reshape(shape[0], channels, *shape[2:])
    return result


def is_padded(work: EditSession, layer: Layer) -> bool:
    """Whether its window also covers zeros around its bottom."""
    if takes_all_behind(layer):
        return False
    return any(conv_window(layer, len(bottom_shape(work, layer)) - 2).pad)


def add_bias(work: EditSession, layer: Layer, values: Wide) -> None:
    """Give a layer of ``bias_term: false`` a bias: the param; `give_bias` does the text."""
    work.set_param(layer.name, 1, values)
    note_bias(work, layer)


def note_bias(work: EditSession, layer: Layer) -> None:
    """Have the layer's own record in the model no longer say that it has no bias."""
    work.fields.setdefault(layer.name, {})[_BIAS_TERM] = ()
