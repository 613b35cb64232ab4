"""LRN, BatchNorm, Scale, Bias, MVN, Softmax, and normalizations of forks."""

from __future__ import annotations

import numpy as np

from netsurgery.export.layer_context import Converter, LayerContext
from netsurgery.export.pooling import average
from netsurgery.net.net import Shape
from netsurgery.net.shapes import describe
from netsurgery.net.types.axes import axis_of
from netsurgery.net.types.fork_norms import face_norm_type, learns, nvcaffe_eps
from netsurgery.net.windows import lrn_window

__all__ = ["EMITTERS"]

#: The largest window of channels that is summed channel by channel.
_SHIFTED = 9


def _lrn(site: LayerContext) -> list[str]:
    """Across channels x / (k + alpha / n sum x^2)^beta; within, x (1 + alpha mean x^2)^-beta."""
    message = site.layer.param("lrn_param")
    size = message.integer("local_size", 5, 1)
    alpha, beta = message.number("alpha", 1.0), message.number("beta", 0.75)
    if size % 2 == 0:
        raise site.layer.error(f"local_size {size}; LRN takes odd sizes")
    window = lrn_window(site.layer)
    if window is None:
        return [_lrn_across(site, size, alpha, beta, message.number("k", 1.0))]
    square = site.op("Mul", site.bottom, site.bottom)
    mean = average(site, square, site.shape[2:], window, site.shape[2:])
    return [_divided(site, mean, alpha, beta, 1.0)]


def _lrn_across(site: LayerContext, size: int, alpha: float, beta: float, k: float) -> str:
    if alpha > 0 and beta > 0 and (site.dynamic or size > _SHIFTED):
        return site.op("LRN", site.bottom, size=size, alpha=alpha, beta=beta, bias=k)
    # ONNX Runtime's LRN refuses others, and takes four times as long as this, one core at a time.
    channels = site.shape[1]
    reach = min((size - 1) // 2, channels - 1)
    square = site.op("Mul", site.bottom, site.bottom)
    ends = site.ints([0, reach, 0, 0, 0, reach, 0, 0])
    padded = site.op("Pad", square, ends, site.floats(0.0))
    shifted = [
        site.op("Slice", padded, *(site.ints([at]) for at in (first, first + channels, 1)))
        for first in range(2 * reach + 1)
    ]
    return _divided(site, site.op("Sum", *shifted), alpha / size, beta, k)


def _divided(site: LayerContext, mean: str, alpha: float, beta: float, k: float) -> str:
    """bottom x (k + alpha mean)^-beta."""
    shifted = site.op("Add", site.scaled(mean, alpha), site.floats(k))
    if beta == 0.75:  # as in most nets: two roots take a twentieth of Pow's time
        root = site.op("Sqrt", shifted)
        return site.op("Div", site.bottom, site.op("Mul", root, site.op("Sqrt", root)))
    return site.op("Mul", site.bottom, site.op("Pow", shifted, site.floats(-beta)))


def _batch_norm(site: LayerContext) -> list[str]:
    """(x - mean) / sqrt(variance + eps); the params hold sums, the third what to divide by."""
    message = site.layer.param("batch_norm_param")
    eps = message.number("eps", 1e-5)
    if not message.boolean("use_global_stats", True):
        return _batch_norm_of_batch(site, eps)
    total = float(site.array(2).ravel()[0])
    factor = np.float32(0 if total == 0 else 1 / total)
    mean, variance = (site.array(i).ravel() * factor for i in range(2))
    if len(site.shape) == 1:
        centred = site.op("Sub", site.bottom, site.floats(mean))
        return [site.op("Div", centred, site.floats(np.sqrt(variance + np.float32(eps))))]
    ones, zeros = np.ones_like(mean), np.zeros_like(mean)
    constants = [site.floats(values) for values in (ones, zeros, mean, variance)]
    return [site.op("BatchNormalization", site.bottom, *constants, epsilon=eps)]


def _batch_norm_of_batch(site: LayerContext, eps: float) -> list[str]:
    """With use_global_stats: false the batch itself is measured."""
    axes = [axis for axis in range(len(site.shape)) if axis != 1]
    return [_standardized(site, site.bottom, axes, eps, within_root=True)]


def _standardized(
    site: LayerContext, value: str, axes: list[int], eps: float, *, within_root: bool
) -> str:
    """`value` less its mean over `axes`, divided by its deviation there."""
    over = site.ints(axes)
    centred = site.op("Sub", value, site.op("ReduceMean", value, over))
    variance = site.op("ReduceMean", site.op("Mul", centred, centred), over)
    if within_root:
        return site.op("Div", centred, site.op("Sqrt", site.op("Add", variance, site.floats(eps))))
    return site.op("Div", centred, site.op("Add", site.op("Sqrt", variance), site.floats(eps)))


def _mvn(site: LayerContext) -> list[str]:
    message = site.layer.param("mvn_param")
    axes = [1, 2, 3] if message.boolean("across_channels", False) else [2, 3]
    value = site.bottom if len(site.shape) == 4 else site.reshape(site.bottom, site.tops[0])
    if message.boolean("normalize_variance", True):
        return [_standardized(site, value, axes, message.number("eps", 1e-9), within_root=False)]
    return [site.op("Sub", value, site.op("ReduceMean", value, site.ints(axes)))]


def _aligned(shape: Shape, axis: int, axes: int) -> Shape:
    """`shape` with ones behind it, so that it meets a blob of `axes` axes from `axis` on."""
    return (*shape, *[1] * (axes - axis - len(shape)))


def _scale(site: LayerContext) -> list[str]:
    message = site.layer.param("scale_param")
    factor, aligned = _operand(site, "scale_param")
    made = site.op("Mul", site.bottom, factor)
    if message.boolean("bias_term", False):
        made = site.op("Add", made, site.param(len(site.params) - 1, aligned))
    return [made]


def _bias(site: LayerContext) -> list[str]:
    return [site.op("Add", site.bottom, _operand(site, "bias_param")[0])]


def _operand(site: LayerContext, field: str) -> tuple[str, Shape]:
    """What Scale multiplies by and Bias adds: the second bottom, or the first param."""
    axes = len(site.shape)
    if len(site.bottoms) == 1:
        axis = axis_of(site.layer, site.layer.param(field), site.shape, 1)
        aligned = _aligned(site.params[0].shape, axis, axes)
        return site.param(0, aligned), aligned
    shape = site.shapes[1]
    axis = axis_of(site.layer, site.layer.param(field), site.shape, 1) if shape else 0
    if site.shape[axis : axis + len(shape)] != shape:
        raise site.layer.error(
            f"bottoms {describe(site.shape)} and {describe(shape)} differ from axis {axis} on"
        )
    aligned = _aligned(shape, axis, axes)
    value = site.bottoms[1]
    if aligned != shape:
        value = site.reshape(value, aligned)
    return value, aligned


def _softmax(site: LayerContext) -> list[str]:
    axis = axis_of(site.layer, site.layer.param("softmax_param"), site.shape, 1)
    return [site.op("Softmax", site.bottom, axis=axis)]


#: What SegNet adds to a batch's variance.
_SEGNET_EPS = 1e-9

#: What the face forks add to a norm: to its square where it is L2's.
_FACE_EPS = 1e-6


def _image(site: LayerContext) -> str:
    """The first bottom as N x C x H x W."""
    missing = 4 - len(site.shape)
    return (
        site.reshape(site.bottom, (*[0] * len(site.shape), *[1] * missing))
        if missing
        else site.bottom
    )


def _segnet(site: LayerContext) -> list[str]:
    """scale x + shift, x normalized over the batch where bn_mode is LEARN."""
    value, tops = _image(site), []
    if learns(site.layer):
        axes = site.ints([0, 2, 3])
        mean = site.op("ReduceMean", value, axes)
        square = site.op("ReduceMean", site.op("Mul", value, value), axes)
        variance = site.op("Sub", square, site.op("Mul", mean, mean))
        deviation = site.op("Sqrt", site.op("Add", variance, site.floats(_SEGNET_EPS)))
        value = site.op("Div", site.op("Sub", value, mean), deviation)
        tops = [mean, variance]
    value = site.op("Add", site.op("Mul", value, site.param(0)), site.param(1))
    return [value, *tops][: len(site.tops)]


def _normalized(site: LayerContext, mean: int, variance: int, eps: float, scale: int | None) -> str:
    """scale (x - mean) / sqrt(variance + eps) + shift; the shift is the param after the scale."""
    statistics = [site.array(index).ravel() for index in (mean, variance)]
    scales = [np.ones_like(statistics[0]), np.zeros_like(statistics[0])]
    if scale is not None:
        scales = [site.array(index).ravel() for index in (scale, scale + 1)]
    constants = [site.floats(values) for values in scales + statistics]
    return site.op("BatchNormalization", site.bottom, *constants, epsilon=eps)


def _pspnet(site: LayerContext) -> list[str]:
    return [_normalized(site, 2, 3, site.layer.param("bn_param").number("eps", 1e-5), 0)]


def _nvcaffe(site: LayerContext) -> list[str]:
    stored = float(site.array(2).ravel()[0])
    if stored != 1:
        raise site.layer.error(
            f"its param 2 is {stored:g}, expected 1: Caffe 1.0 divides the statistics by it, and "
            "NVCaffe, whose layer this is, does not"
        )
    scale = 3 if len(site.params) > 3 else None
    return [_normalized(site, 0, 1, nvcaffe_eps(site.layer), scale)]


def _face(site: LayerContext) -> list[str]:
    """x divided by its norm over channels, at each place."""
    value, axes, eps = _image(site), site.ints([1]), site.floats(_FACE_EPS)
    if face_norm_type(site.layer) == "L1":
        norm = site.op("Add", site.op("ReduceL1", value, axes), eps)
    else:
        norm = site.op("Sqrt", site.op("Add", site.op("ReduceSumSquare", value, axes), eps))
    return [site.op("Div", value, norm), norm][: len(site.tops)]


EMITTERS: dict[str, Converter] = {
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
