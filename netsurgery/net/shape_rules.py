"""One rule a layer type: bottom shapes to top shapes and param shapes.

A rule is a function of the layer and the shapes of its bottoms, giving (top shapes, param
shapes). The arithmetic is Caffe 1.0's, rounding and all; `RULES` names the rules.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import prod

from netsurgery.formats.textformat import Message
from netsurgery.net.net import Layer, Shape
from netsurgery.net.windows import conv_window, deconv_out, pool_out, pool_window

__all__ = ["RULES", "Result", "Rule", "axis_of", "cut_axis", "keeps_turned"]

Result = tuple[list[Shape], list[Shape]]
Rule = Callable[[Layer, list[Shape]], Result]


def axis_of(layer: Layer, message: Message, shape: Shape, default: int, name: str = "axis") -> int:
    """The axis that `message` names, counted from the front; raises where there is none."""
    axis = message.integer(name, default, -(2**31))
    if not -len(shape) <= axis < len(shape):
        raise layer.error(f"{name} {axis} of a blob with {len(shape)} axes")
    return axis % len(shape)


def cut_axis(layer: Layer, shape: Shape) -> int:
    """Where a Concat joins or a Slice cuts; ``axis`` was ``concat_dim`` and ``slice_dim`` once."""
    kind = layer.type.lower()
    message, old = layer.param(f"{kind}_param"), f"{kind}_dim"
    named = old if message.scalar(old) else "axis"
    if message.scalar(old) and message.scalar("axis"):
        raise layer.error(f"axis and {old} are both given")
    return axis_of(layer, message, shape, 1, named)


def _same(layer: Layer, bottoms: list[Shape]) -> Result:
    """Elementwise: every top as the first bottom."""
    return [bottoms[0]] * len(layer.tops), []


def _convolution(layer: Layer, bottoms: list[Shape]) -> Result:
    message = layer.param("convolution_param")
    axis = axis_of(layer, message, bottoms[0], 1)
    window = conv_window(layer, len(bottoms[0]) - axis - 1)
    outputs, group = num_output(layer, message), message.integer("group", 1, 1)
    channels = bottoms[0][axis]
    if channels % group or outputs % group:
        raise layer.error(
            f"group {group} divides not both its {channels} channels and its {outputs} outputs"
        )
    down = layer.type != "Deconvolution"
    out = window.convolved if down else lambda size: deconv_out(window, size)
    tops = [(*b[:axis], outputs, *out(b[axis + 1 :])) for b in bottoms]
    weight = (outputs, channels // group) if down else (channels, outputs // group)
    return tops, [(*weight, *window.kernel), *bias(message, outputs)]


def num_output(layer: Layer, message: Message) -> int:
    """num_output, which must be there and be positive."""
    found = message.scalar("num_output")
    if found is None:
        raise layer.error("num_output is missing")
    return found.as_int(1, 2**31 - 1)


def bias(message: Message, outputs: int) -> list[Shape]:
    """The bias param's shape, unless bias_term is false."""
    return [(outputs,)] if message.boolean("bias_term", True) else []


def keeps_turned(layer: Layer) -> bool:
    """Whether it keeps its weight as inputs x outputs: an InnerProduct of ``transpose: true``."""
    message = layer.param("inner_product_param")
    return layer.type == "InnerProduct" and message.boolean("transpose", False)


def _inner_product(layer: Layer, bottoms: list[Shape]) -> Result:
    message = layer.param("inner_product_param")
    outputs = num_output(layer, message)
    axis = axis_of(layer, message, bottoms[0], 1)
    inputs = prod(bottoms[0][axis:])
    weight = (inputs, outputs) if keeps_turned(layer) else (outputs, inputs)
    return [(*bottoms[0][:axis], outputs)] * len(layer.tops), [weight, *bias(message, outputs)]


def _pooling(layer: Layer, bottoms: list[Shape]) -> Result:
    (shape,) = bottoms[:1]
    if len(shape) != 4:
        raise layer.error(f"its bottom has {len(shape)} axes; pooling takes N x C x H x W")
    window = pool_window(layer, shape[2:])
    return [(*shape[:2], *pool_out(layer, window, shape[2:]))] * len(layer.tops), []


def _concat(layer: Layer, bottoms: list[Shape]) -> Result:
    axis = cut_axis(layer, bottoms[0])
    for shape in bottoms[1:]:
        if len(shape) <= axis or _with(shape, axis, 0) != _with(bottoms[0], axis, 0):
            raise layer.error(f"bottoms {bottoms[0]} and {shape} differ elsewhere than axis {axis}")
    joined = sum(shape[axis] for shape in bottoms)
    return [_with(bottoms[0], axis, joined)], []


def _with(shape: Shape, axis: int, size: int) -> Shape:
    return (*shape[:axis], size, *shape[axis + 1 :])


def _slice(layer: Layer, bottoms: list[Shape]) -> Result:
    message, shape = layer.param("slice_param"), bottoms[0]
    axis = cut_axis(layer, shape)
    points = [s.as_int(0) for s in message.scalars("slice_point")]
    count = len(layer.tops)
    if not points:
        if not count or shape[axis] % count:
            raise layer.error(f"{shape[axis]} channels do not fall into {count} equal tops")
        points = [shape[axis] // count * i for i in range(1, count)]
    edges = [0, *points, shape[axis]]
    sizes = [b - a for a, b in pairwise(edges)]
    if len(sizes) != count or min(sizes) <= 0:
        raise layer.error(f"slice points {points} do not cut {shape[axis]} into {count} tops")
    return [_with(shape, axis, size) for size in sizes], []


def _eltwise(layer: Layer, bottoms: list[Shape]) -> Result:
    for shape in bottoms[1:]:
        if shape != bottoms[0]:
            raise layer.error(f"its bottoms differ in shape: {bottoms[0]} and {shape}")
    return [bottoms[0]], []


def _batch_norm(layer: Layer, bottoms: list[Shape]) -> Result:
    channels = bottoms[0][1] if len(bottoms[0]) > 1 else 1
    return [bottoms[0]], [(channels,), (channels,), (1,)]


def _scale_or_bias(layer: Layer, bottoms: list[Shape]) -> Result:
    message = layer.param("scale_param" if layer.type == "Scale" else "bias_param")
    params: list[Shape] = []
    if len(bottoms) == 1:
        axis = axis_of(layer, message, bottoms[0], 1)
        axes = message.integer("num_axes", 1, -1)
        end = len(bottoms[0]) if axes == -1 else axis + axes
        if end > len(bottoms[0]):
            raise layer.error(f"num_axes {axes} from axis {axis} of {len(bottoms[0])} axes")
        params = [bottoms[0][axis:end]]
    if layer.type == "Scale" and message.boolean("bias_term", False):
        params.append(params[0] if params else bottoms[1])
    return [bottoms[0]], params


def _prelu(layer: Layer, bottoms: list[Shape]) -> Result:
    shared = layer.param("prelu_param").boolean("channel_shared", False)
    return [bottoms[0]], [() if shared else (bottoms[0][1],)]


def _flatten(layer: Layer, bottoms: list[Shape]) -> Result:
    message, shape = layer.param("flatten_param"), bottoms[0]
    start = axis_of(layer, message, shape, 1)
    end = axis_of(layer, message, shape, -1, "end_axis")
    return [(*shape[:start], prod(shape[start : end + 1]), *shape[end + 1 :])], []


def _reshape(layer: Layer, bottoms: list[Shape]) -> Result:
    message, shape = layer.param("reshape_param"), bottoms[0]
    dims = (message.message("shape") or message).scalars("dim")
    start = message.integer("axis", 0, -(2**31))
    start += len(shape) + 1 if start < 0 else 0
    axes = message.integer("num_axes", -1, -1)
    end = len(shape) if axes == -1 else start + axes
    if not 0 <= start <= end <= len(shape):
        raise layer.error(f"axes {start} to {end} of a blob with {len(shape)} axes")
    made = [dim.as_int(-1, 2**31 - 1) for dim in dims]
    for i, dim in enumerate(made):
        if dim == 0:
            if start + i >= len(shape):
                raise layer.error(f"dim 0 at {i} copies an axis that its bottom has not")
            made[i] = shape[start + i]
    rest = prod(shape[start:end])
    if made.count(-1) > 1:
        raise layer.error("dim -1 is given twice")
    if -1 in made:
        known = prod(dim for dim in made if dim != -1)
        if not known or rest % known:
            raise layer.error(f"{rest} elements do not fall into {known}")
        made[made.index(-1)] = rest // known
    if prod(made) != rest:
        raise layer.error(f"{prod(shape)} elements cannot become {(*shape[:start], *made)}")
    return [(*shape[:start], *made, *shape[end:])], []


def _softmax_loss(layer: Layer, bottoms: list[Shape]) -> Result:
    return [(), bottoms[0]][: len(layer.tops)], []


def _scalar(layer: Layer, bottoms: list[Shape]) -> Result:
    return [()] * len(layer.tops), []


def _accuracy(layer: Layer, bottoms: list[Shape]) -> Result:
    axis = axis_of(layer, layer.param("accuracy_param"), bottoms[0], 1)
    return [(), (bottoms[0][axis],)][: len(layer.tops)], []


def _argmax(layer: Layer, bottoms: list[Shape]) -> Result:
    message, shape = layer.param("argmax_param"), bottoms[0]
    top_k, with_value = message.integer("top_k", 1, 1), message.boolean("out_max_val", False)
    if message.scalar("axis"):
        return [_with(shape, axis_of(layer, message, shape, 0), top_k)], []
    axes = max(len(shape), 3)
    made = [1] * axes
    made[0], made[2] = shape[0], top_k
    if with_value:
        made[1] = 2
    return [tuple(made)], []


def _reduction(layer: Layer, bottoms: list[Shape]) -> Result:
    return [bottoms[0][: axis_of(layer, layer.param("reduction_param"), bottoms[0], 0)]], []


def _tile(layer: Layer, bottoms: list[Shape]) -> Result:
    message = layer.param("tile_param")
    axis = axis_of(layer, message, bottoms[0], 1)
    if not message.scalar("tiles"):
        raise layer.error("tiles is missing")
    return [_with(bottoms[0], axis, bottoms[0][axis] * message.integer("tiles", 0, 1))], []


def _crop(layer: Layer, bottoms: list[Shape]) -> Result:
    shape, like = bottoms
    axis = axis_of(layer, layer.param("crop_param"), shape, 2)
    if len(like) < len(shape):
        raise layer.error(f"its bottoms have {len(shape)} and {len(like)} axes")
    return [(*shape[:axis], *like[axis : len(shape)])], []


def _mvn(layer: Layer, bottoms: list[Shape]) -> Result:
    (shape,) = bottoms[:1]
    if len(shape) > 4:
        raise layer.error(f"its bottom has {len(shape)} axes; MVN takes at most 4")
    return [(*shape, *[1] * (4 - len(shape)))], []


def _spp(layer: Layer, bottoms: list[Shape]) -> Result:
    levels = layer.param("spp_param").integer("pyramid_height", 0, 1, 15)
    bins = sum(4**level for level in range(levels))
    batch, channels = bottoms[0][:2]
    if levels == 1:
        # One level is a Pooling and no more: nothing is flattened.
        return [(batch, channels, 1, 1)], []
    return [(batch, channels * bins)], []


def _embed(layer: Layer, bottoms: list[Shape]) -> Result:
    message = layer.param("embed_param")
    outputs, words = num_output(layer, message), message.integer("input_dim", 0, 1)
    return [(*bottoms[0], outputs)], [(words, outputs), *bias(message, outputs)]


def _batch_reindex(layer: Layer, bottoms: list[Shape]) -> Result:
    return [(bottoms[1][0], *bottoms[0][1:])], []


def _parameter(layer: Layer, bottoms: list[Shape]) -> Result:
    message = layer.param("parameter_param").message("shape")
    shape = tuple(dim.as_int(0) for dim in message.scalars("dim")) if message else ()
    return [shape], [shape]


def _dummy_data(layer: Layer, bottoms: list[Shape]) -> Result:
    message = layer.param("dummy_data_param")
    shapes = [tuple(d.as_int(0) for d in m.scalars("dim")) for m in message.messages("shape")]
    if not shapes:
        columns = [[s.as_int(0) for s in message.scalars(k)] for k in _LEGACY_DIMS]
        shapes = list(zip(*columns, strict=False))
    if len(shapes) == 1:
        shapes *= len(layer.tops)
    if len(shapes) != len(layer.tops):
        raise layer.error(f"{len(shapes)} shapes for {len(layer.tops)} tops")
    return shapes, []


_LEGACY_DIMS = ("num", "channels", "height", "width")


def _im2col(layer: Layer, bottoms: list[Shape]) -> Result:
    message = layer.param("convolution_param")
    axis = axis_of(layer, message, bottoms[0], 1)
    window = conv_window(layer, len(bottoms[0]) - axis - 1)
    tops = []
    for shape in bottoms:
        columns = shape[axis] * prod(window.kernel)
        tops.append((*shape[:axis], columns, *window.convolved(shape[axis + 1 :])))
    return tops, []


def _recurrent(layer: Layer, bottoms: list[Shape]) -> Result:
    message = layer.param("recurrent_param")
    outputs = num_output(layer, message)
    steps, streams = bottoms[0][:2]
    gates = 4 if layer.type == "LSTM" else 1
    width = prod(bottoms[0][2:])
    params: list[Shape] = [(gates * outputs, width), (gates * outputs,)]
    states = (2 if layer.type == "LSTM" else 1) if message.boolean("expose_hidden", False) else 0
    if len(bottoms) > 2 + states:
        params.append((gates * outputs, prod(bottoms[2][1:])))
    params.append((gates * outputs, outputs))
    if layer.type == "RNN":
        params += [(outputs, outputs), (outputs,)]
    hidden = [(1, streams, outputs)] * (len(layer.tops) - 1)
    return [(steps, streams, outputs), *hidden], params


def _lstm_unit(layer: Layer, bottoms: list[Shape]) -> Result:
    return [bottoms[0], bottoms[0]], []


def _nothing(layer: Layer, bottoms: list[Shape]) -> Result:
    return [], []


_ELEMENTWISE = """
    AbsVal BNLL Clip Dropout ELU Exp LRN Log Power ReLU Sigmoid Softmax Split Swish TanH
    Threshold
"""

_SCALAR_LOSSES = """
    ContrastiveLoss EuclideanLoss HingeLoss InfogainLoss MultinomialLogisticLoss
"""

RULES: dict[str, Rule] = {
    **dict.fromkeys(_ELEMENTWISE.split(), _same),
    **dict.fromkeys(_SCALAR_LOSSES.split(), _scalar),
    "Accuracy": _accuracy,
    "ArgMax": _argmax,
    "BatchNorm": _batch_norm,
    "BatchReindex": _batch_reindex,
    "Bias": _scale_or_bias,
    "Concat": _concat,
    "Convolution": _convolution,
    "Crop": _crop,
    "Deconvolution": _convolution,
    "DummyData": _dummy_data,
    "Eltwise": _eltwise,
    "Embed": _embed,
    "Flatten": _flatten,
    "HDF5Output": _nothing,
    "Im2col": _im2col,
    "InnerProduct": _inner_product,
    "LSTM": _recurrent,
    "LSTMUnit": _lstm_unit,
    "MVN": _mvn,
    "PReLU": _prelu,
    "Parameter": _parameter,
    "Pooling": _pooling,
    "RNN": _recurrent,
    "Reduction": _reduction,
    "Reshape": _reshape,
    "SPP": _spp,
    "Scale": _scale_or_bias,
    "SigmoidCrossEntropyLoss": _softmax_loss,
    "Silence": _nothing,
    "Slice": _slice,
    "SoftmaxWithLoss": _softmax_loss,
    "Tile": _tile,
}
