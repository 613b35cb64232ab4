"""A part of a net between two cuts: the tiles for which it computes least within some memory.

Memory is estimated: that of two tiles is known, and that of others lies about on the line through
both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from heapq import heapify, heappop, heappush
from math import prod
from typing import NamedTuple, TypeAlias

from netsurgery.errors import NetsurgeryError
from netsurgery.net import types
from netsurgery.net.cost import NUMBER_BYTES, distinct_params, multiply_adds
from netsurgery.net.net import NetDefinition
from netsurgery.net.shapes import Shapes, infer
from netsurgery.net.stages import Stage
from netsurgery.net.tiles import Counts, Tiling, cells_along
from netsurgery.net.types.record import Space

__all__ = ["Choice", "Memory", "NetPart"]

Size = tuple[int, int]
#: What running a net at these shapes takes, handing blobs back, in bytes.
Memory: TypeAlias = Callable[[NetDefinition, Shapes, Sequence[str]], int]

#: Running a net once takes about as long as so many multiply-adds, however small the tile,
_CALL = 2_000_000
#: and reading a param as so many.
_READ = 12


class Choice(NamedTuple):
    """What tiles of a size cost together, in multiply-adds, and that size."""

    cost: float
    tile: Size


class _Strip(NamedTuple):
    """Tiles of one width: how many lie side by side, and of the blobs that are counted alike the
    multiply-adds of a cell, the rows of the whole, their step and the columns of a tile.
    """

    width: int
    beside: int
    weights: tuple[tuple[float, int, Fraction, int], ...]

    def multiply_adds(self, missing: int) -> float:
        """Of one tile that lacks so many of the whole's rows of pixels.

        At least 1, for what weighs nothing is run all the same.
        """
        return 1 + sum(
            weight * (cells_along(rows, step, missing) * columns)
            for weight, rows, step, columns in self.weights
        )


class _Limit(NamedTuple):
    """Memory, and what tiles take of it: without pixels, for each pixel and for each row."""

    memory: float
    base: float
    pixel: float
    row: float

    def is_met(self) -> bool:
        """Whether the smallest of tiles may take less."""
        return self.memory >= self.base

    def rows(self, width: int, most: int) -> float:
        """How high tiles of a width may be; `most` where the height takes nothing."""
        a_row = self.pixel * width + self.row
        return (self.memory - self.base) / a_row if a_row else most


@dataclass(frozen=True, eq=False)
class NetPart:
    """What the net does between two cuts.

    input: the cut it begins at, with `channels`, or the net's own. cut: the one that it ends at,
    None for the last part. wanted: what else it gives. memory: what running a net takes. work:
    what of that parts that run in turn share.
    """

    net: NetDefinition
    input: str
    channels: int
    cut: str | None
    wanted: tuple[str, ...]
    is_first: bool
    tiling: Tiling
    memory: Memory
    work: Memory | None = None

    @property
    def blobs(self) -> tuple[str, ...]:
        """What it gives."""
        return (*self.wanted, *([] if self.cut is None else [self.cut]))

    def shapes(self, tile: Size) -> Shapes:
        """Its shapes for a tile. Raises NetsurgeryError for more numbers than Caffe counts."""
        return infer(self.net, {self.input: (1, self.channels, *tile)})

    def multiply_adds(self, tile: Size) -> float:
        """Of one tile."""
        return self._strip(tile[1]).multiply_adds(self.tiling.size[0] - tile[0])

    @cached_property
    def _weights(self) -> dict[Counts, float]:
        """Multiply-adds for each cell of the blobs that are counted so."""
        shapes = self._samples[0][1]
        weights: dict[Counts, float] = {}
        for layer in self.net.layers:
            done = multiply_adds(layer, shapes)
            if done:
                spreads = types.space(layer) is Space.SPREADING
                blob = layer.bottoms[0] if spreads else layer.tops[0]
                counts = self.tiling.counts.get(blob)
                if counts is not None:  # else it depends on no input
                    weight = done / prod(shapes.blobs[blob][2:])
                    weights[counts] = weights.get(counts, 0) + weight
        return weights

    def memory_of(self, tile: Size) -> int:
        """What the part takes with such tiles, the bands that it reads and makes included."""
        running = self.memory(self.net, self.shapes(tile), self.blobs)
        return running + int(tile[0] * self._bands)

    def work_of(self, tile: Size) -> int:
        """What of `memory_of` other parts take in their turn."""
        return 0 if self.work is None else self.work(self.net, self.shapes(tile), self.blobs)

    @cached_property
    def _bands(self) -> float:
        """Bytes of a row of the map that it reads and of what it makes of that row."""
        width = self.tiling.size[1]
        numbers = 0.0 if self.is_first else width * self.channels
        if self.cut is not None:
            rows, columns = (axis.maps[self.cut] for axis in self.tiling.axes)
            channels = self._samples[0][1].blobs[self.cut][1]
            numbers += columns.cells * channels / float(rows.step)
        return NUMBER_BYTES * numbers

    @cached_property
    def _samples(self) -> tuple[tuple[Size, Shapes], tuple[Size, Shapes]]:
        """A small tile and a large one, from which those between are estimated."""
        small = self.tiling.smallest_exact
        few, side = self.shapes(small), max(small)
        for factor in (4, 2):
            large = self.tiling.largest(factor * side)
            with suppress(NetsurgeryError):  # more numbers than Caffe counts
                return (small, few), (large, self.shapes(large))
        large = self.tiling.largest(max(small) + max(self.tiling.stride))
        return (small, few), (large, self.shapes(large))

    @cached_property
    def _line(self) -> tuple[float, float]:
        """Bytes of a tile without pixels, and for each of its pixels."""
        return self._line_of(self.memory)

    @cached_property
    def _work_line(self) -> tuple[float, float]:
        """Of these what other parts take in their turn."""
        return (0.0, 0.0) if self.work is None else self._line_of(self.work)

    def _line_of(self, taken: Memory) -> tuple[float, float]:
        (small, few), (large, many) = self._samples
        low, high = (taken(self.net, each, self.blobs) for each in (few, many))
        slope = (high - low) / (prod(large) - prod(small)) if large != small else 0.0
        return low - slope * prod(small), slope

    def running(self, pixels: int) -> float:
        """About what running it over so many pixels takes, without bands."""
        base, slope = self._line
        return base + slope * pixels

    def best(
        self, memory: float, cells: int, side: int | None, work: float | None = None
    ) -> Choice | None:
        """The tiles that compute least within so much memory; None where none fit.

        cells: how many the smallest map of a tile is to have. side: the most pixels along a side.
        work: what they may take besides `memory` while they run.
        """
        rows, limits = self.tiling.axes[0], self._limits(memory, work)
        choices, higher = [], {}
        for width, strip in self._strips.items() if all(map(_Limit.is_met, limits)) else ():
            fitting = (limit.rows(width, rows.size) for limit in limits)
            most = int(min(*fitting, side or rows.size, rows.size) + 1e-6)
            height = rows.largest(most)
            if height <= most and width <= (side or width):
                choices.append(self._choice(strip, rows.balanced(height)))
                higher[choices[-1]] = strip, height
        heapify(choices)
        while choices and not self._has_cells(choices[0].tile, cells):
            # As many tiles, but higher ones, cost no less.
            lacking = heappop(choices)
            if lacking in higher:
                heappush(choices, self._choice(*higher.pop(lacking)))
        return choices[0] if choices else None

    def _limits(self, memory: float, work: float | None) -> list[_Limit]:
        """What tiles have to keep to, as in `best`."""
        base, slope = self._line
        if work is None:
            return [_Limit(memory, base, slope, self._bands)]
        base_of_work, slope_of_work = self._work_line
        return [
            _Limit(memory, base - base_of_work, slope - slope_of_work, self._bands),
            _Limit(work, base_of_work, slope_of_work, 0.0),
        ]

    def least(self, cells: int) -> tuple[float, Size]:
        """The least memory that tiles with so many cells in the smallest map take, and the tile."""
        rows, (base, slope) = self.tiling.axes[0], self._line
        tiles = []
        for width in self._widths:
            height = self._lowest(width, cells)
            if height <= rows.size:
                tiles.append((base + height * (slope * width + self._bands), (height, width)))
        return min(tiles)  # one of them is the whole

    def _lowest(self, width: int, cells: int) -> int:
        """How high tiles of a width are at least, for so many cells in the smallest map of one.

        More than the whole is where none has as many.
        """
        axis, missing = self.tiling.axes[0], self.tiling.size[1] - width
        height = axis.smallest
        for (rows, row), (columns, column) in self.tiling.different_counts:
            needed = -(-cells // max(1, cells_along(columns, column, missing)))
            # Without so many pixels the whole has just the rows that are needed.
            spare = ((rows - needed + 1) * row.numerator - 1) // row.denominator
            height = max(height, axis.size - spare)
        height += (axis.smallest - height) % axis.stride
        is_whole = not missing and (axis.size - axis.smallest) % axis.stride == 0
        return min(height, axis.size) if is_whole else height

    def _has_cells(self, tile: Size, cells: int) -> bool:
        return tile == self.tiling.size or self.tiling.fewest_cells(tile) >= cells

    def _choice(self, strip: _Strip, height: int) -> Choice:
        """Tiles of a strip's width, of a height."""
        axis = self.tiling.axes[0]
        adds = strip.multiply_adds(axis.size - height)
        cost = axis.count(height) * strip.beside * (self._call + adds)
        return Choice(cost, (height, strip.width))

    @cached_property
    def _strips(self) -> dict[int, _Strip]:
        """What is known of tiles of each of the widths, whatever their height."""
        return {width: self._strip(width) for width in self._widths}

    def _strip(self, width: int) -> _Strip:
        axis = self.tiling.axes[1]
        weights = tuple(
            (weight, *rows, cells_along(*columns, axis.size - width))
            for (rows, columns), weight in self._weights.items()
        )
        return _Strip(width, axis.count(width), weights)

    @cached_property
    def _call(self) -> float:
        """What running the part once costs besides its cells, as multiply-adds."""
        return _CALL + _READ * distinct_params(self.net, self._samples[0][1])

    @property
    def once(self) -> float:
        """The multiply-adds of the part where nothing is computed twice."""
        return self.multiply_adds(self.tiling.size)

    @cached_property
    def _widths(self) -> tuple[int, ...]:
        """Widths of tiles, from the whole to the smallest."""
        axis, count, widths = self.tiling.axes[1], 1, [self.tiling.size[1]]
        while widths[-1] > axis.smallest:
            count += 1 + count // 8  # of the first few counts all, then fewer
            widths.append(axis.of_count(count))
        return tuple(dict.fromkeys(widths))

    def stage(self, tile: Size) -> Stage:
        """Run in such tiles."""
        plan = self.tiling.exactly(tile)
        costs = plan.count * self.multiply_adds(tile), self.once
        return Stage(self.net, self.input, self.channels, self.blobs, plan, *costs)
