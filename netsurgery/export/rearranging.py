"""Layers of forks that put numbers elsewhere."""

from __future__ import annotations

from netsurgery.export.site import Emitter, Site
from netsurgery.net.types.rearranging import (
    paddings,
    reorg,
    reversed_axes,
)
from netsurgery.net.types.shaping import transposition

__all__ = ["EMITTERS"]


def _reorg(site: Site) -> list[str]:
    """The part (y, x) of every square of cells, channel by channel, and the other way round.

    YOLO takes its bottom for a map of so many times fewer channels, and so many times more rows
    and columns, which it is not: the same numbers lie otherwise.
    """
    (batch, channels, height, width), (stride, back) = site.shape, reorg(site.layer)
    fewer = channels // stride**2
    if back:
        parts = site.reshape(site.bottom, (batch, stride, stride, fewer, height, width))
        spread = site.op("Transpose", parts, perm=(0, 3, 4, 1, 5, 2))
        return [site.reshape(spread, site.tops[0])]
    squares = site.reshape(site.bottom, (batch, fewer, height, stride, width, stride))
    parts = site.op("Transpose", squares, perm=(0, 3, 5, 1, 2, 4))
    return [site.reshape(parts, site.tops[0])]


def _reverse(site: Site) -> list[str]:
    axes = reversed_axes(site.layer, len(site.shape))
    starts, ends = [-1] * len(axes), [-(2**31)] * len(axes)
    constants = [site.ints(values) for values in (starts, ends, axes, starts)]
    return [site.op("Slice", site.bottom, *constants)]


def _pad(site: Site) -> list[str]:
    around = paddings(site.layer, len(site.shape))
    before, behind = zip(*around, strict=True)
    value = site.layer.param("pad_param").number("constant_values", 0.0)
    return [site.op("Pad", site.bottom, site.ints((*before, *behind)), site.floats(value))]


def _transpose(site: Site) -> list[str]:
    order = transposition(site.layer, len(site.shape))
    return [site.op("Transpose", site.bottom, perm=order)]


EMITTERS: dict[str, Emitter] = {
    "Pad": _pad,
    "Reorg": _reorg,
    "Reverse": _reverse,
    "Transpose": _transpose,
}
