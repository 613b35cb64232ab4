"""What a cell of a layer's tops sees: what the rules of several types share.

`net.geometry` has the arithmetic; a type's record says which of it its layers do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from netsurgery.net import geometry
from netsurgery.net.geometry import ReceptiveField
from netsurgery.net.layer import Layer, Shape
from netsurgery.net.types.axes import axis_of
from netsurgery.net.windows import Window

__all__ = [
    "FieldRule",
    "Made",
    "Seen",
    "along_field",
    "first_field",
    "gated_field",
    "joining_field",
    "kept_whole_field",
    "same_shape_field",
    "whole_field",
]


@dataclass
class Seen:
    """What is known of the blobs before a layer.

    shapes: blob -> its shape. training: whether the net is in phase TRAIN. known: blob -> its
    field. lost: blobs that depend on the input in a way that is not known; a blob in neither
    depends on no picture. masks: blob of a Pooling's indices -> its window, and the rows and
    columns of what it pooled, which the indices count.
    """

    shapes: Mapping[str, Shape]
    training: bool
    known: dict[str, ReceptiveField] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    masks: dict[str, tuple[Window, tuple[int, int]]] = field(default_factory=dict)

    def depends(self, blob: str) -> bool:
        """Whether the blob depends on the input."""
        return blob in self.known or blob in self.lost

    def size(self, blob: str) -> tuple[int, int]:
        """Rows and columns; one cell where the blob is not a map."""
        shape = self.shapes[blob]
        return (shape[2], shape[3]) if len(shape) == 4 else (1, 1)

    def values(self, blobs: Sequence[str]) -> ReceptiveField | None:
        """The field of what several blobs of the same cells are joined to."""
        return geometry.joined([self.known.get(blob) for blob in blobs if self.depends(blob)])

    def is_map(self, blob: str) -> bool:
        """Whether it is N x C x H x W."""
        return len(self.shapes[blob]) == 4


#: The field of all tops, or of each; None where it is not known.
Made: TypeAlias = ReceptiveField | list[ReceptiveField | None] | None

#: What a cell of the tops sees, by what a cell of the bottoms does.
FieldRule: TypeAlias = Callable[[Seen, Layer], Made]


def first_field(seen: Seen, layer: Layer) -> ReceptiveField | None:
    """Every cell sees what the first bottom's does."""
    return seen.known.get(layer.bottoms[0])


def joining_field(seen: Seen, layer: Layer) -> ReceptiveField | None:
    """... what the same cells of all bottoms do."""
    return seen.values(layer.bottoms)


def along_field(message: str) -> FieldRule:
    """A layer that works along one axis; along height or width it sees all of it."""

    def rule(seen: Seen, layer: Layer) -> ReceptiveField | None:
        shape, first = seen.shapes[layer.bottoms[0]], first_field(seen, layer)
        if first is None or axis_of(layer, layer.param(message), shape, 1) < 2:
            return first
        return geometry.whole(first, seen.size(layer.bottoms[0]), keeps_size=True)

    return rule


def kept_whole_field(seen: Seen, layer: Layer) -> ReceptiveField | None:
    """The same map, of which each cell depends on the whole."""
    first = first_field(seen, layer)
    return first and geometry.whole(first, seen.size(layer.bottoms[0]), keeps_size=True)


def whole_field(seen: Seen, layer: Layer) -> ReceptiveField | None:
    """One cell made of the whole map."""
    first = first_field(seen, layer)
    return first and geometry.whole(first, seen.size(layer.bottoms[0]))


def gated_field(seen: Seen, layer: Layer) -> ReceptiveField | None:
    """Scale and Bias: a second bottom is a factor for each channel, or for each position."""
    values = seen.values(layer.bottoms[:1])
    if len(layer.bottoms) < 2 or not seen.depends(layer.bottoms[1]):
        return values
    gate, shape = layer.bottoms[1], seen.shapes[layer.bottoms[0]]
    axis = axis_of(layer, layer.param(f"{layer.type.lower()}_param"), shape, 1)
    # It spans axes `axis` to `axis` + its own: beyond axis 1 it differs from cell to cell.
    if axis + len(seen.shapes[gate]) > 2:
        return seen.values(layer.bottoms) if seen.is_map(gate) else None
    return values and geometry.gated(values, seen.known.get(gate))


def same_shape_field(seen: Seen, layer: Layer) -> ReceptiveField | None:
    """Reshape, Flatten: the same map where the shape is. In place the old shape is not known."""
    same = not layer.in_place and seen.shapes[layer.bottoms[0]] == seen.shapes[layer.tops[0]]
    return first_field(seen, layer) if same else None
