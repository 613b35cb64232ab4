"""Pooling for maps of any height and width: what pooling.py computes beforehand, computed in the
graph from the shape of its input.
"""

from __future__ import annotations

from netsurgery.export.site import Site
from netsurgery.net.windows import Window

__all__ = ["any_size", "pool_any_size"]


def any_size(window: Window) -> bool:
    """Whether there is a form for any size: not where windows skip pixels, and may be empty."""
    return all(s <= k for s, k in zip(window.stride, window.kernel, strict=True))


def pool_any_size(site: Site, window: Window, kind: str, fill: float, *, up: bool) -> str:
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
    reach, outside = _reach(site, window, up)
    made = site.op(kind, _pad_spatial(site, value, window.pad, reach, fill), **sizes)
    if kind == "AveragePool":
        made = site.op("Div", made, _share(site, value, window, reach))
    if any(2 * p + s > k for k, s, p in _axes(window)):
        made = _pad_spatial(site, made, (0, 0), outside, fill)
    return made


def _axes(window: Window) -> list[tuple[int, int, int]]:
    return list(zip(window.kernel, window.stride, window.pad, strict=True))


def _reach(site: Site, window: Window, up: bool) -> tuple[str, str]:
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


def _share(site: Site, value: str, window: Window, reach: str) -> str:
    """What part of each window lies in the map and its padding: Caffe's divisor / kernel size."""
    size = site.op("Shape", value, start=2)
    near = site.op("Min", reach, site.ints(window.pad))
    counted = site.op("Add", site.op("Add", size, site.ints(window.pad)), near)
    ones = site.op(
        "Expand", site.floats(1.0), site.op("Concat", site.ints([1, 1]), counted, axis=0)
    )
    whole = _pad_spatial(site, ones, (0, 0), site.op("Sub", reach, near), 0.0)
    return site.op("AveragePool", whole, kernel_shape=window.kernel, strides=window.stride)


def _pad_spatial(site: Site, value: str, before: tuple[int, ...], after: str, fill: float) -> str:
    pads = site.op("Concat", site.ints((0, 0, *before, 0, 0)), after, axis=0)
    return _pad(site, value, pads, fill)


def _pad(site: Site, value: str, pads: str, fill: float) -> str:
    return site.op("Pad", value, pads, site.floats(fill))
