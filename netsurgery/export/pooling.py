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
from netsurgery.net.windows import Window, pool_out, pool_rounds_up, pool_window

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["EMITTERS", "any_size", "average", "maximum", "pool_any_size"]

#: What an empty MAX window holds.
LOWEST = float(np.finfo(np.float32).min)


def _inside(window: Window, size: Shape, cells: Shape) -> Shape:
    """How many of the windows begin before the map's end; the others see padding alone."""
    axes = zip(window.stride, window.pad, size, cells, strict=True)
    return tuple(min(n, -(-(have + p) // s)) for s, p, have, n in axes)


def _reach(window: Window, size: Shape, cells: Shape) -> list[int]:
    """How many rows and columns the last windows need behind the map (never less than none).

    Always fewer than the kernel has, which is what ONNX Runtime asks of a padding.
    """
    axes = zip(window.kernel, window.stride, window.pad, size, cells, strict=True)
    return [max((n - 1) * s + k - p - have, 0) for k, s, p, have, n in axes]


def _with_outside(site: LayerContext, value: str, inside: Shape, cells: Shape, fill: float) -> str:
    """`value` and, behind it, `fill` for the windows that see padding alone."""
    if inside == cells:
        return value
    behind = [n - have for n, have in zip(cells, inside, strict=True)]
    return _padded(site, value, (0, 0), behind, fill)


def _padded(site: LayerContext, value: str, before: Shape, after: list[int], fill: float) -> str:
    if not any(before) and not any(after):
        return value
    pads = site.ints((0, 0, *before, 0, 0, *after))
    return site.op("Pad", value, pads, site.floats(fill))


def maximum(site: LayerContext, value: str, size: Shape, window: Window, cells: Shape) -> str:
    """The largest element of each window, -FLT_MAX for a window of padding alone."""
    inside = _inside(window, size, cells)
    pads = (*window.pad, *_reach(window, size, inside))
    made = site.op("MaxPool", value, kernel_shape=window.kernel, strides=window.stride, pads=pads)
    return _with_outside(site, made, inside, cells, LOWEST)


def average(site: LayerContext, value: str, size: Shape, window: Window, cells: Shape) -> str:
    """The sum over each window divided by Caffe's divisor."""
    inside = _inside(window, size, cells)
    padded = _padded(site, value, window.pad, _reach(window, size, inside), 0.0)
    mean = site.op("AveragePool", padded, kernel_shape=window.kernel, strides=window.stride)
    mean = _with_outside(site, mean, inside, cells, 0.0)
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
    return site.op("Mul", mean, site.floats(correction))


def _starts(window: Window, cells: Shape) -> list[NDArray[np.int64]]:
    axes = zip(cells, window.stride, window.pad, strict=True)
    return [np.arange(n, dtype=np.int64) * s - p for n, s, p in axes]


_MAX, _AVE = ("MaxPool", LOWEST, maximum), ("AveragePool", 0.0, average)
#: PoolMethod -> ONNX's operation, what lies outside the map, and who computes it.
_KINDS = {"MAX": _MAX, "0": _MAX, "AVE": _AVE, "1": _AVE}


def _pooling(site: LayerContext) -> list[str]:
    message, size, cells = site.layer.param("pooling_param"), site.shape[2:], site.tops[0][2:]
    method = message.word("pool", "MAX")
    window = pool_window(site.layer, size)
    whole = window.kernel == size and cells == (1, 1) and not any(window.pad)
    if site.dynamic:
        whole = message.boolean("global_pooling", False)
    if method not in _KINDS:
        raise site.layer.error(
            f"pool {method}; the embedded engine pools MAX and AVE (so does Caffe on a CPU)"
        )
    kind, fill, pool = _KINDS[method]
    if len(site.tops) > 1:
        return _with_mask(site, size, window, cells)
    if whole:
        return [site.op(f"Global{kind}", site.bottom)]
    if site.dynamic and any_size(window):
        return [pool_any_size(site, window, kind, fill, up=pool_rounds_up(site.layer))]
    return [pool(site, site.bottom, size, window, cells)]


def _with_mask(site: LayerContext, size: Shape, window: Window, cells: Shape) -> list[str]:
    """The maxima and where in their H x W map they were found (-1 in an empty window)."""
    inside = _inside(window, size, cells)
    pads = (*window.pad, *_reach(window, size, inside))
    made, places = site.several(
        "MaxPool", [site.bottom], 2, kernel_shape=window.kernel, strides=window.stride, pads=pads
    )
    within = site.op("Cast", site.op("Mod", places, site.ints(prod(size))), to=1)
    return [
        _with_outside(site, made, inside, cells, LOWEST),
        _with_outside(site, within, inside, cells, -1.0),
    ]


def _spp(site: LayerContext) -> list[str]:
    """A pyramid of poolings, level i with 2^i x 2^i cells, each flattened, one after another."""
    message, size = site.layer.param("spp_param"), site.shape[2:]
    method = message.word("pool", "MAX")
    if method not in _KINDS:
        raise site.layer.error(f"pool {method}; the embedded engine pools MAX and AVE")
    pool = _KINDS[method][2]
    levels = message.integer("pyramid_height", 0, 1, 15)
    made = []
    for level in range(levels):
        bins = 2**level
        window = _bins_window(size, bins)
        cells = pool_out(site.layer, window, size)
        made.append(pool(site, site.bottom, size, window, cells))
    if levels == 1:
        return made
    flat = [site.op("Flatten", value, axis=1) for value in made]
    return [site.op("Concat", *flat, axis=1)]


def _bins_window(size: Shape, bins: int) -> Window:
    kernel = tuple(-(-n // bins) for n in size)
    pad = tuple((k * bins - n + 1) // 2 for k, n in zip(kernel, size, strict=True))
    return Window(kernel, kernel, pad, (1, 1))


EMITTERS: dict[str, Converter] = {"Pooling": _pooling, "SPP": _spp}


def any_size(window: Window) -> bool:
    """Whether there is a form for any size: not where windows skip pixels, and may be empty."""
    return all(s <= k for s, k in zip(window.stride, window.kernel, strict=True))


def pool_any_size(site: LayerContext, window: Window, kind: str, fill: float, *, up: bool) -> str:
    """MaxPool or AveragePool (`kind`) of the bottom; `fill` is what lies outside the map.

    up: the number of windows is rounded up, as Caffe 1.0 does.
    """
    value = site.bottom
    sizes = {"kernel_shape": window.kernel, "strides": window.stride}
    if window.stride == (1, 1):
        # No window is cut: the padding behind the map is the padding before it.
        if any(window.pad):
            value = _pad(site, value, site.ints((0, 0, *window.pad) * 2), fill)
        return site.op(kind, value, **sizes)
    reach, outside = _padding_only(site, window, up)
    made = site.op(kind, _pad_spatial(site, value, window.pad, reach, fill), **sizes)
    if kind == "AveragePool":
        made = site.op("Div", made, _share(site, value, window, reach))
    if any(2 * p + s > k for k, s, p in _axes(window)):
        made = _pad_spatial(site, made, (0, 0), outside, fill)
    return made


def _axes(window: Window) -> list[tuple[int, int, int]]:
    return list(zip(window.kernel, window.stride, window.pad, strict=True))


def _padding_only(site: LayerContext, window: Window, up: bool) -> tuple[str, str]:
    """Rows and columns needed behind the map, and how many windows see padding alone."""
    kernel, stride, pad = (
        site.ints(numbers) for numbers in (window.kernel, window.stride, window.pad)
    )
    size = site.op("Shape", site.bottom, start=2)
    ends = site.op("Add", size, pad)
    room = [(s - 1 if up else 0) + 2 * p - k for k, s, p in _axes(window)]
    cells = site.op("Div", site.op("Add", size, site.ints(room)), stride)
    # `cells` is one less than Caffe counts: the last window's place.
    if any(window.pad):
        over = site.op("GreaterOrEqual", site.op("Mul", cells, stride), ends)
        cells = site.op("Sub", cells, site.op("Cast", over, to=7))
    last = site.op("Div", site.op("Sub", ends, site.ints([1, 1])), stride)
    inside = site.op("Min", cells, last)
    end = site.op("Add", site.op("Mul", inside, stride), kernel)
    reach = site.op("Max", site.op("Sub", end, ends), site.ints([0, 0]))
    return reach, site.op("Sub", cells, inside)


def _share(site: LayerContext, value: str, window: Window, reach: str) -> str:
    """What part of each window lies in the map and its padding: Caffe's divisor / kernel size."""
    size = site.op("Shape", value, start=2)
    near = site.op("Min", reach, site.ints(window.pad))
    counted = site.op("Add", site.op("Add", size, site.ints(window.pad)), near)
    ones = site.op(
        "Expand", site.floats(1.0), site.op("Concat", site.ints([1, 1]), counted, axis=0)
    )
    whole = _pad_spatial(site, ones, (0, 0), site.op("Sub", reach, near), 0.0)
    return site.op("AveragePool", whole, kernel_shape=window.kernel, strides=window.stride)


def _pad_spatial(
    site: LayerContext, value: str, before: tuple[int, ...], after: str, fill: float
) -> str:
    pads = site.op("Concat", site.ints((0, 0, *before, 0, 0)), after, axis=0)
    return _pad(site, value, pads, fill)


def _pad(site: LayerContext, value: str, pads: str, fill: float) -> str:
    return site.op("Pad", value, pads, site.floats(fill))
