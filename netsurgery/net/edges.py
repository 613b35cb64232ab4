"""What keeps a cell of a map from being exactly the classifier on that cell's window.

A classifier that is given one window cannot see past the window's edge; a cell of a map can. Both
are the same only if no layer on the way treats an edge in any way of its own. A layer that pads
its bottom does, for every cell: where the classifier finds padding, the map has the pixels beside
the window, and it makes no difference whether the cell is at the map's own border or within. So
does a pooling whose last window, by Caffe's rounding up, hangs over the edge.
"""

from __future__ import annotations

from dataclasses import dataclass

from netsurgery.net import types
from netsurgery.net.known_fields import unknown_fields
from netsurgery.net.net import Layer, NetDefinition, Shape
from netsurgery.net.shapes import Shapes

__all__ = ["EdgeEffect", "edge_effects"]


@dataclass(frozen=True)
class EdgeEffect:
    """A layer that treats the edge of its bottom in a way of its own, and how."""

    layer: str
    why: str

    def __str__(self) -> str:
        return f"{self.layer!r} {self.why}"


def edge_effects(net: NetDefinition, shapes: Shapes, blob: str) -> list[EdgeEffect]:
    """The layers up to `blob` that treat edges specially; `shapes` are one window's."""
    reached = {blob}
    effects = []
    # One pass suffices: a blob's writers come before its readers.
    for layer in reversed(net.layers):
        if not reached.intersection(layer.tops):
            continue
        reached.update(layer.bottoms)
        why = _why(layer, shapes.blobs.get(layer.bottoms[0], ()) if layer.bottoms else ())
        if why:
            effects.append(EdgeEffect(layer.name, why))
    return effects[::-1]


def _why(layer: Layer, bottom: Shape) -> str:
    """How the layer treats the edge of its bottom; "" for not at all."""
    if len(bottom) != 4:
        return ""
    record = types.of(layer)
    # An unknown field may pad, as pad_l does in forks.
    if record is None or record.edges is None or unknown_fields(layer):
        return "is not known to treat an edge as any other place"
    return record.edges(layer, bottom[2:])
