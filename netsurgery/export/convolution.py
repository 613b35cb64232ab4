"""Convolution, Deconvolution, InnerProduct, Im2col: layers of products and sums."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np

from netsurgery.export.layer_context import Converter, LayerContext, only_caffe
from netsurgery.io.wording import counted
from netsurgery.net import types
from netsurgery.net.types.axes import axis_of
from netsurgery.net.types.record import Space
from netsurgery.net.windows import Window, conv_window

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CONVERTERS"]


def _window(ctx: LayerContext) -> Window:
    """The layer's window over height and width; other numbers of axes are refused."""
    message = ctx.layer.param("convolution_param")
    axis = axis_of(ctx.layer, message, ctx.shape, 1)
    if len(ctx.shape) != 4 or axis != 1:
        # Caffe has no DepthwiseConvolution.
        stock = ctx.layer.type != "DepthwiseConvolution"
        alternative = f"; {only_caffe()}" if stock else ""
        raise ctx.layer.error(
            f"{counted(len(ctx.shape) - axis - 1, 'spatial axis')} after axis "
            f"{axis} of a blob with {counted(len(ctx.shape), 'axis')}; expected "
            f"N x C x H x W{alternative}"
        )
    return conv_window(ctx.layer, 2)


def _convolution(ctx: LayerContext) -> list[str]:
    window, spreads = _window(ctx), types.space(ctx.layer) is Space.SPREADING
    kind = "ConvTranspose" if spreads else "Conv"
    params = [ctx.param(i) for i in range(len(ctx.params))]
    return [
        ctx.op(
            kind,
            bottom,
            *params,
            kernel_shape=window.kernel,
            strides=window.stride,
            pads=window.pad * 2,  # ONNX: all begins, then all ends
            dilations=window.dilation,
            # A weight's axis 1 is one group's share: of the inputs, or a Deconvolution's outputs.
            group=(ctx.tops[0] if spreads else ctx.shape)[1] // ctx.params[0].shape[1],
        )
        for bottom in ctx.bottoms
    ]


def _inner_product(ctx: LayerContext) -> list[str]:
    message = ctx.layer.param("inner_product_param")
    axis = axis_of(ctx.layer, message, ctx.shape, 1)
    inputs, outputs = prod(ctx.shape[axis:]), message.integer("num_output", 0, 1)
    # Stored K x N it is what Gemm takes without transB: neither form is copied.
    turned = message.boolean("transpose", False)
    weight = ctx.param(0, (inputs, outputs) if turned else (outputs, inputs))
    biases = [ctx.param(1)] if len(ctx.params) > 1 else []
    tops = []
    for bottom, shape, top in zip(ctx.bottoms, ctx.shapes, ctx.tops, strict=True):
        # 0 copies the batch axis, which may be dynamic; a product of axes has to be a number.
        rows = 0 if axis == 1 else prod(shape[:axis])
        flat = bottom if len(shape) == 2 and axis == 1 else ctx.reshape(bottom, (rows, inputs))
        product = ctx.op("Gemm", flat, weight, *biases, transB=0 if turned else 1)
        tops.append(product if axis == 1 else ctx.reshape(product, top))
    return tops


def _im2col(ctx: LayerContext) -> list[str]:
    """Gather, for every cell of a window, what it sees: rows are (channel, kernel y, kernel x)."""
    window = _window(ctx)
    tops = []
    for bottom, shape, top in zip(ctx.bottoms, ctx.shapes, ctx.tops, strict=True):
        pads = ctx.ints((0, 0, *window.pad) * 2)
        padded = ctx.op("Pad", bottom, pads) if any(window.pad) else bottom
        height, width = (shape[2 + i] + 2 * window.pad[i] for i in range(2))
        places = _places(window, width, top[2], top[3])
        flat = ctx.reshape(padded, (shape[0], shape[1], height * width))
        seen = ctx.op("Gather", flat, ctx.ints(places), axis=2)
        tops.append(ctx.reshape(seen, top))
    return tops


def _places(window: Window, width: int, rows: int, columns: int) -> NDArray[np.int64]:
    """Where in the padded map each (kernel y, kernel x, row, column) looks."""
    kernel = [np.arange(k) * d for k, d in zip(window.kernel, window.dilation, strict=True)]
    cells = [np.arange(n) * s for n, s in zip((rows, columns), window.stride, strict=True)]
    y = kernel[0][:, None, None, None] + cells[0][None, None, :, None]
    x = kernel[1][None, :, None, None] + cells[1][None, None, None, :]
    return (y * width + x).astype(np.int64).ravel()


CONVERTERS: dict[str, Converter] = {
    "Convolution": _convolution,
    "Deconvolution": _convolution,
    "Im2col": _im2col,
    "InnerProduct": _inner_product,
}
