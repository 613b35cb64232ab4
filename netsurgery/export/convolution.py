"""Convolution, Deconvolution, InnerProduct, Im2col: layers of products and sums."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np

from netsurgery.export.layer_context import Converter, LayerContext, only_caffe
from netsurgery.net import types
from netsurgery.net.types.axes import axis_of
from netsurgery.net.types.record import Space
from netsurgery.net.windows import Window, conv_window

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["EMITTERS"]


def _window(site: LayerContext) -> Window:
    """The layer's window over height and width; other numbers of axes are refused."""
    message = site.layer.param("convolution_param")
    axis = axis_of(site.layer, message, site.shape, 1)
    if len(site.shape) != 4 or axis != 1:
        # Caffe has no DepthwiseConvolution.
        stock = site.layer.type != "DepthwiseConvolution"
        other = f"; {only_caffe('takes others')}" if stock else ""
        raise site.layer.error(
            f"{len(site.shape) - axis - 1} spatial axes behind axis {axis} of a blob with "
            f"{len(site.shape)} axes; expected N x C x H x W{other}"
        )
    return conv_window(site.layer, 2)


def _convolution(site: LayerContext) -> list[str]:
    window, spreads = _window(site), types.space(site.layer) is Space.SPREADING
    kind = "ConvTranspose" if spreads else "Conv"
    params = [site.param(i) for i in range(len(site.params))]
    return [
        site.op(
            kind,
            bottom,
            *params,
            kernel_shape=window.kernel,
            strides=window.stride,
            pads=window.pad * 2,
            dilations=window.dilation,
            group=(site.tops[0] if spreads else site.shape)[1] // site.params[0].shape[1],
        )
        for bottom in site.bottoms
    ]


def _inner_product(site: LayerContext) -> list[str]:
    message = site.layer.param("inner_product_param")
    axis = axis_of(site.layer, message, site.shape, 1)
    inputs, outputs = prod(site.shape[axis:]), message.integer("num_output", 0, 1)
    # Stored K x N it is what Gemm takes without transB: neither form is copied.
    turned = message.boolean("transpose", False)
    weight = site.param(0, (inputs, outputs) if turned else (outputs, inputs))
    biases = [site.param(1)] if len(site.params) > 1 else []
    tops = []
    for bottom, shape, top in zip(site.bottoms, site.shapes, site.tops, strict=True):
        rows = 0 if axis == 1 else prod(shape[:axis])
        flat = bottom if len(shape) == 2 and axis == 1 else site.reshape(bottom, (rows, inputs))
        made = site.op("Gemm", flat, weight, *biases, transB=0 if turned else 1)
        tops.append(made if axis == 1 else site.reshape(made, top))
    return tops


def _im2col(site: LayerContext) -> list[str]:
    """Gather, for every cell of a window, what it sees: rows are (channel, kernel y, kernel x)."""
    window = _window(site)
    tops = []
    for bottom, shape, top in zip(site.bottoms, site.shapes, site.tops, strict=True):
        pads = site.ints((0, 0, *window.pad) * 2)
        padded = site.op("Pad", bottom, pads) if any(window.pad) else bottom
        height, width = (shape[2 + i] + 2 * window.pad[i] for i in range(2))
        places = _places(window, width, top[2], top[3])
        flat = site.reshape(padded, (shape[0], shape[1], height * width))
        seen = site.op("Gather", flat, site.ints(places), axis=2)
        tops.append(site.reshape(seen, top))
    return tops


def _places(window: Window, width: int, rows: int, columns: int) -> NDArray[np.int64]:
    """Where in the padded map each (kernel y, kernel x, row, column) looks."""
    kernel = [np.arange(k) * d for k, d in zip(window.kernel, window.dilation, strict=True)]
    cells = [np.arange(n) * s for n, s in zip((rows, columns), window.stride, strict=True)]
    y = kernel[0][:, None, None, None] + cells[0][None, None, :, None]
    x = kernel[1][None, :, None, None] + cells[1][None, None, None, :]
    return (y * width + x).astype(np.int64).ravel()


EMITTERS: dict[str, Converter] = {
    "Convolution": _convolution,
    "Deconvolution": _convolution,
    "Im2col": _im2col,
    "InnerProduct": _inner_product,
}
