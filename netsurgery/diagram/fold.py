"""Blocks that repeat, folded: the first one is drawn, in a frame that stands for all of them.

A block is the fewest boxes, in the net's order, into which all goes that one box makes, and out of
which all goes by their last box: one layer of a chain, an inception block with its four branches, a
residual block with its shortcut. Blocks that follow one another repeat where they have the same
types, windows and wiring; their numbers of outputs may differ.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator
from dataclasses import replace

from netsurgery.diagram.graph import BoxRole, Frame, NetGraph

__all__ = ["fold"]

#: The most boxes of a block, and the most blocks of a pattern that is looked for again.
_BLOCK, _PATTERN = 200, 8
#: Boxes that folding has to spare.
_SPARED = 2

#: A block is the boxes [start, end) in the net's order.
_Block = tuple[int, int]


def fold(graph: NetGraph) -> NetGraph:
    """The graph with repeated blocks folded; the same graph where there are none."""
    frames: list[Frame] = []
    gone: set[int] = set()
    leaving: dict[int, int] = {}  # the last box of the last repetition -> that of the first
    for repetitions in _Finder(graph).choose():
        (start, first_end), (_, end) = repetitions[0], repetitions[-1]
        frames.append(
            Frame(
                tuple(box.key for box in graph.boxes[start:first_end]),
                tuple(tuple(graph.boxes[slice(*block)]) for block in repetitions),
            )
        )
        gone.update(range(first_end, end))
        leaving[end - 1] = first_end - 1
    edges = [
        replace(edge, source=leaving.get(edge.source, edge.source))
        for edge in graph.edges
        if edge.target not in gone and (edge.source not in gone or edge.source in leaving)
    ]
    boxes = tuple(box for box in graph.boxes if box.key not in gone)
    return replace(graph, boxes=boxes, edges=tuple(edges), frames=tuple(frames))


class _Finder:
    """Blocks and their repetitions; boxes are called by their places, which are their keys."""

    def __init__(self, graph: NetGraph) -> None:
        self.graph = graph
        self.into: dict[int, list[int]] = defaultdict(list)
        self.out_of: dict[int, list[int]] = defaultdict(list)
        for edge in graph.edges:
            self.into[edge.target].append(edge.source)
            self.out_of[edge.source].append(edge.target)
        #: Place -> the end of the block that begins there, and a number that like blocks share.
        self.blocks: dict[int, tuple[int, int]] = {}
        looks: dict[Hashable, int] = {}
        for start in range(len(graph.boxes)):
            end = self._end(start)
            if end is not None:
                number = looks.setdefault(self._look(start, end), len(looks))
                self.blocks[start] = end, number

    def choose(self) -> Iterator[list[_Block]]:
        """The repetitions that together are worth most, in the net's order."""
        count = len(self.graph.boxes)
        worth = [0] * (count + 1)  # of what is chosen from each place on
        # Place -> how many blocks the pattern has that is chosen there, and how often it is there.
        chosen: dict[int, tuple[int, int]] = {}
        # (place, blocks of a pattern) -> the pattern, how often it is there, and where that ends.
        runs: dict[tuple[int, int], tuple[int, int, int]] = {}
        patterns: dict[tuple[int, int], int] = {}  # (pattern without its last block, that one)
        for start in reversed(range(count)):
            worth[start] = worth[start + 1]
            at, pattern = start, -1
            for length in range(1, _PATTERN + 1):
                if at not in self.blocks:
                    break
                at, number = self.blocks[at]
                pattern = patterns.setdefault((pattern, number), len(patterns))
                following, times, end = runs.get((at, length), (-1, 0, at))
                if following != pattern:
                    times, end = 0, at
                runs[start, length] = pattern, times + 1, end
                spared = end - at
                # Of two that spare as much, the one of shorter patterns says more.
                value = 2 * spared - (length - 1) + worth[end]
                if spared >= _SPARED and value > worth[start]:
                    chosen[start], worth[start] = (length, times + 1), value
        start = 0
        while start < count:
            if start in chosen:
                repetitions = list(self._repetitions(start, *chosen[start]))
                yield repetitions
                start = repetitions[-1][1]
            else:
                start += 1

    def _repetitions(self, start: int, pattern: int, times: int) -> Iterator[_Block]:
        for _ in range(times):
            end = start
            for _ in range(pattern):
                end = self.blocks[end][0]
            yield start, end
            start = end

    def _end(self, start: int) -> int | None:
        """Where the smallest block ends that begins at `start`; None where there is none."""
        entries = set(self.into[start])
        if len(entries) != 1:
            return None
        (entry,) = entries
        if entry >= start or min(self.out_of[entry]) != start:
            return None
        # The furthest box that reads what the entry, or one of the block, makes.
        reach = max(self.out_of[entry])
        for last in range(start, min(start + _BLOCK, len(self.graph.boxes))):
            # No block has an output in it, nor so many boxes.
            if self.graph.boxes[reach].role is not BoxRole.LAYERS or reach >= start + _BLOCK:
                return None
            if self.graph.boxes[last].role is not BoxRole.LAYERS or not self.out_of[last]:
                return None
            if any(not (start <= each < last or each == entry) for each in self.into[last]):
                return None
            if reach <= last:
                return last + 1
            reach = max(reach, *self.out_of[last])
        return None

    def _look(self, start: int, end: int) -> Hashable:
        """What blocks that are alike have in common: their layers, and how they are wired."""
        return tuple(
            (
                tuple((la.type, la.detail, la.changed) for la in self.graph.boxes[place].layers),
                # The block's entry, whichever box that is, is -1.
                tuple(max(source - start, -1) for source in self.into[place]),
            )
            for place in range(start, end)
        )
