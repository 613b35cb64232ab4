"""How an input is cut into tiles, and which cells of each map each tile gives.

A tile begins at a multiple of the total stride and is as long as the whole, modulo that stride: all
tiles are of one shape, and the last ends as the whole does. `net.tiling` finds out for a net what
they have to keep to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import prod
from typing import TypeAlias

__all__ = [
    "EXACT_CELLS",
    "AxisTiles",
    "Counts",
    "InputTile",
    "MapAxis",
    "MapPart",
    "TilePlan",
    "Tiling",
    "cells_along",
    "least_exact_cells",
]

Size = tuple[int, int]
#: Of one tile along one axis: blob -> the cells of the whole that it gives, and where it has them.
AxisCuts: TypeAlias = Mapping[str, tuple[slice, slice]]
#: Rows and columns of a blob's whole map, and how many pixels they are apart.
Counts: TypeAlias = tuple[tuple[int, Fraction], tuple[int, Fraction]]

#: With more cells in each of its maps than this a tile gives the very bits of the whole, with one
#: thread: ONNX Runtime's matrix product adds in another order for as many columns or fewer.
EXACT_CELLS = 64
#: Several threads may share the columns out, in blocks of 16; each then needs as many for itself.
_EXACT_CELLS_A_THREAD = 80


def least_exact_cells(threads: int) -> int:
    """How many cells the smallest map of a tile has to have for the very bits of the whole.

    >>> least_exact_cells(1), least_exact_cells(2)
    (65, 160)
    """
    return EXACT_CELLS + 1 if threads == 1 else _EXACT_CELLS_A_THREAD * threads


def cells_along(cells: int, step: Fraction, missing: int) -> int:
    """How many of `cells`, `step` pixels apart, are left without so many of the pixels.

    It is asked of every tile that may be chosen, and so divides whole numbers.

    >>> cells_along(10, Fraction(3, 2), 4)
    8
    """
    return cells - missing * step.denominator // step.numerator


@dataclass(frozen=True)
class MapPart:
    """The part of a blob's map that a tile gives.

    cells: those of the whole map, source: the same ones in the tile's; (rows, columns).
    """

    cells: tuple[slice, slice]
    source: tuple[slice, slice]


@dataclass(frozen=True)
class InputTile:
    """One tile: its first row and column in the input, and what it gives of each blob."""

    start: Size
    parts: Mapping[str, MapPart]


@dataclass(frozen=True)
class TilePlan:
    """How an input of `size` is cut into tiles of `tile`, all (height, width) in pixels.

    maps: blob -> rows and columns of its whole map. fewest_cells: of the smallest map of a tile.
    axes: along height and along width. Single tiles are worked out a row at a time, and only for
    what is run: of small ones there may be millions.
    """

    size: Size
    tile: Size
    maps: Mapping[str, Size]
    fewest_cells: int
    axes: tuple[AxisTiles, AxisTiles]

    @cached_property
    def starts(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Where tiles begin, along height and along width."""
        return self.axes[0].starts(self.tile[0]), self.axes[1].starts(self.tile[1])

    @cached_property
    def cuts(self) -> tuple[Sequence[AxisCuts], Sequence[AxisCuts]]:
        """What each tile gives of each blob, along height and along width."""
        return tuple(self.axes[0].cuts(self.tile[0])), tuple(self.axes[1].cuts(self.tile[1]))

    @property
    def rows(self) -> Iterator[Sequence[InputTile]]:
        """The tiles of each row."""
        for top, rows in zip(self.starts[0], self.cuts[0], strict=True):
            yield [
                InputTile((top, left), {blob: _part(rows[blob], columns[blob]) for blob in rows})
                for left, columns in zip(self.starts[1], self.cuts[1], strict=True)
            ]

    @property
    def count(self) -> int:
        """How many tiles there are."""
        return self.axes[0].count(self.tile[0]) * self.axes[1].count(self.tile[1])

    @property
    def overhead(self) -> float:
        """Pixels that are computed for each of the input."""
        return self.count * prod(self.tile) / prod(self.size)


@dataclass(frozen=True)
class MapAxis:
    """A requested blob along one axis: its cells lie `step` pixels apart.

    cells: of the whole. first, last: the cells of a tile of `size` pixels that are right.
    """

    step: Fraction
    cells: int
    first: int
    last: int
    size: int

    def last_of(self, tile: int) -> int:
        """The last cell that is right of a tile of so many pixels."""
        return self.last + int((tile - self.size) / self.step)


@dataclass(frozen=True)
class AxisTiles:
    """What tiles along one axis have to keep to, in pixels.

    size: of the input. stride: a tile begins at a multiple of it. overlap: what a tile shares with
    the next one. maps: the requested blobs. least: the smallest tile that the net takes.
    """

    size: int
    stride: int
    overlap: int
    maps: Mapping[str, MapAxis]
    least: int = 0

    @property
    def smallest(self) -> int:
        """The smallest tile."""
        return min(self.size, max(self.least, self.overlap + self.stride))

    def largest(self, limit: int) -> int:
        """The largest tile of at most `limit` pixels; the smallest where that is larger."""
        if limit >= self.size or self.smallest == self.size:
            return self.size
        return max(self.smallest, limit - (limit - self.overlap) % self.stride)

    def starts(self, tile: int) -> tuple[int, ...]:
        """Where tiles of that size begin."""
        last, step = self.size - tile, tile - self.overlap
        return (*range(0, last, step), last) if last else (0,)

    def count(self, tile: int) -> int:
        """How many tiles of that size there are."""
        return 1 if tile == self.size else 1 + -(-(self.size - tile) // (tile - self.overlap))

    def balanced(self, tile: int) -> int:
        """The smallest tile of which no more are needed."""
        count = self.count(tile)
        return tile if count == 1 else self.of_count(count)

    def of_count(self, count: int) -> int:
        """The smallest tile of which `count` are enough, where that is no smaller than any."""
        # Of n tiles that share `overlap` pixels, each has this many of its own.
        own = -(-(self.size - self.overlap) // count)
        return max(self.smallest, self.largest(self.overlap + -(-own // self.stride) * self.stride))

    def cuts(self, tile: int) -> Iterator[AxisCuts]:
        """What each of the tiles gives, in their order."""
        begun = dict.fromkeys(self.maps, 0)
        starts = self.starts(tile)
        for start in starts:
            cuts = {}
            for blob, each in self.maps.items():
                shift = int(start / each.step)
                end = shift + each.last_of(tile) + 1 if start < starts[-1] else each.cells
                end = max(begun[blob], min(end, each.cells))
                cells = slice(begun[blob], end)
                cuts[blob] = cells, slice(cells.start - shift, end - shift)
                begun[blob] = end
            yield cuts


@dataclass(frozen=True)
class Tiling:
    """How an input can be cut into tiles; (height, width) in pixels.

    axes: along height and along width. counts: those of every blob that is computed.
    """

    axes: tuple[AxisTiles, AxisTiles]
    counts: Mapping[str, Counts]

    @property
    def size(self) -> Size:
        """The input."""
        return self.axes[0].size, self.axes[1].size

    @property
    def maps(self) -> dict[str, Size]:
        """Blob -> rows and columns of its whole map."""
        rows, columns = (axis.maps for axis in self.axes)
        return {blob: (rows[blob].cells, columns[blob].cells) for blob in rows}

    @property
    def stride(self) -> Size:
        """Tiles begin at multiples of it: the total stride."""
        return self.axes[0].stride, self.axes[1].stride

    @property
    def overlap(self) -> Size:
        """What neighbouring tiles share."""
        return self.axes[0].overlap, self.axes[1].overlap

    @property
    def smallest(self) -> Size:
        """The smallest tile that gives a cell of its own."""
        return self.axes[0].smallest, self.axes[1].smallest

    @cached_property
    def smallest_exact(self) -> Size:
        """The smallest tile that gives the bits of the whole with one thread; or the whole."""
        side = max(self.smallest)
        while self.fewest_cells(self.largest(side)) <= EXACT_CELLS and side < max(self.size):
            side += min(self.stride)
        return self.largest(side)

    def fewest_cells(self, tile: Size) -> int:
        """How many cells the smallest map of a tile has."""
        down, across = (whole - part for whole, part in zip(self.size, tile, strict=True))
        return min(
            cells_along(*rows, down) * cells_along(*columns, across)
            for rows, columns in self.different_counts
        )

    @cached_property
    def different_counts(self) -> frozenset[Counts]:
        """Many blobs have as many cells as others."""
        return frozenset(self.counts.values())

    def largest(self, side: int) -> Size:
        """The largest tile whose sides are at most `side`; the smallest where that is larger."""
        return self.axes[0].largest(side), self.axes[1].largest(side)

    def plan(self, tile: Size) -> TilePlan:
        """The tiles of a size as `largest` gives it, or a little less where that takes no more."""
        rows, columns = (axis.balanced(side) for axis, side in zip(self.axes, tile, strict=True))
        return self.exactly((rows, columns))

    def exactly(self, tile: Size) -> TilePlan:
        """The tiles of just that size, which has to be one that `largest` gives."""
        return TilePlan(self.size, tile, self.maps, self.fewest_cells(tile), self.axes)


def _part(rows: tuple[slice, slice], columns: tuple[slice, slice]) -> MapPart:
    return MapPart((rows[0], columns[0]), (rows[1], columns[1]))
