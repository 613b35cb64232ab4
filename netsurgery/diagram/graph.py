"""A net as a graph to draw: boxes of layers, and edges that are the blobs between them.

A layer that computes in place stands in the box of the layer before it, unless somebody else reads
the blob between the two. The net's inputs that no layer makes, and its outputs, are boxes too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum

from netsurgery.net.layer import Layer, Shape

__all__ = [
    "BoxRole",
    "Changed",
    "DrawnBox",
    "DrawnLayer",
    "Edge",
    "Frame",
    "Mark",
    "NetGraph",
    "chains",
]


class Mark(Enum):
    """How a layer differs from the net that this one is compared with: its sign and its word."""

    ADDED = "+", "added"
    REMOVED = "-", "removed"
    CHANGED = "~", "changed"

    def __init__(self, sign: str, word: str) -> None:
        self.sign, self.word = sign, word


@dataclass(frozen=True)
class Changed:
    """How one layer differs: the mark, and a line for each field that changed."""

    mark: Mark
    lines: tuple[str, ...] = ()


class BoxRole(Enum):
    """What a box stands for."""

    LAYERS = "layers"
    INPUT = "input"  #: a blob that the net declares and no layer makes
    OUTPUT = "output"  #: a blob that no layer reads


@dataclass(frozen=True)
class DrawnLayer:
    """One layer in a box.

    kind: the name of its `Kind`. detail: kernel, stride and the like, "" for none. params: numbers
    in its params; multiply_adds: of one forward pass; both None where not known. line: of the
    prototxt, counted from 1; text: its lines there.
    """

    name: str
    type: str
    kind: str
    detail: str = ""
    params: int | None = 0
    multiply_adds: int | None = 0
    line: int = 0
    text: str = field(default="", repr=False)
    changed: Changed | None = None

    @property
    def removed(self) -> bool:
        """Whether only the earlier net has it."""
        return self.changed is not None and self.changed.mark is Mark.REMOVED


@dataclass(frozen=True)
class DrawnBox:
    """A box: the layers of one in-place chain, or one blob (`name`) that goes in or out.

    field: what a cell of its last top sees of the input, "" where that is not asked or not known.
    """

    key: int
    role: BoxRole
    layers: tuple[DrawnLayer, ...] = ()
    name: str = ""
    field: str = ""

    @property
    def is_input(self) -> bool:
        """Whether it is a blob that the net declares."""
        return self.role is BoxRole.INPUT

    @property
    def is_output(self) -> bool:
        """Whether it is a blob that no layer reads."""
        return self.role is BoxRole.OUTPUT

    @property
    def mark(self) -> Mark | None:
        """The mark of its layers, if they have the same: of a box that was added or removed."""
        marks = {layer.changed.mark if layer.changed else None for layer in self.layers}
        if len(marks) == 1:
            return marks.pop()
        return Mark.CHANGED if marks else None

    @property
    def params(self) -> int | None:
        """Numbers in the params of its layers, without removed ones; None where not all known."""
        return added_up([layer.params for layer in self.layers if not layer.removed])

    @property
    def multiply_adds(self) -> int | None:
        """Multiply-adds of its layers, without removed ones; None where not all are known."""
        return added_up([layer.multiply_adds for layer in self.layers if not layer.removed])


def added_up(numbers: Sequence[int | None]) -> int | None:
    """The sum; None where one of them is."""
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None


@dataclass(frozen=True)
class Edge:
    """A blob on its way from the box that makes it to one that reads it."""

    source: int
    target: int
    blob: str
    shape: Shape | None
    mark: Mark | None = None


@dataclass(frozen=True)
class Frame:
    """Around the boxes of a block that repeats: the first of `blocks`, which stands for all.

    boxes: the keys of those drawn. blocks: the boxes of each block, in the net's order.
    """

    boxes: tuple[int, ...]
    blocks: tuple[tuple[DrawnBox, ...], ...]

    @property
    def params(self) -> int | None:
        """Numbers in the params of all the blocks."""
        return added_up([box.params for block in self.blocks for box in block])

    @property
    def multiply_adds(self) -> int | None:
        """Multiply-adds of all the blocks."""
        return added_up([box.multiply_adds for block in self.blocks for box in block])


@dataclass(frozen=True)
class NetGraph:
    """The boxes in the net's order, and the edges in that of the boxes that read them."""

    name: str
    boxes: tuple[DrawnBox, ...]
    edges: tuple[Edge, ...]
    frames: tuple[Frame, ...] = ()

    @property
    def layers(self) -> Iterator[DrawnLayer]:
        """Every layer drawn, those that a frame stands for included."""
        return (layer for _, layer in self.layers_by_box)

    @property
    def layers_by_box(self) -> Iterator[tuple[int, DrawnLayer]]:
        """The same, each after the key of the box that it is in, or that stands for its own."""
        repeated = {frame.boxes[0]: frame for frame in self.frames}
        framed = {key for frame in self.frames for key in frame.boxes}
        for box in self.boxes:
            if box.key in repeated:
                frame = repeated[box.key]
                for block in frame.blocks:
                    for key, inner in zip(frame.boxes, block, strict=True):
                        yield from ((key, layer) for layer in inner.layers)
            elif box.key not in framed:
                yield from ((box.key, layer) for layer in box.layers)


def chains(previous: Layer, layer: Layer, readers: Sequence[Layer]) -> bool:
    """Whether `layer` goes into the box of `previous`, whose only top it alone reads in place."""
    return previous.tops == layer.tops == layer.bottoms and tuple(readers) == (layer,)
