"""Shape rules of layers that common forks of Caffe have and Caffe 1.0 has not.

Each is written from its fork's definition: Permute and Normalize from SSD, Interp from DeepLab and
PSPNet, Upsample from SegNet (two bottoms) and YOLO (one), ShuffleChannel from ShuffleNet, Axpy from
SENet, ReLU6 and DepthwiseConvolution from MobileNet. A field that the definition has not is
refused: what it would mean is anybody's guess. What a rule refuses, `shapes.infer` takes for
unknown.
"""

from __future__ import annotations

from netsurgery.formats.textformat import Message
from netsurgery.net.net import Layer, Shape
from netsurgery.net.shape_rules import RULES as STOCK
from netsurgery.net.shape_rules import Result, Rule

__all__ = ["RULES", "interp_crop", "permutation", "upsample_factors"]


def _fields(layer: Layer, name: str, known: str) -> Message:
    """The layer's message `name`, whose fields must be among `known`, words with spaces between."""
    message, names = layer.param(name), known.split()
    for field in message.fields:
        if field.name not in names:
            expected = ", ".join(names) or "none"
            raise layer.error(f"{name} has a field {field.name}; expected {expected}")
    return message


def _images(layer: Layer, shape: Shape) -> Shape:
    if len(shape) != 4:
        raise layer.error(f"its bottom has {len(shape)} axes; expected N x C x H x W")
    return shape


def _relu6(layer: Layer, bottoms: list[Shape]) -> Result:
    _fields(layer, "relu_param", "")
    _fields(layer, "relu6_param", "")
    return [bottoms[0]], []


def permutation(layer: Layer, axes: int) -> tuple[int, ...]:
    """The axes in their new order; those that are not named follow as they were."""
    message = _fields(layer, "permute_param", "order")
    named = [order.as_int(0, axes - 1) for order in message.scalars("order")]
    if len(set(named)) != len(named):
        raise layer.error(f"order {named} names an axis twice")
    return (*named, *(axis for axis in range(axes) if axis not in named))


def _permute(layer: Layer, bottoms: list[Shape]) -> Result:
    order = permutation(layer, len(bottoms[0]))
    return [tuple(bottoms[0][axis] for axis in order)], []


def _normalize(layer: Layer, bottoms: list[Shape]) -> Result:
    message = _fields(layer, "norm_param", "across_spatial scale_filler channel_shared eps")
    channels = bottoms[0][1]
    return [bottoms[0]], [() if message.boolean("channel_shared", True) else (channels,)]


def interp_crop(layer: Layer) -> tuple[int, int]:
    """Rows and columns that Interp leaves out before and behind its bottom."""
    message = layer.param("interp_param")
    low = -(2**31)
    return -message.integer("pad_beg", 0, low, 0), -message.integer("pad_end", 0, low, 0)


def _interp(layer: Layer, bottoms: list[Shape]) -> Result:
    known = "height width zoom_factor shrink_factor pad_beg pad_end"
    message, shape = _fields(layer, "interp_param", known), _images(layer, bottoms[0])
    sizes = [size - sum(interp_crop(layer)) for size in shape[2:]]
    shrink, zoom = (message.integer(f"{name}_factor", 1, 1) for name in ("shrink", "zoom"))
    given = {name for name in known.split() if message.scalar(name)}
    factors = given & {"shrink_factor", "zoom_factor"}
    if len(factors) != 1 and {"height", "width"} <= given:
        made = [message.integer(name, 0, 1) for name in ("height", "width")]
    elif factors:
        made = [(size - 1) // shrink + 1 for size in sizes]
        made = [size + (size - 1) * (zoom - 1) for size in made]
    else:
        raise layer.error("expected height and width, or zoom_factor, or shrink_factor")
    if min(sizes) < 1:
        raise layer.error(f"pad_beg and pad_end leave nothing of {shape[2]}x{shape[3]}")
    return [(*shape[:2], *made)], []


def upsample_factors(layer: Layer) -> tuple[int, int]:
    """How many times higher and wider."""
    message = _fields(
        layer, "upsample_param", "scale scale_h scale_w pad_out_h pad_out_w upsample_h upsample_w"
    )
    both = message.integer("scale", 2, 1)
    return message.integer("scale_h", both, 1), message.integer("scale_w", both, 1)


def _upsample(layer: Layer, bottoms: list[Shape]) -> Result:
    shape, factors = _images(layer, bottoms[0]), upsample_factors(layer)
    message = layer.param("upsample_param")
    if len(bottoms) == 1:
        if not message.scalar("scale") or len(message.fields) > 1:
            raise layer.error("expected scale alone, or a second bottom that says where values go")
        return [(*shape[:2], shape[2] * factors[0], shape[3] * factors[1])], []
    if bottoms[1] != shape:
        raise layer.error(f"its bottoms differ in shape: {shape} and {bottoms[1]}")
    made = [
        message.integer(
            f"upsample_{side}", shape[2 + i] * factors[i] - message.integer(f"pad_out_{side}", 0), 1
        )
        for i, side in enumerate("hw")
    ]
    return [(*shape[:2], *made)], []


def _shuffle(layer: Layer, bottoms: list[Shape]) -> Result:
    message = _fields(layer, "shuffle_channel_param", "group")
    group, channels = message.integer("group", 1, 1), _images(layer, bottoms[0])[1]
    if channels % group:
        raise layer.error(f"{channels} channels do not fall into {group} groups")
    return [bottoms[0]], []


def _axpy(layer: Layer, bottoms: list[Shape]) -> Result:
    if len(bottoms) != 3:
        raise layer.error(f"{len(bottoms)} bottoms; expected a factor for each channel, x and y")
    factor, x, y = bottoms
    if x != y or factor[:2] != x[:2] or any(dim != 1 for dim in factor[2:]):
        raise layer.error(f"bottoms of {factor}, {x} and {y}; expected N x C, and two alike")
    return [x], []


RULES: dict[str, Rule] = {
    "Axpy": _axpy,
    "DepthwiseConvolution": STOCK["Convolution"],
    "Interp": _interp,
    "Normalize": _normalize,
    "Permute": _permute,
    "ReLU6": _relu6,
    "ShuffleChannel": _shuffle,
    "Upsample": _upsample,
}
