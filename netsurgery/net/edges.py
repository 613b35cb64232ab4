"""What keeps a cell of a map from being exactly the classifier on that cell's window.

A classifier that is given one window cannot see past the window's edge; a cell of a map can. Both
are the same only if no layer on the way treats an edge in any way of its own. A layer that pads
its bottom does, for every cell: where the classifier finds padding, the map has the pixels beside
the window, and it makes no difference whether the cell is at the map's own border or within. So
does a pooling whose last window, by Caffe's rounding up, hangs over the edge.
"""

from __future__ import annotations

from dataclasses import dataclass

from netsurgery.net.net import Layer, Net, Shape
from netsurgery.net.shapes import Shapes
from netsurgery.net.windows import Window, conv_window, lrn_window, pool_rounds_up, pool_window

__all__ = ["EdgeEffect", "edge_effects"]


@dataclass(frozen=True)
class EdgeEffect:
    """A layer that treats the edge of its bottom in a way of its own, and how."""

    layer: str
    why: str

    def __str__(self) -> str:
        return f"{self.layer!r} {self.why}"


def edge_effects(net: Net, shapes: Shapes, blob: str) -> list[EdgeEffect]:
    """The layers on the way to `blob` that do, in file order; `shapes` are those of one window."""
    wanted = {blob}
    found = []
    for layer in reversed(net.layers):
        if not wanted.intersection(layer.tops):
            continue
        wanted.update(layer.bottoms)
        why = _why(layer, shapes.blobs.get(layer.bottoms[0], ()) if layer.bottoms else ())
        if why:
            found.append(EdgeEffect(layer.name, why))
    return found[::-1]


def _why(layer: Layer, bottom: Shape) -> str:
    """How the layer treats the edge of its bottom; "" for not at all."""
    if len(bottom) != 4:
        return ""
    size = bottom[2:]
    if layer.type in ("Convolution", "DepthwiseConvolution", "Im2col"):
        pad = conv_window(layer, 2).pad
        return f"pads by {_told(pad)}" if any(pad) else ""
    if layer.type == "Pooling":
        window = pool_window(layer, size)
        if any(window.pad):
            return f"pads by {_told(window.pad)}"
        hangs = pool_rounds_up(layer) and _leaves_rest(window, size)
        return "has a last window that hangs over the edge" if hangs else ""
    if layer.type == "Deconvolution":
        return "spreads cells past the window's edge"
    if layer.type == "LRN":
        return "normalizes over neighbours, with padding" if lrn_window(layer) else ""
    return ""


def _leaves_rest(window: Window, size: Shape) -> bool:
    """Whether windows without padding stop short of the edge, so that rounding up adds one."""
    axes = zip(size, window.kernel, window.stride, strict=True)
    return any((n - k) % s for n, k, s in axes)


def _told(pad: Shape) -> str:
    return str(pad[0]) if len(set(pad)) == 1 else "x".join(map(str, pad))
