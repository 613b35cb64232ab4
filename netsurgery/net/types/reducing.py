"""Types that make one number of many: ArgMax, Reduction."""

from __future__ import annotations

from math import prod

from netsurgery.io.wording import counted
from netsurgery.net import geometry
from netsurgery.net.geometry import ReceptiveField
from netsurgery.net.layer import Layer, Shape
from netsurgery.net.types.axes import axis_of
from netsurgery.net.types.fields import with_size
from netsurgery.net.types.record import Channels, Result, Signs, Space, Values
from netsurgery.net.types.seen import Seen, first_field, whole_field
from netsurgery.net.types.shaping import moving

__all__ = ["ARGMAX", "REDUCTION", "TYPES", "map_mean"]


def _argmax(layer: Layer, bottoms: list[Shape]) -> Result:
    message, shape = layer.param("argmax_param"), bottoms[0]
    top_k, with_value = message.integer("top_k", 1, 1), message.boolean("out_max_val", False)
    axis = axis_of(layer, message, shape, 0) if message.scalar("axis") else None
    count = prod(shape[1:]) if axis is None else shape[axis]
    if top_k > count:
        raise layer.error(f"top_k {top_k} of {counted(count, 'element')}")
    if axis is not None:
        return [with_size(shape, axis, top_k)], []
    # Without an axis Caffe gives N x 1 x top_k, or N x 2 x top_k with the values.
    axes = max(len(shape), 3)
    top = [1] * axes
    top[0], top[2] = shape[0], top_k
    if with_value:
        top[1] = 2
    return [tuple(top)], []


def _reduction(layer: Layer, bottoms: list[Shape]) -> Result:
    # reduction_layer.cpp reduces the axis and all after it; there is no way to end before.
    return [bottoms[0][: axis_of(layer, layer.param("reduction_param"), bottoms[0], 0)]], []


def map_mean(layer: Layer, shape: Shape) -> bool:
    """Whether a Reduction gives the mean over height and width of its bottom, of `shape`."""
    message = layer.param("reduction_param")
    # The schema's numbers begin at 1, with SUM.
    mean = message.word("operation", "SUM") in ("MEAN", "4") and message.number("coeff", 1.0) == 1
    return mean and len(shape) == 4 and axis_of(layer, message, shape, 0) == 2


def _argmax_field(seen: Seen, layer: Layer) -> ReceptiveField | None:
    first, message = first_field(seen, layer), layer.param("argmax_param")
    shape = seen.shapes[layer.bottoms[0]]
    if first is None or not message.scalar("axis"):
        return first and geometry.whole(first, seen.size(layer.bottoms[0]))
    return first if axis_of(layer, message, shape, 0) < 2 else None


def _reduction_channels(layer: Layer) -> Channels:
    axis = layer.param("reduction_param").integer("axis", 0, -(2**31))
    return Channels.ALIKE if axis > 1 else Channels.MIXING


def _reduction_field(seen: Seen, layer: Layer) -> ReceptiveField | None:
    shape = seen.shapes[layer.bottoms[0]]
    axis = axis_of(layer, layer.param("reduction_param"), shape, 0)
    return whole_field(seen, layer) if axis < 3 else None


REDUCTION = moving(
    "Reduction",
    "reduction_param",
    _reduction,
    space=Space.MIXING,
    channels=_reduction_channels,
    values=Values.HIDDEN,
    field=_reduction_field,
    signs=Signs.ANY,  # its coeff
)

ARGMAX = moving(
    "ArgMax",
    "argmax_param",
    _argmax,
    space=Space.POINTWISE,
    channels=Channels.ALONG,
    values=Values.HIDDEN,
    field=_argmax_field,
)

TYPES = (ARGMAX, REDUCTION)
