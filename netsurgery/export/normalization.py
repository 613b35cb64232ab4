"""LRN, BatchNorm, Scale, Bias, MVN, Softmax, and normalizations of forks."""

from __future__ import annotations

import numpy as np

from netsurgery.export.layer_context import Converter, LayerContext
from netsurgery.export.pooling import average
from netsurgery.net.net import Shape
from netsurgery.net.types.axes import axis_of
from netsurgery.net.types.fork_norms import face_norm_type, learns, nvcaffe_eps
from netsurgery.net.windows import lrn_window

__all__ = ["CONVERTERS"]

#: The largest window of channels that is summed channel by channel.
_SHIFTED = 9


def _lrn(ctx: LayerContext) -> list[str]:
    """Across channels x / (k + alpha / n sum x^2)^beta; within, x (1 + alpha mean x^2)^-beta."""
    message = ctx.layer.param("lrn_param")
    size = message.integer("local_size", 5, 1)
    alpha, beta = message.number("alpha", 1.0), message.number("beta", 0.75)
    window = lrn_window(ctx.layer)
    if window is None:
        return [_lrn_across(ctx, size, alpha, beta, message.number("k", 1.0))]
    square = ctx.op("Mul", ctx.bottom, ctx.bottom)
    mean = average(ctx, square, ctx.shape[2:], window, ctx.shape[2:])
    return [_divided(ctx, mean, alpha, beta, 1.0)]


def _lrn_across(ctx: LayerContext, size: int, alpha: float, beta: float, k: float) -> str:
    if alpha > 0 and beta > 0 and (ctx.dynamic or size > _SHIFTED):
        return ctx.op("LRN", ctx.bottom, size=size, alpha=alpha, beta=beta, bias=k)
    # ONNX Runtime's LRN refuses others, and takes four times as long as this, one core at a time.
    channels = ctx.shape[1]
    # No window reaches past all channels, however large it is.
    reach = min((size - 1) // 2, channels - 1)
    square = ctx.op("Mul", ctx.bottom, ctx.bottom)
    ends = ctx.ints([0, reach, 0, 0, 0, reach, 0, 0])
    padded = ctx.op("Pad", square, ends, ctx.floats(0.0))
    shifted = [
        ctx.op("Slice", padded, *(ctx.ints([at]) for at in (first, first + channels, 1)))
        for first in range(2 * reach + 1)
    ]
    # Caffe divides by the whole window, at the first and last channels too.
    return _divided(ctx, ctx.op("Sum", *shifted), alpha / size, beta, k)


def _divided(ctx: LayerContext, mean: str, alpha: float, beta: float, k: float) -> str:
    """bottom x (k + alpha mean)^-beta."""
    shifted = ctx.op("Add", ctx.scaled(mean, alpha), ctx.floats(k))
    if beta == 0.75:  # as in most nets: two roots take a twentieth of Pow's time
        root = ctx.op("Sqrt", shifted)
        return ctx.op("Div", ctx.bottom, ctx.op("Mul", root, ctx.op("Sqrt", root)))
    return ctx.op("Mul", ctx.bottom, ctx.op("Pow", shifted, ctx.floats(-beta)))


def _batch_norm(ctx: LayerContext) -> list[str]:
    """(x - mean) / sqrt(variance + eps); the params hold sums, the third what to divide by."""
    message = ctx.layer.param("batch_norm_param")
    eps = message.number("eps", 1e-5)
    if not message.boolean("use_global_stats", True):
        return _batch_norm_of_batch(ctx, eps)
    total = float(ctx.array(2).ravel()[0])
    # As Caffe: where nothing was summed, mean and variance are 0.
    factor = np.float32(0 if total == 0 else 1 / total)
    mean, variance = (ctx.array(i).ravel() * factor for i in range(2))
    if len(ctx.shape) == 1:
        centered = ctx.op("Sub", ctx.bottom, ctx.floats(mean))
        return [ctx.op("Div", centered, ctx.floats(np.sqrt(variance + np.float32(eps))))]
    ones, zeros = np.ones_like(mean), np.zeros_like(mean)
    constants = [ctx.floats(values) for values in (ones, zeros, mean, variance)]
    return [ctx.op("BatchNormalization", ctx.bottom, *constants, epsilon=eps)]


def _batch_norm_of_batch(ctx: LayerContext, eps: float) -> list[str]:
    """With use_global_stats: false the batch itself is measured."""
    axes = [axis for axis in range(len(ctx.shape)) if axis != 1]
    return [_standardized(ctx, ctx.bottom, axes, eps, within_root=True)]


def _standardized(
    ctx: LayerContext, value: str, axes: list[int], eps: float, *, within_root: bool
) -> str:
    """`value` less its mean over `axes`, divided by its deviation there."""
    over = ctx.ints(axes)
    centered = ctx.op("Sub", value, ctx.op("ReduceMean", value, over))
    variance = ctx.op("ReduceMean", ctx.op("Mul", centered, centered), over)
    # BatchNorm adds eps to the variance, MVN to its root.
    if within_root:
        return ctx.op("Div", centered, ctx.op("Sqrt", ctx.op("Add", variance, ctx.floats(eps))))
    return ctx.op("Div", centered, ctx.op("Add", ctx.op("Sqrt", variance), ctx.floats(eps)))


def _mvn(ctx: LayerContext) -> list[str]:
    message = ctx.layer.param("mvn_param")
    axes = [1, 2, 3] if message.boolean("across_channels", False) else [2, 3]
    # Caffe's MVN makes four axes of whatever it reads.
    value = ctx.bottom if len(ctx.shape) == 4 else ctx.reshape(ctx.bottom, ctx.tops[0])
    if message.boolean("normalize_variance", True):
        return [_standardized(ctx, value, axes, message.number("eps", 1e-9), within_root=False)]
    return [ctx.op("Sub", value, ctx.op("ReduceMean", value, ctx.ints(axes)))]


def _aligned(shape: Shape, axis: int, axes: int) -> Shape:
    """`shape` with ones after it, so that it meets a blob of `axes` axes from `axis` on."""
    return (*shape, *[1] * (axes - axis - len(shape)))


def _scale(ctx: LayerContext) -> list[str]:
    message = ctx.layer.param("scale_param")
    factor, aligned = _operand(ctx, "scale_param")
    scaled = ctx.op("Mul", ctx.bottom, factor)
    if message.boolean("bias_term", False):
        scaled = ctx.op("Add", scaled, ctx.param(len(ctx.params) - 1, aligned))
    return [scaled]


def _bias(ctx: LayerContext) -> list[str]:
    return [ctx.op("Add", ctx.bottom, _operand(ctx, "bias_param")[0])]


def _operand(ctx: LayerContext, field: str) -> tuple[str, Shape]:
    """What Scale multiplies by and Bias adds: the second bottom, or the first param."""
    axes = len(ctx.shape)
    if len(ctx.bottoms) == 1:
        axis = axis_of(ctx.layer, ctx.layer.param(field), ctx.shape, 1)
        aligned = _aligned(ctx.params[0].shape, axis, axes)
        return ctx.param(0, aligned), aligned
    shape = ctx.shapes[1]
    # Caffe takes axis 0 for a scalar, whatever the field says.
    axis = axis_of(ctx.layer, ctx.layer.param(field), ctx.shape, 1) if shape else 0
    aligned = _aligned(shape, axis, axes)
    value = ctx.bottoms[1]
    if aligned != shape:
        value = ctx.reshape(value, aligned)
    return value, aligned


def _softmax(ctx: LayerContext) -> list[str]:
    axis = axis_of(ctx.layer, ctx.layer.param("softmax_param"), ctx.shape, 1)
    return [ctx.op("Softmax", ctx.bottom, axis=axis)]


#: What SegNet adds to a batch's variance.
_SEGNET_EPS = 1e-9

#: What the face forks add to a norm: to its square where it is L2's.
_FACE_EPS = 1e-6


def _image(ctx: LayerContext) -> str:
    """The first bottom as N x C x H x W."""
    missing = 4 - len(ctx.shape)
    return (
        ctx.reshape(ctx.bottom, (*[0] * len(ctx.shape), *[1] * missing)) if missing else ctx.bottom
    )


def _segnet(ctx: LayerContext) -> list[str]:
    """scale x + shift, x normalized over the batch where bn_mode is LEARN."""
    value, tops = _image(ctx), []
    if learns(ctx.layer):
        axes = ctx.ints([0, 2, 3])
        mean = ctx.op("ReduceMean", value, axes)
        square = ctx.op("ReduceMean", ctx.op("Mul", value, value), axes)
        variance = ctx.op("Sub", square, ctx.op("Mul", mean, mean))
        deviation = ctx.op("Sqrt", ctx.op("Add", variance, ctx.floats(_SEGNET_EPS)))
        value = ctx.op("Div", ctx.op("Sub", value, mean), deviation)
        tops = [mean, variance]
    value = ctx.op("Add", ctx.op("Mul", value, ctx.param(0)), ctx.param(1))
    return [value, *tops][: len(ctx.tops)]


def _normalized(ctx: LayerContext, mean: int, variance: int, eps: float, scale: int | None) -> str:
    """scale (x - mean) / sqrt(variance + eps) + shift; the shift is the param after the scale."""
    statistics = [ctx.array(index).ravel() for index in (mean, variance)]
    scales = [np.ones_like(statistics[0]), np.zeros_like(statistics[0])]
    if scale is not None:
        scales = [ctx.array(index).ravel() for index in (scale, scale + 1)]
    constants = [ctx.floats(values) for values in scales + statistics]
    return ctx.op("BatchNormalization", ctx.bottom, *constants, epsilon=eps)


def _pspnet(ctx: LayerContext) -> list[str]:
    return [_normalized(ctx, 2, 3, ctx.layer.param("bn_param").number("eps", 1e-5), 0)]


def _nvcaffe(ctx: LayerContext) -> list[str]:
    stored = float(ctx.array(2).ravel()[0])
    if stored != 1:
        raise ctx.layer.error(
            f"its param 2 is {stored:g}, expected 1: Caffe 1.0 divides the statistics by it, and "
            "NVCaffe, whose layer this is, does not"
        )
    scale = 3 if len(ctx.params) > 3 else None
    return [_normalized(ctx, 0, 1, nvcaffe_eps(ctx.layer), scale)]


def _face(ctx: LayerContext) -> list[str]:
    """x divided by its norm over channels, at each place."""
    value, axes, eps = _image(ctx), ctx.ints([1]), ctx.floats(_FACE_EPS)
    if face_norm_type(ctx.layer) == "L1":
        norm = ctx.op("Add", ctx.op("ReduceL1", value, axes), eps)
    else:
        norm = ctx.op("Sqrt", ctx.op("Add", ctx.op("ReduceSumSquare", value, axes), eps))
    return [ctx.op("Div", value, norm), norm][: len(ctx.tops)]


CONVERTERS: dict[str, Converter] = {
    "BN (PSPNet)": _pspnet,
    "BN (SegNet)": _segnet,
    "BatchNorm (NVCaffe)": _nvcaffe,
    "BatchNorm": _batch_norm,
    "Bias": _bias,
    "LRN": _lrn,
    "MVN": _mvn,
    "Normalize (face)": _face,
    "Scale": _scale,
    "Softmax": _softmax,
}
