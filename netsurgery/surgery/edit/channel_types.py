"""What the records of layer types say about channels; the rules of `paths` ask here."""

from __future__ import annotations

from enum import Enum

from netsurgery.net import types
from netsurgery.net.layer import Layer, Shape
from netsurgery.net.shapes import Shapes
from netsurgery.net.types.record import Channels, ParamRole, Role, Space, Values, WeightLayout
from netsurgery.surgery.edit.cuts import Cut
from netsurgery.surgery.edit.follow import Follower
from netsurgery.surgery.edit.layer_text import own_message

__all__ = [
    "Path",
    "axis_in",
    "channel_axis",
    "gate_axes",
    "gate_axis",
    "group_of",
    "inputs_first",
    "is_linear",
    "is_weighted",
    "looks_at_values",
    "mixes",
    "normalizes",
    "outputs_of",
    "param_axes",
    "path_of",
    "spreads",
    "takes_all_behind",
    "takes_size_from",
]


class Path(Enum):
    """What becomes of a channel."""

    SAME = "a channel of every bottom is that channel of every top"
    WEIGHTED = "outputs are computed from all channels"
    JOINED = "the channels of all bottoms one after another"
    DIVIDED = "the bottom's channels are shared out to the tops"
    RESHAPED = "the same numbers on other axes"
    PERMUTED = "the axes in another order"
    SHUFFLED = "the channels in another order"
    COMPARED = "each channel's share of them all"
    RANKED = "the numbers of the largest channels"


def path_of(layer: Layer) -> Path | None:
    """What the layer does with channels; None where that is not known, or cannot be followed."""
    record = types.of(layer)
    # Params that are not known might go by channel.
    if record is None or record.training or types.params(layer) is None:
        return None
    if is_weighted(layer):
        return Path.WEIGHTED
    match types.channels(layer):
        case Channels.ALIKE | Channels.BY_CHANNEL:
            return Path.SAME
        case Channels.ALONG:
            return _along(layer)
        case Channels.MIXING:
            return _mixing(layer)
        case _:
            return None


def _along(layer: Layer) -> Path | None:
    """Of a layer that looks along an axis that its message names."""
    values = types.values(layer)
    if values is Values.CHANGED:
        return Path.SAME
    if values is Values.MOVED:
        # A Concat takes several bottoms, a Slice one.
        (_, most), _ = types.counts(layer) or ((0, 0), (0, 0))
        return Path.JOINED if most > 1 else Path.DIVIDED
    return Path.RANKED if types.is_a(layer, types.ARGMAX) else Path.COMPARED


def _mixing(layer: Layer) -> Path | None:
    """Of a layer whose channels depend on one another, or change places."""
    values = types.values(layer)
    if values is Values.KEPT:
        return Path.RESHAPED
    if types.reorders_axes(layer):
        return Path.PERMUTED
    return Path.SHUFFLED if types.is_a(layer, types.SHUFFLE) else None


def normalizes(shapes: Shapes, layer: Layer) -> bool:
    """Whether each channel of its top is that of its bottom, divided by something of them all."""
    if (len(layer.bottoms), len(layer.tops)) != (1, 1) or is_weighted(layer):
        return False
    # HIDDEN: vectors of one direction become the same (SSD's Normalize).
    computed = types.values(layer) in (Values.CHANGED, Values.HIDDEN)
    bottom, top = (shapes.blobs.get(blob) for blob in (*layer.bottoms, *layer.tops))
    same = bottom is not None and bottom == top
    return types.channels(layer) is Channels.MIXING and computed and same


def mixes(shapes: Shapes, layer: Layer, axis: int) -> str:
    """Why the layer, otherwise alike, is not so over this axis; "" where it is."""
    alike = types.channels(layer) is Channels.ALIKE
    if axis == 0 and alike and types.values(layer) is Values.MOVED:  # a BatchReindex
        return "picks along axis 0"
    if types.space(layer) in (Space.POINTWISE, Space.JOINING):
        return ""
    if axis != 1:
        return f"does not treat axis {axis} place by place"
    along = takes_size_from(shapes, layer)
    return f"works along axis {along}" if along < 2 else ""


def takes_size_from(shapes: Shapes, layer: Layer) -> int:
    """The first axis that its message says it works along; height where it says nothing."""
    written = own_message(layer).scalar("axis")
    # Crop's default, in caffe.proto.
    axis = 2 if written is None else written.as_int(-(2**31))
    return axis if axis >= 0 else axis % len(shapes.of(layer.bottoms[0]))


def gate_axes(shapes: Shapes, layer: Layer, gate: str) -> int:
    """How many axes of a gate go with the value's; along the others it has one number for all."""
    return 2 if types.channels(layer) is Channels.BY_CHANNEL else len(shapes.of(gate))


def looks_at_values(layer: Layer, index: int) -> bool:
    """Whether a bottom is more to the layer than a size."""
    return types.roles(layer)[index] is not Role.SIZE


def is_linear(layer: Layer) -> bool:
    """Whether its outputs are a weight times its bottom."""
    return types.layout(layer) is not None


def is_weighted(layer: Layer) -> bool:
    """Whether its outputs are a weight times its bottom, or rows of it."""
    params = types.params(layer) or ()
    table = bool(params) and params[0].role is ParamRole.TABLE
    return is_linear(layer) or table


def takes_all_behind(layer: Layer) -> bool:
    """Whether all axes from the channels' on are its inputs: an InnerProduct."""
    return types.space(layer) is Space.WHOLE


def inputs_first(layer: Layer) -> bool:
    """Whether the weight is inputs x outputs."""
    # None: an Embed's table has a row for each word it reads (embed_layer.cpp).
    return types.layout(layer) in (None, WeightLayout.TURNED)


def spreads(layer: Layer) -> bool:
    """Whether the weight is inputs x outputs of a group x the rest: a Deconvolution."""
    return types.layout(layer) is WeightLayout.INPUTS_FIRST


def gate_axis(shapes: Shapes, layer: Layer) -> int:
    """The axis of the value that is a gate's first."""
    # SENet's Axpy has no message: its gate is N x C.
    return 0 if types.message_of(layer) is None else axis_in(shapes, layer)


def axis_in(shapes: Shapes, layer: Layer) -> int:
    """The axis that its message names, 1 by default, from the front."""
    axis = own_message(layer).integer("axis", 1, -(2**31))
    return axis if axis >= 0 else axis % len(shapes.of(layer.bottoms[0]))


def channel_axis(shapes: Shapes, layer: Layer) -> int:
    """The axis of a weighted layer's outputs, and of its first inputs."""
    # An Embed puts its outputs behind the axes of its bottom (embed_layer.cpp).
    if types.layout(layer) is None:
        return len(shapes.of(layer.bottoms[0]))
    return axis_in(shapes, layer)


def group_of(shapes: Shapes, layer: Layer) -> int:
    """The groups of a weighted layer's channels; some forks' have one for each, not written."""
    written = own_message(layer).scalar("group")
    params = shapes.params_of(layer)
    if written is not None:
        return written.as_int(1)
    if (
        takes_all_behind(layer)
        or types.layout(layer) is not WeightLayout.OUTPUTS_FIRST
        or not params
    ):
        return 1
    axis = channel_axis(shapes, layer)
    # Axis 1 of a weight is the channels of one group.
    return shapes.of(layer.bottoms[0])[axis] // params[0][1]


def outputs_of(shapes: Shapes, layer: Layer) -> int:
    """How many outputs a weighted layer has."""
    written = own_message(layer).scalar("num_output")
    if written is not None:
        return written.as_int(1)
    return shapes.of(layer.tops[0])[channel_axis(shapes, layer)]


def param_axes(follow: Follower, layer: Layer) -> dict[int, int]:
    """The params that go by channel: number -> the axis that the cut of its top is on."""
    cut = follow.cuts.get(follow.tops(layer)[0]) if layer.tops else None
    params = types.params(layer) or ()
    if cut is None or cut.axis < 0 or is_weighted(layer):
        return {}
    if types.channels(layer) is Channels.ALONG:
        return _axes_along(follow, layer, cut, len(params))
    shapes = follow.work.shapes.params_of(layer)
    if not shapes and params:
        shapes = tuple(follow.work.peek(layer.name, index).shape for index in range(len(params)))
    result = {}
    for index, (param, shape) in enumerate(zip(params, shapes, strict=False)):
        axis = _channels_of(shape, cut.old)
        # With one channel a BatchNorm's factor too has as many numbers as there are channels.
        if cut.axis == 1 and param.role is not ParamRole.FACTOR and axis is not None:
            result[index] = axis
    return result


def _channels_of(shape: Shape, channels: int) -> int | None:
    """The axis of one number a channel: 0 of C, 1 of 1 x C x 1 x 1; None where it is not that."""
    axis = min(len(shape) - 1, 1)
    one_each = axis >= 0 and shape == (1,) * axis + (channels,) + (1,) * (len(shape) - axis - 1)
    return axis if one_each else None


def _axes_along(follow: Follower, layer: Layer, cut: Cut, count: int) -> dict[int, int]:
    """The params of a Scale or Bias: one for each number on `num_axes` axes from `axis` on."""
    its = cut.axis - axis_in(follow.work.shapes, layer)
    axes = own_message(layer).integer("num_axes", 1, -1)
    # Caffe takes the second bottom's axes then, whatever num_axes says (scale_layer.cpp).
    if len(layer.bottoms) > 1:
        axes = len(follow.shape(follow.bottoms(layer)[1], layer))
    inside = its >= 0 and (axes < 0 or its < axes)
    return dict.fromkeys(range(count), its) if inside else {}
