"""What layers of Caffe's forks compute, in numpy, each written from its fork's own definition.

A reference gets the layer's text, its bottoms and its params, and gives the tops, shapes and all.
`PARAMS` has the shapes of the params of those that have some.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from netsurgery.formats.textformat import Message
from netsurgery.net.net import Layer

__all__ = ["PARAMS", "REFERENCES"]

Array = NDArray[np.float32]
Wide = NDArray[np.float64]
Shape = tuple[int, ...]
Reference = Callable[[Layer, list[Array], list[Array]], list[Wide]]


def wide(value: Array) -> Wide:
    return value.astype(np.float64)


def image(value: Array) -> Wide:
    """As Blob's num(), channels(), height() and width() see it."""
    return wide(value).reshape(*value.shape, *[1] * (4 - value.ndim))


def by_channel(param: Array) -> Wide:
    return wide(param).reshape(1, -1, 1, 1)


def pointwise(name: str, rule: Callable[[Wide, Message], Wide]) -> Reference:
    return lambda layer, bottoms, params: [rule(wide(bottoms[0]), layer.param(name))]


def selu(x: Wide, message: Message) -> Wide:
    alpha, scale = message.number("alpha", 1.67326324), message.number("lambda", 1.050700987)
    return np.where(x > 0, scale * x, scale * alpha * (np.exp(np.minimum(x, 0)) - 1))


def hard_sigmoid(x: Wide, message: Message) -> Wide:
    return np.clip(message.number("alpha", 0.2) * x + message.number("beta", 0.5), 0, 1)


def hard_swish(x: Wide, message: Message) -> Wide:
    return x * np.clip(x + 3, 0, 6) / 6


def mish(x: Wide, message: Message) -> Wide:
    return x * np.tanh(np.log1p(np.exp(x)))


def scaling_dropout(x: Wide, message: Message) -> Wide:
    """In TEST: what is divided by 1 / (1 - ratio) in TRAIN elsewhere is multiplied here."""
    return x * (1 - message.number("dropout_ratio", 0.5))


def bn_of_segnet(layer: Layer, bottoms: list[Array], params: list[Array]) -> list[Wide]:
    x, (scale, shift) = image(bottoms[0]), map(by_channel, params)
    if layer.param("bn_param").word("bn_mode", "LEARN") == "INFERENCE":
        return [scale * x + shift]
    mean = x.mean(axis=(0, 2, 3), keepdims=True)
    variance = (x**2).mean(axis=(0, 2, 3), keepdims=True) - mean**2
    normal = (x - mean) / np.sqrt(variance + 1e-9)
    return [scale * normal + shift, mean, variance][: len(layer.tops)]


def bn_of_pspnet(layer: Layer, bottoms: list[Array], params: list[Array]) -> list[Wide]:
    x, (slope, bias, mean, variance) = image(bottoms[0]), map(by_channel, params)
    eps = layer.param("bn_param").number("eps", 1e-5)
    result = slope * (x - mean) / np.sqrt(variance + eps) + bias
    return [result.reshape(bottoms[0].shape)]


def batch_norm_of_nvcaffe(layer: Layer, bottoms: list[Array], params: list[Array]) -> list[Wide]:
    x, (mean, variance, _, *more) = wide(bottoms[0]), map(by_channel, params)
    eps = max(layer.param("batch_norm_param").number("eps", 1e-5), 1e-5)
    normal = (x - mean) / np.sqrt(variance + eps)
    return [normal * more[0] + more[1] if more else normal]


def normalize_of_faces(layer: Layer, bottoms: list[Array], params: list[Array]) -> list[Wide]:
    x = image(bottoms[0])
    if layer.param("normalize_param").string("normalize_type", "L2") == "L1":
        norm = np.abs(x).sum(axis=1, keepdims=True) + 1e-6
    else:
        norm = np.sqrt((x**2).sum(axis=1, keepdims=True) + 1e-6)
    return [x / norm, norm][: len(layer.tops)]


def normalize_of_ssd(layer: Layer, bottoms: list[Array], params: list[Array]) -> list[Wide]:
    x, message = image(bottoms[0]), layer.param("norm_param")
    axes = (1, 2, 3) if message.boolean("across_spatial", True) else (1,)
    norm = np.sqrt((x**2).sum(axis=axes, keepdims=True) + message.number("eps", 1e-10))
    return [(x / norm * by_channel(params[0].reshape(-1))).reshape(bottoms[0].shape)]


def reorg(layer: Layer, bottoms: list[Array], params: list[Array]) -> list[Wide]:
    """YOLO's loop: one index walks the bottom's own axes, another a map of other axes."""
    message, x = layer.param("reorg_param"), wide(bottoms[0])
    stride, back = message.integer("stride", 2), message.boolean("reverse", False)
    batch, channels, height, width = x.shape
    fewer, flat = channels // stride**2, x.ravel()
    result = np.empty_like(flat)
    for n, k, j, i in np.ndindex(*x.shape):
        source = i + width * (j + height * (k + channels * n))
        part, offset = k % fewer, k // fewer
        column, row = i * stride + offset % stride, j * stride + offset // stride
        target = column + width * stride * (row + height * stride * (part + fewer * n))
        if back:
            result[target] = flat[source]
        else:
            result[source] = flat[target]
    if back:
        return [result.reshape(batch, fewer, height * stride, width * stride)]
    return [result.reshape(batch, channels * stride**2, height // stride, width // stride)]


def reverse(layer: Layer, bottoms: list[Array], params: list[Array]) -> list[Wide]:
    axes = [axis.as_int(-4) for axis in layer.param("reverse_param").scalars("axis")]
    return [np.flip(wide(bottoms[0]), tuple(axes))]


def pad(layer: Layer, bottoms: list[Array], params: list[Array]) -> list[Wide]:
    message, x = layer.param("pad_param"), wide(bottoms[0])
    each = [size.as_int() for size in message.scalars("paddings")]
    shape = [size + sum(each[2 * i : 2 * i + 2]) for i, size in enumerate(x.shape)]
    result = np.full(shape, message.number("constant_values", 0.0))
    result[tuple(slice(each[2 * i], each[2 * i] + size) for i, size in enumerate(x.shape))] = x
    return [result]


def transpose(layer: Layer, bottoms: list[Array], params: list[Array]) -> list[Wide]:
    order = [dim.as_int() for dim in layer.param("transpose_param").scalars("dim")]
    return [wide(bottoms[0]).transpose(order)]


def permute(layer: Layer, bottoms: list[Array], params: list[Array]) -> list[Wide]:
    """Axes that are not named follow."""
    order = [axis.as_int() for axis in layer.param("permute_param").scalars("order")]
    order += [axis for axis in range(bottoms[0].ndim) if axis not in order]
    return [wide(bottoms[0]).transpose(order)]


def shuffle_channel(layer: Layer, bottoms: list[Array], params: list[Array]) -> list[Wide]:
    group, x = layer.param("shuffle_channel_param").integer("group", 1), wide(bottoms[0])
    columns = x.shape[1] // group
    result = np.empty_like(x)
    for i in range(group):
        for j in range(columns):
            result[:, j * group + i] = x[:, i * columns + j]
    return [result]


def interp(layer: Layer, bottoms: list[Array], params: list[Array]) -> list[Wide]:
    """Corners on corners, and between them everything is linear."""
    message, x = layer.param("interp_param"), wide(bottoms[0])
    before, behind = (-message.integer(name, 0, -99) for name in ("pad_beg", "pad_end"))
    x = x[:, :, before : x.shape[2] - behind, before : x.shape[3] - behind]
    zoom, shrink = message.all("zoom_factor"), message.all("shrink_factor")
    if message.all("height") and bool(zoom) == bool(shrink):
        size = [message.integer(name, 0) for name in ("height", "width")]
    else:
        size = [(n - 1) // message.integer("shrink_factor", 1) + 1 for n in x.shape[2:]]
        size = [n + (n - 1) * (message.integer("zoom_factor", 1) - 1) for n in size]
    result = np.empty((*x.shape[:2], *size))
    rates = [(o - 1) / (n - 1) if n > 1 else 0.0 for o, n in zip(x.shape[2:], size, strict=True)]
    for i, j in np.ndindex(*size):
        y0, x0 = int(rates[0] * i), int(rates[1] * j)
        dy, dx = rates[0] * i - y0, rates[1] * j - x0
        y1, x1 = min(y0 + 1, x.shape[2] - 1), min(x0 + 1, x.shape[3] - 1)
        upper = (1 - dx) * x[:, :, y0, x0] + dx * x[:, :, y0, x1]
        lower = (1 - dx) * x[:, :, y1, x0] + dx * x[:, :, y1, x1]
        result[:, :, i, j] = (1 - dy) * upper + dy * lower
    return [result]


def upsample(layer: Layer, bottoms: list[Array], params: list[Array]) -> list[Wide]:
    """YOLO's repeats; SegNet's puts values where the second bottom says."""
    message, x = layer.param("upsample_param"), wide(bottoms[0])
    if len(bottoms) == 1:
        scale = message.integer("scale", 1)
        return [x.repeat(scale, axis=2).repeat(scale, axis=3)]
    size = [message.integer(f"upsample_{side}", 0) for side in "hw"]
    if not all(size):
        both = message.integer("scale", 2)
        factors = [message.integer(f"scale_{side}", both) for side in "hw"]
        less = [message.boolean(f"pad_out_{side}", False) for side in "hw"]
        size = [n * f - int(cut) for n, f, cut in zip(x.shape[2:], factors, less, strict=True)]
    result = np.zeros((*x.shape[:2], size[0] * size[1]))
    for n, c, i, j in np.ndindex(*x.shape):
        result[n, c, int(bottoms[1][n, c, i, j])] = x[n, c, i, j]
    return [result.reshape(*x.shape[:2], *size)]


def axpy(layer: Layer, bottoms: list[Array], params: list[Array]) -> list[Wide]:
    factor, x, y = map(wide, bottoms)
    return [factor.reshape(*x.shape[:2], *[1] * (x.ndim - 2)) * x + y]


def depthwise(layer: Layer, bottoms: list[Array], params: list[Array]) -> list[Wide]:
    """Every channel slides a kernel of its own."""
    message, x, kernel = layer.param("convolution_param"), image(bottoms[0]), wide(params[0])
    pad, stride = message.integer("pad", 0), message.integer("stride", 1)
    dilation = message.integer("dilation", 1)
    rows, columns = ((kernel.shape[2 + i] - 1) * dilation + 1 for i in range(2))
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    cells = [(padded.shape[2] - rows) // stride + 1, (padded.shape[3] - columns) // stride + 1]
    result = np.empty((*x.shape[:2], *cells))
    for i, j in np.ndindex(*cells):
        y0, x0 = i * stride, j * stride
        window = padded[:, :, y0 : y0 + rows : dilation, x0 : x0 + columns : dilation]
        result[:, :, i, j] = (window * kernel[:, 0]).sum(axis=(2, 3))
    return [result + by_channel(params[1]) if len(params) > 1 else result]


def c_round(value: float) -> int:
    """C's round: halves away from zero."""
    return int(floor(abs(value) + 0.5) * (1 if value >= 0 else -1))


def roi_pooling(layer: Layer, bottoms: list[Array], params: list[Array]) -> list[Wide]:
    """Fast R-CNN's: its corners are rounded, and its bins counted in single precision."""
    message, x, boxes = layer.param("roi_pooling_param"), wide(bottoms[0]), bottoms[1]
    size = [message.integer(name, 0) for name in ("pooled_h", "pooled_w")]
    scale = np.float32(message.number("spatial_scale", 1.0))
    result = np.zeros((len(boxes), x.shape[1], *size))
    for n, box in enumerate(boxes.reshape(len(boxes), 5)):
        left, top, right, bottom = (c_round(float(corner * scale)) for corner in box[1:])
        spans = []
        for start, end, count, limit in (
            (top, bottom, size[0], x.shape[2]),
            (left, right, size[1], x.shape[3]),
        ):
            bin_size = np.float32(max(end - start + 1, 1)) / np.float32(count)
            spans.append(
                [
                    (
                        min(max(floor(np.float32(p) * bin_size) + start, 0), limit),
                        min(max(ceil(np.float32(p + 1) * bin_size) + start, 0), limit),
                    )
                    for p in range(count)
                ]
            )
        for i, (y0, y1) in enumerate(spans[0]):
            for j, (x0, x1) in enumerate(spans[1]):
                if y1 > y0 and x1 > x0:
                    result[n, :, i, j] = x[int(box[0]), :, y0:y1, x0:x1].max(axis=(1, 2))
    return [result]


def prior_box(layer: Layer, bottoms: list[Array], params: list[Array]) -> list[Wide]:
    """SSD's loop over cells, sizes and ratios."""
    message = layer.param("prior_box_param")

    def numbers(name: str) -> list[float]:
        return [value.as_float() for value in message.scalars(name)]

    rows, columns = image(bottoms[0]).shape[2:]
    high, wide_ = (float(n) for n in image(bottoms[1]).shape[2:])
    if message.all("img_size"):
        high = wide_ = message.number("img_size", 0)
    if message.all("img_h"):
        high, wide_ = message.number("img_h", 0), message.number("img_w", 0)
    step_h, step_w = high / rows, wide_ / columns
    if message.all("step"):
        step_h = step_w = message.number("step", 0)
    if message.all("step_h"):
        step_h, step_w = message.number("step_h", 0), message.number("step_w", 0)
    ratios = [1.0]
    for ratio in numbers("aspect_ratio"):
        if all(abs(ratio - known) >= 1e-6 for known in ratios):
            ratios.append(ratio)
            if message.boolean("flip", True):
                ratios.append(1 / ratio)
    items: list[float] = []
    for i, j in np.ndindex(rows, columns):
        offset = message.number("offset", 0.5)
        y, x = (i + offset) * step_h, (j + offset) * step_w
        for s, size in enumerate(int(size) for size in numbers("min_size")):
            boxes = [(float(size), float(size))]
            if message.all("max_size"):
                boxes.append((np.sqrt(size * int(numbers("max_size")[s])),) * 2)
            boxes += [(size * np.sqrt(r), size / np.sqrt(r)) for r in ratios if abs(r - 1) >= 1e-6]
            for w, h in boxes:
                corners = (x - w / 2) / wide_, (y - h / 2) / high
                items += [*corners, (x + w / 2) / wide_, (y + h / 2) / high]
    boxes_ = np.array(items)
    if message.boolean("clip", False):
        boxes_ = boxes_.clip(0, 1)
    variances = numbers("variance") or [0.1]
    repeated = variances * (len(boxes_) // len(variances))
    return [np.array([[boxes_, repeated]])]


REFERENCES: dict[str, Reference] = {
    "Axpy": axpy,
    "BN (PSPNet)": bn_of_pspnet,
    "BN (SegNet)": bn_of_segnet,
    "BatchNorm (NVCaffe)": batch_norm_of_nvcaffe,
    "DepthwiseConvolution": depthwise,
    "Dropout (R-FCN)": pointwise("dropout_param", scaling_dropout),
    "HardSigmoid": pointwise("hard_sigmoid_param", hard_sigmoid),
    "HardSwish": pointwise("", hard_swish),
    "Interp": interp,
    "Mish": pointwise("", mish),
    "Normalize": normalize_of_ssd,
    "Normalize (face)": normalize_of_faces,
    "Pad": pad,
    "Permute": permute,
    "PriorBox": prior_box,
    "ROIPooling": roi_pooling,
    "ReLU6": pointwise("", lambda x, _: np.clip(x, 0, 6)),
    "Reorg": reorg,
    "Reverse": reverse,
    "SeLU": pointwise("selu_param", selu),
    "ShuffleChannel": shuffle_channel,
    "Softplus": pointwise("", lambda x, _: np.log1p(np.exp(x))),
    "Softsign": pointwise("", lambda x, _: x / (1 + np.abs(x))),
    "Transpose": transpose,
    "Upsample": upsample,
}


def _each(count: int) -> Callable[[Layer, list[Shape]], list[Shape]]:
    """So many params of 1 x C x 1 x 1."""
    return lambda layer, bottoms: [(1, bottoms[0][1], 1, 1)] * count


def _of_nvcaffe(layer: Layer, bottoms: list[Shape]) -> list[Shape]:
    message, channels = layer.param("batch_norm_param"), (bottoms[0][1],)
    scales = message.all("scale_filler") or message.all("bias_filler")
    more = scales or message.boolean("scale_bias", False)
    return [channels, channels, (1,), *([channels] * 2 if more else [])]


def _depthwise(layer: Layer, bottoms: list[Shape]) -> list[Shape]:
    message, channels = layer.param("convolution_param"), bottoms[0][1]
    size = message.integer("kernel_size", 0)
    biases = [(channels,)] if message.boolean("bias_term", True) else []
    return [(channels, 1, size, size), *biases]


def _of_ssd(layer: Layer, bottoms: list[Shape]) -> list[Shape]:
    shared = layer.param("norm_param").boolean("channel_shared", True)
    return [() if shared else (bottoms[0][1],)]


#: Shapes of the params, by the shapes of the bottoms.
PARAMS: dict[str, Callable[[Layer, list[Shape]], list[Shape]]] = {
    "BN (PSPNet)": _each(4),
    "BN (SegNet)": _each(2),
    "BatchNorm (NVCaffe)": _of_nvcaffe,
    "DepthwiseConvolution": _depthwise,
    "Normalize": _of_ssd,
}
