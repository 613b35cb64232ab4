"""What is known of each layer type's channels; `paths` are the rules that ask."""

from __future__ import annotations

from enum import Enum

from netsurgery.net.net import Layer
from netsurgery.net.types import keeps_turned
from netsurgery.net.windows import lrn_window
from netsurgery.surgery.edit.cuts import Cut
from netsurgery.surgery.edit.follow import Follower

__all__ = [
    "WEIGHTED",
    "Path",
    "Role",
    "bottom_role",
    "channel_axis",
    "gate_axis",
    "group_of",
    "inputs_first",
    "mixes",
    "outputs_of",
    "param_axes",
    "path_of",
    "takes_all_behind",
]


class Role(Enum):
    """What a bottom is read for."""

    VALUE = "value"
    SIZE = "size"
    GATE = "gate"
    INDEX = "index"


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


_ROLES = {
    "Axpy": (Role.GATE, Role.VALUE, Role.VALUE),
    "BatchReindex": (Role.VALUE, Role.INDEX),
    "Bias": (Role.VALUE, Role.GATE),
    "Crop": (Role.VALUE, Role.SIZE),
    "PriorBox": (Role.SIZE, Role.SIZE),
    "Scale": (Role.VALUE, Role.GATE),
    "Silence": (Role.SIZE,),
    "Upsample": (Role.VALUE, Role.INDEX),
}


def bottom_role(layer: Layer, index: int) -> Role:
    """What the layer reads a bottom for."""
    roles = _ROLES.get(layer.type, (Role.VALUE,))
    return roles[min(index, len(roles) - 1)]


def gate_axis(follow: Follower, layer: Layer) -> int:
    """The axis of the value that is a gate's first."""
    field = {"Scale": "scale_param", "Bias": "bias_param"}.get(layer.type)
    return 0 if field is None else axis_in(follow, layer, field, 1)


def axis_in(follow: Follower, layer: Layer, field: str, default: int) -> int:
    """The axis that a message names, from the front."""
    axis = layer.param(field).integer("axis", default, -(2**31))
    return axis if axis >= 0 else axis % len(follow.shape(follow.bottoms(layer)[0], layer))


def channel_axis(follow: Follower, layer: Layer) -> int:
    """The axis of a weighted layer's outputs, and of its first inputs."""
    if layer.type == "Embed":
        return len(follow.shape(follow.bottoms(layer)[0], layer))
    return axis_in(follow, layer, WEIGHTED[layer.type], 1)


def group_of(layer: Layer) -> int:
    """The groups of a weighted layer's channels."""
    return layer.param(WEIGHTED[layer.type]).integer("group", 1, 1)


def outputs_of(layer: Layer) -> int:
    """A weighted layer's num_output."""
    return layer.param(WEIGHTED[layer.type]).integer("num_output", 0)


def param_axes(follow: Follower, layer: Layer) -> dict[int, int]:
    """The params that go by channel: number -> the axis that the cut of its top is on."""
    cut = follow.cuts.get(follow.tops(layer)[0]) if layer.tops else None
    if cut is None or cut.axis < 0:
        return {}
    if layer.type == "BatchNorm" and cut.axis == 1:
        return {0: 0, 1: 0}
    if layer.type == "PReLU" and cut.axis == 1:
        return {} if layer.param("prelu_param").boolean("channel_shared", False) else {0: 0}
    if layer.type in ("Scale", "Bias"):
        return _along(follow, layer, cut)
    return {}


def _along(follow: Follower, layer: Layer, cut: Cut) -> dict[int, int]:
    """The params of a Scale or Bias: one for each number on `num_axes` axes from `axis` on."""
    field = "scale_param" if layer.type == "Scale" else "bias_param"
    its = cut.axis - axis_in(follow, layer, field, 1)
    count = (len(layer.bottoms) == 1) + layer.param(field).boolean("bias_term", False)
    axes = layer.param(field).integer("num_axes", 1, -1)
    if len(layer.bottoms) > 1:
        axes = len(follow.shape(follow.bottoms(layer)[1], layer))
    inside = its >= 0 and (axes < 0 or its < axes)
    return dict.fromkeys(range(count), its) if inside else {}


#: Types that compute outputs by a weight -> their message.
WEIGHTED = {
    "Convolution": "convolution_param",
    "Deconvolution": "convolution_param",
    "DepthwiseConvolution": "convolution_param",
    "Embed": "embed_param",
    "InnerProduct": "inner_product_param",
}

#: Types that look at one number, or one number of each bottom, at a time.
_POINTWISE = """
    AbsVal Axpy BNLL BatchNorm Bias Clip Dropout ELU Eltwise Exp Log PReLU Power ReLU ReLU6 Scale
    Sigmoid Silence Split Swish TanH Threshold ArgMax Concat Slice Softmax
""".split()
_BY_CHANNEL = "BatchReindex Crop Interp LRN MVN Normalize Pooling Reduction Tile Upsample".split()


def mixes(layer: Layer, axis: int) -> str:
    """Why the layer, otherwise alike, is not so over this axis; "" where it is."""
    if layer.type in _POINTWISE:
        return ""
    if axis != 1:
        return f"does not treat axis {axis} place by place"
    across = layer.param("mvn_param").boolean("across_channels", False)
    if (layer.type == "LRN" and lrn_window(layer) is None) or across or layer.type == "Normalize":
        return "normalizes across channels: without some the others would change"
    if layer.type in ("Crop", "Reduction", "Tile"):
        return _axis_mixes(layer)
    return ""


def _axis_mixes(layer: Layer) -> str:
    default = {"Crop": 2, "Reduction": 0, "Tile": 1}[layer.type]
    axis = layer.param(f"{layer.type.lower()}_param").integer("axis", default, -(2**31))
    return "" if axis > 1 else f"works along axis {axis}"


_PATHS = {
    **dict.fromkeys((*_POINTWISE, *_BY_CHANNEL), Path.SAME),
    **dict.fromkeys(WEIGHTED, Path.WEIGHTED),
    "ArgMax": Path.RANKED,
    "Concat": Path.JOINED,
    "Flatten": Path.RESHAPED,
    "Permute": Path.PERMUTED,
    "Reshape": Path.RESHAPED,
    "ShuffleChannel": Path.SHUFFLED,
    "Slice": Path.DIVIDED,
    "Softmax": Path.COMPARED,
}


def path_of(layer: Layer) -> Path | None:
    """What the layer does with channels; None where that is not known, or cannot be followed."""
    return _PATHS.get(layer.type)


def takes_all_behind(layer: Layer) -> bool:
    """Whether all axes from the channels' on are its inputs: InnerProduct."""
    return layer.type == "InnerProduct"


def inputs_first(layer: Layer) -> bool:
    """Whether the weight is inputs x outputs."""
    return layer.type == "Embed" or keeps_turned(layer)
