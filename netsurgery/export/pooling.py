"""Pooling and SPP, with Caffe's own rounding, clipping and divisors.

Caffe rounds the number of cells up, so that the last windows may reach past the padding; a MAX
there takes what there is (-FLT_MAX where there is nothing), an AVE divides by the part of its
window that lies within the map and its padding. ONNX's own ceil_mode differs, so the map is
padded here for exactly as many windows as Caffe has, and averages are corrected by a constant.
For maps of any height and width the graph computes the same from the shape of its input.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np

from netsurgery.export.layer_context import Converter, LayerContext
from netsurgery.net.net import Shape
from netsurgery.net.windows import Window, bins_window, pool_out, pool_rounds_up, pool_window

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CONVERTERS", "average"]

#: What an empty MAX window holds.
LOWEST = float(np.finfo(np.float32).min)


def _inside(window: Window, size: Shape, cells: Shape) -> Shape:
    """How many of the windows begin before the map's end; the others see padding alone."""
    axes = zip(window.stride, window.pad, size, cells, strict=True)
    return tuple(min(n, -(-(have + p) // s)) for s, p, have, n in axes)  # rounded up


def _reach(window: Window, size: Shape, cells: Shape) -> list[int]:
    """How many rows and columns the last windows need after the map (never less than none).

    Always fewer than the kernel has, which is what ONNX Runtime asks of a padding.
    """
    axes = zip(window.kernel, window.stride, window.pad, size, cells, strict=True)
    return [max((n - 1) * s + k - p - have, 0) for k, s, p, have, n in axes]


def _with_outside(ctx: LayerContext, value: str, inside: Shape, cells: Shape, fill: float) -> str:
    """`value` and, after it, `fill` for the windows that see padding alone."""
    if inside == cells:
        return value
    behind = [n - have for n, have in zip(cells, inside, strict=True)]
    return _padded(ctx, value, (0, 0), behind, fill)


def _padded(ctx: LayerContext, value: str, before: Shape, after: list[int], fill: float) -> str:
    if not any(before) and not any(after):
        return value
    pads = ctx.ints((0, 0, *before, 0, 0, *after))
    return ctx.op("Pad", value, pads, ctx.floats(fill))


def maximum(ctx: LayerContext, value: str, size: Shape, window: Window, cells: Shape) -> str:
    """The largest element of each window, -FLT_MAX for a window of padding alone."""
    inside = _inside(window, size, cells)
    pads = (*window.pad, *_reach(window, size, inside))
    pooled = ctx.op("MaxPool", value, kernel_shape=window.kernel, strides=window.stride, pads=pads)
    return _with_outside(ctx, pooled, inside, cells, LOWEST)


def average(ctx: LayerContext, value: str, size: Shape, window: Window, cells: Shape) -> str:
    """The sum over each window divided by Caffe's divisor."""
    inside = _inside(window, size, cells)
    # Padded with zeros beforehand, ONNX divides by the whole kernel: one known divisor to correct.
    padded = _padded(ctx, value, window.pad, _reach(window, size, inside), 0.0)
    mean = ctx.op("AveragePool", padded, kernel_shape=window.kernel, strides=window.stride)
    mean = _with_outside(ctx, mean, inside, cells, 0.0)
    divisors = [
        np.minimum(starts + k, have + p) - starts
        for k, p, have, starts in zip(
            window.kernel, window.pad, size, _starts(window, cells), strict=True
        )
    ]
    divisor = np.multiply.outer(*divisors).astype(np.float32)
    if (divisor == prod(window.kernel)).all():
        return mean
    with np.errstate(divide="ignore"):
        # Caffe divides the nothing in an empty window by zero: NaN, as infinity x 0 is here.
        correction = np.float32(prod(window.kernel)) / divisor
    return ctx.op("Mul", mean, ctx.floats(correction))


def _starts(window: Window, cells: Shape) -> list[NDArray[np.int64]]:
    axes = zip(cells, window.stride, window.pad, strict=True)
    return [np.arange(n, dtype=np.int64) * s - p for n, s, p in axes]


_MAX, _AVE = ("MaxPool", LOWEST, maximum), ("AveragePool", 0.0, average)
#: PoolMethod -> ONNX's operation, what lies outside the map, and who computes it.
_KINDS = {"MAX": _MAX, "0": _MAX, "AVE": _AVE, "1": _AVE}


def _pooling(ctx: LayerContext) -> list[str]:
    message, size, cells = ctx.layer.param("pooling_param"), ctx.shape[2:], ctx.tops[0][2:]
    method = message.word("pool", "MAX")
    window = pool_window(ctx.layer, size)
    whole = window.kernel == size and cells == (1, 1) and not any(window.pad)
    if ctx.dynamic:
        # A kernel of this map's size is not the whole of a larger one.
        whole = message.boolean("global_pooling", False)
    if method not in _KINDS:
        raise ctx.layer.error(
            f"pool {method}; the embedded engine pools MAX and AVE (so does Caffe on a CPU)"
        )
    kind, fill, pool = _KINDS[method]
    if len(ctx.tops) > 1:
        return _with_mask(ctx, size, window, cells)
    if whole:
        return [ctx.op(f"Global{kind}", ctx.bottom)]
    if ctx.dynamic and any_size(window):
        return [pool_any_size(ctx, window, kind, fill, up=pool_rounds_up(ctx.layer))]
    return [pool(ctx, ctx.bottom, size, window, cells)]


def _with_mask(ctx: LayerContext, size: Shape, window: Window, cells: Shape) -> list[str]:
    """The maxima and where in their H x W map they were found (-1 in an empty window)."""
    inside = _inside(window, size, cells)
    pads = (*window.pad, *_reach(window, size, inside))
    pooled, places = ctx.several(
        "MaxPool", [ctx.bottom], 2, kernel_shape=window.kernel, strides=window.stride, pads=pads
    )
    # ONNX counts places through the whole tensor, Caffe within each H x W map.
    within = ctx.op("Cast", ctx.op("Mod", places, ctx.ints(prod(size))), to=1)
    return [
        _with_outside(ctx, pooled, inside, cells, LOWEST),
        _with_outside(ctx, within, inside, cells, -1.0),
    ]


def _spp(ctx: LayerContext) -> list[str]:
    """A pyramid of poolings, level i with 2^i x 2^i cells, each flattened, one after another."""
    message, size = ctx.layer.param("spp_param"), ctx.shape[2:]
    method = message.word("pool", "MAX")
    if method not in _KINDS:
        raise ctx.layer.error(f"pool {method}; the embedded engine pools MAX and AVE")
    pool = _KINDS[method][2]
    levels = message.integer("pyramid_height", 0, 1, 15)
    pooled = []
    for level in range(levels):
        bins = 2**level
        window = bins_window(size, bins)
        cells = pool_out(ctx.layer, window, size)
        pooled.append(pool(ctx, ctx.bottom, size, window, cells))
    if levels == 1:
        return pooled
    flat = [ctx.op("Flatten", value, axis=1) for value in pooled]
    return [ctx.op("Concat", *flat, axis=1)]


CONVERTERS: dict[str, Converter] = {"Pooling": _pooling, "SPP": _spp}


def any_size(window: Window) -> bool:
    """Whether there is a form for any size: not where windows skip pixels, and may be empty."""
    return all(s <= k for s, k in zip(window.stride, window.kernel, strict=True))


def pool_any_size(ctx: LayerContext, window: Window, kind: str, fill: float, *, up: bool) -> str:
    """MaxPool or AveragePool (`kind`) of the bottom; `fill` is what lies outside the map.

    up: the number of windows is rounded up, as Caffe 1.0 does.
    """
    value = ctx.bottom
    sizes = {"kernel_shape": window.kernel, "strides": window.stride}
    if window.stride == (1, 1):
        # No window is cut: the padding after the map is the padding before it.
        if any(window.pad):
            value = _pad(ctx, value, ctx.ints((0, 0, *window.pad) * 2), fill)
        return ctx.op(kind, value, **sizes)
    reach, outside = _padding_only(ctx, window, up)
    pooled = ctx.op(kind, _pad_spatial(ctx, value, window.pad, reach, fill), **sizes)
    if kind == "AveragePool":
        pooled = ctx.op("Div", pooled, _share(ctx, value, window, reach))
    # Otherwise the last window begins before the map ends, and none sees padding alone.
    if any(2 * p + s > k for k, s, p in _axes(window)):
        pooled = _pad_spatial(ctx, pooled, (0, 0), outside, fill)
    return pooled


def _axes(window: Window) -> list[tuple[int, int, int]]:
    return list(zip(window.kernel, window.stride, window.pad, strict=True))


def _padding_only(ctx: LayerContext, window: Window, up: bool) -> tuple[str, str]:
    """Rows and columns needed after the map, and how many windows see padding alone."""
    kernel, stride, pad = (
        ctx.ints(numbers) for numbers in (window.kernel, window.stride, window.pad)
    )
    size = ctx.op("Shape", ctx.bottom, start=2)
    ends = ctx.op("Add", size, pad)
    room = [(s - 1 if up else 0) + 2 * p - k for k, s, p in _axes(window)]
    cells = ctx.op("Div", ctx.op("Add", size, ctx.ints(room)), stride)
    # `cells` is one less than Caffe counts: the last window's place.
    if any(window.pad):
        # Only with padding does Caffe drop a last window that begins past the map and its padding.
        over = ctx.op("GreaterOrEqual", ctx.op("Mul", cells, stride), ends)
        cells = ctx.op("Sub", cells, ctx.op("Cast", over, to=7))
    last = ctx.op("Div", ctx.op("Sub", ends, ctx.ints([1, 1])), stride)
    inside = ctx.op("Min", cells, last)
    end = ctx.op("Add", ctx.op("Mul", inside, stride), kernel)
    reach = ctx.op("Max", ctx.op("Sub", end, ends), ctx.ints([0, 0]))
    return reach, ctx.op("Sub", cells, inside)


def _share(ctx: LayerContext, value: str, window: Window, reach: str) -> str:
    """What part of each window lies in the map and its padding: Caffe's divisor / kernel size."""
    size = ctx.op("Shape", value, start=2)
    near = ctx.op("Min", reach, ctx.ints(window.pad))
    counted = ctx.op("Add", ctx.op("Add", size, ctx.ints(window.pad)), near)
    ones = ctx.op("Expand", ctx.floats(1.0), ctx.op("Concat", ctx.ints([1, 1]), counted, axis=0))
    whole = _pad_spatial(ctx, ones, (0, 0), ctx.op("Sub", reach, near), 0.0)
    return ctx.op("AveragePool", whole, kernel_shape=window.kernel, strides=window.stride)


def _pad_spatial(
    ctx: LayerContext, value: str, before: tuple[int, ...], after: str, fill: float
) -> str:
    pads = ctx.op("Concat", ctx.ints((0, 0, *before, 0, 0)), after, axis=0)
    return _pad(ctx, value, pads, fill)


def _pad(ctx: LayerContext, value: str, pads: str, fill: float) -> str:
    return ctx.op("Pad", value, pads, ctx.floats(fill))
