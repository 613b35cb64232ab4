"""Blocks that repeat, folded: the first one is drawn, in a frame that stands for all of them.

A block is the fewest boxes, in the net's order, into which all goes that one box makes, and out of
which all goes by their last box: one layer of a chain, an inception block with its four branches, a
residual block with its shortcut. Blocks that follow one another repeat where they have the same
types, windows and wiring; their numbers of outputs may differ.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace

from netsurgery.diagram.graph import Box, Edge, Frame, Graph, Role

__all__ = ["fold"]

#: The most boxes of a block, and the most blocks of a pattern that is looked for again.
_BLOCK, _PATTERN = 200, 8
#: Boxes that folding has to spare.
_SPARED = 2

#: A block is the boxes [start, end) in the net's order.
_Block = tuple[int, int]


def fold(graph: Graph) -> Graph:
    """The graph with repeated blocks folded; the same graph where there are none."""
    frames: list[Frame] = []
    gone: set[int] = set()
    leaving: dict[int, int] = {}  # the last box of the last block -> that of the first
    for blocks in _Finder(graph).choose():
        first, last = blocks[0], blocks[-1]
        frames.append(
            Frame(
                tuple(box.key for box in graph.boxes[slice(*first)]),
                tuple(tuple(graph.boxes[slice(*block)]) for block in blocks),
            )
        )
        gone.update(range(first[1], last[1]))
        leaving[last[1] - 1] = first[1] - 1
    edges = [
        replace(edge, source=leaving.get(edge.source, edge.source))
        for edge in graph.edges
        if edge.target not in gone and (edge.source not in gone or edge.source in leaving)
    ]
    boxes = tuple(box for box in graph.boxes if box.key not in gone)
    return replace(graph, boxes=boxes, edges=tuple(edges), frames=tuple(frames))


@dataclass
class _Finder:
    """Blocks and their repetitions; boxes are called by their places, which are their keys."""

    graph: Graph

    def __post_init__(self) -> None:
        self.into: dict[int, list[Edge]] = defaultdict(list)
        self.out_of: dict[int, list[Edge]] = defaultdict(list)
        for edge in self.graph.edges:
            self.into[edge.target].append(edge)
            self.out_of[edge.source].append(edge)

    def choose(self) -> Iterator[list[_Block]]:
        """The repetitions that together are worth most, in the net's order."""
        count = len(self.graph.boxes)
        worth = [0] * (count + 1)  # of what is chosen from each place on
        chosen: dict[int, list[_Block]] = {}
        for start in reversed(range(count)):
            worth[start] = worth[start + 1]
            for pattern, blocks in self.repetitions(start):
                end = blocks[-1][1]
                spared = end - blocks[0][1]
                # Of two that spare as much, the one of shorter patterns says more.
                value = 2 * spared - (pattern - 1) + worth[end]
                if spared >= _SPARED and value > worth[start]:
                    chosen[start], worth[start] = blocks, value
        start = 0
        while start < count:
            if start in chosen:
                yield chosen[start]
                start = chosen[start][-1][1]
            else:
                start += 1

    def repetitions(self, start: int) -> Iterator[tuple[int, list[_Block]]]:
        """Every pattern from `start` on: of how many blocks, and as often as it is there."""
        at = start
        for pattern in range(1, _PATTERN + 1):
            block = self.block(at)
            if block is None:
                return
            at = block[1]
            yield pattern, self.repeated((start, at), pattern)

    def repeated(self, first: _Block, blocks: int) -> list[_Block]:
        """`first`, which has so many blocks, and what repeats it right after it."""
        wanted = self.signature(first)
        found = [first]
        while True:
            start = at = found[-1][1]
            for _ in range(blocks):
                block = self.block(at)
                if block is None:
                    return found
                at = block[1]
            if self.signature((start, at)) != wanted:
                return found
            found.append((start, at))

    def block(self, start: int) -> _Block | None:
        """The smallest block from `start` on."""
        entries = {edge.source for edge in self.into.get(start, ())}
        if len(entries) != 1:
            return None
        (entry,) = entries
        if entry >= start:
            return None
        # The furthest box that reads what the entry, or one of the block, makes.
        reach = max(edge.target for edge in self.out_of[entry])
        for last in range(start, min(start + _BLOCK, len(self.graph.boxes))):
            box = self.graph.boxes[last]
            if box.role is not Role.LAYERS or not self.out_of[last]:
                return None
            if any(not (start <= e.source < last or e.source == entry) for e in self.into[last]):
                return None
            if reach <= last:
                return start, last + 1
            reach = max(reach, *(edge.target for edge in self.out_of[last]))
        return None

    def signature(self, block: _Block) -> Sequence[Hashable]:
        """What blocks that are alike have in common."""
        start, end = block
        return [
            (
                _looks(self.graph.boxes[place]),
                # The block's entry, whichever box that is, is -1.
                tuple(max(edge.source - start, -1) for edge in self.into[place]),
            )
            for place in range(start, end)
        ]


def _looks(box: Box) -> Hashable:
    return tuple((layer.type, layer.detail, layer.changed) for layer in box.layers)
