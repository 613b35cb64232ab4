"""Runs a net tile by tile, and puts its blobs together: in one stage, or in several."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from netsurgery.io.memory import empty
from netsurgery.net.net import Shape
from netsurgery.net.stages import Stage, StagedPlan
from netsurgery.net.tiles import TilePlan

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from netsurgery.maps.mapper import Mapper
    from netsurgery.maps.tile_store import TileStore

    Array = NDArray[np.float32]

__all__ = ["cutter", "run_in_tiles", "run_stages", "run_tiles"]

Size = tuple[int, int]


def run_in_tiles(
    mapper: Mapper, plan: StagedPlan, store: TileStore, cut: Callable[[Size, Size], Array]
) -> dict[str, Array]:
    """The blobs of a plan by a mapper's net, put together in `store`; cut: as in `run_tiles`."""
    from netsurgery.maps.tiled import tiles_note

    mapper.tiled = tiles_note(plan, mapper.engine, mapper.options)
    with mapper.stages(plan) as run:
        run_stages(plan, cut, run, store.make, store)
    return store.whole()


def run_stages(
    plan: StagedPlan,
    cut: Callable[[Size, Size], Array],
    run: Callable[[Stage, Array], Mapping[str, Array]],
    make: Callable[[str, Shape], Array],
    store: TileStore | None = None,
) -> dict[str, Array]:
    """The blobs of `plan.maps`, float32 1 x C x rows x columns.

    cut, make, store: as in `run_tiles`. run: gives the blobs of a stage for a tile of what it
    begins at. A stage is run as far as the next needs: of the map between them a band is kept.
    """
    maps = _Maps(plan.maps, make, store)
    with ExitStack() as stack:
        for stage, following in zip(plan.stages, (*plan.stages[1:], None), strict=True):
            band = None if following is None else _Band(stage, following)
            rows = _rows(stage.plan, cut, partial(run, stage), maps, band)
            # One that is not at its end knows its band, which knows it: their memory would be kept.
            stack.callback(rows.close)
            if band is not None:
                band.rows, cut = rows, band.cut
        for _ in rows:  # the last tiles of a stage end with its map, and so need all of that
            pass
    return maps.arrays


def run_tiles(
    plan: TilePlan,
    cut: Callable[[Size, Size], Array],
    run: Callable[[Array], Mapping[str, Array]],
    make: Callable[[str, Shape], Array],
    store: TileStore | None = None,
) -> dict[str, Array]:
    """The blobs of `plan.maps`, float32 1 x C x rows x columns.

    cut: gives the input's pixels from a row and column on, 1 x C x height x width, of a height and
    width. run: gives the blobs for a tile, always of the one shape, which it does not keep. make:
    gives the array that a whole blob of a shape is written into. store: knows which rows of the
    blobs are done already, and keeps those that are.
    """
    maps = _Maps(plan.maps, make, store)
    for _ in _rows(plan, cut, run, maps):
        pass
    return maps.arrays


def _rows(
    plan: TilePlan,
    cut: Callable[[Size, Size], Array],
    run: Callable[[Array], Mapping[str, Array]],
    maps: _Maps,
    band: _Band | None = None,
) -> Generator[None, None, None]:
    """Runs one row of tiles after another, and hands on what they give.

    Those whose cells are done already, and that the next stage does not need, are left out.
    """
    for tiles in plan.rows:
        rows = {blob: part.cells[0] for blob, part in tiles[0].parts.items()}
        if maps.have(rows) and (band is None or band.is_past(rows)):
            continue
        for tile in tiles:
            results = run(cut(tile.start, plan.tile))
            for blob, part in tile.parts.items():
                source = part.source
                for sink in (maps, band):
                    if sink is not None:
                        sink.write(blob, part.cells, results[blob][:, :, source[0], source[1]])
            del results
        maps.done(rows)
        yield


class _Maps:
    """The whole maps that are wanted; each is made when its first cells are there."""

    def __init__(
        self,
        sizes: Mapping[str, Size],
        make: Callable[[str, Shape], Array],
        store: TileStore | None,
    ) -> None:
        self._sizes, self._make, self._store = sizes, make, store
        self.arrays = {} if store is None else dict(store.maps)

    def _ends(self, rows: Mapping[str, slice]) -> dict[str, int]:
        return {blob: rows[blob].stop for blob in rows if blob in self._sizes}

    def have(self, rows: Mapping[str, slice]) -> bool:
        """Whether the store has these rows, and those before, of the maps that are wanted."""
        ends = self._ends(rows)
        return not ends or (self._store is not None and self._store.has(ends))

    def done(self, rows: Mapping[str, slice]) -> None:
        """All of these rows are written."""
        ends = self._ends(rows)
        if ends and self._store is not None:
            self._store.add(ends)

    def write(self, blob: str, cells: tuple[slice, slice], values: Array) -> None:
        """Take cells of a map."""
        if blob not in self._sizes:
            return
        if blob not in self.arrays:
            self.arrays[blob] = self._make(blob, (*values.shape[:2], *self._sizes[blob]))
        self.arrays[blob][:, :, cells[0], cells[1]] = values


class _Band:
    """The rows of the map between two stages that are there, and that the second has yet to read.

    rows: runs the first stage, one row of its tiles after another.
    """

    def __init__(self, first: Stage, second: Stage) -> None:
        self.rows: Iterator[None] = iter(())
        self._blob, self._width = second.input, second.plan.size[1]
        rows = [cuts[self._blob][0] for cuts in first.plan.cuts[0]]
        of_one_run = max(each.stop - each.start for each in rows)
        #: It waits for its own rows one row of tiles at a time.
        self._capacity = second.plan.tile[0] + of_one_run
        self._top = self._end = 0
        self._values: Array | None = None

    def write(self, blob: str, cells: tuple[slice, slice], values: Array) -> None:
        """Take cells of the map; the first of a row of tiles make room for all of it."""
        if blob != self._blob:
            return
        if self._values is None:
            shape = (*values.shape[:2], self._capacity, self._width)
            self._values = empty(shape, np.float32, f"a band of blob {blob!r}")
        rows, columns = cells
        first, self._end = max(rows.start, self._top), rows.stop
        if first < rows.stop:  # the second may leave rows out
            own = slice(first - self._top, rows.stop - self._top)
            self._values[:, :, own, columns] = values[:, :, first - rows.start :]

    def is_past(self, rows: Mapping[str, slice]) -> bool:
        """Whether the second stage has no use for these rows of the map; they then count as made.

        So it is where it goes on with what an earlier run has done, and begins further down.
        """
        if rows[self._blob].stop > self._top:
            return False
        self._end = rows[self._blob].stop
        return True

    def cut(self, start: Size, size: Size) -> Array:
        """The map from a row and column on, of a height and width; rows before are dropped."""
        (top, left), (height, width) = start, size
        if top > self._top:
            dropped = top - self._top
            if self._values is not None:
                for row in range(self._end - top):  # by itself, each needs no copy of the others
                    self._values[:, :, row] = self._values[:, :, row + dropped]
            self._top = top
        while self._end < top + height:
            next(self.rows)
        assert self._values is not None
        return self._values[:, :, top - self._top : top - self._top + height, left : left + width]


def cutter(data: Array) -> Callable[[Size, Size], Array]:
    """`cut` of `run_tiles` where the whole input, 1 x C x H x W, is in memory."""

    def cut(start: Size, size: Size) -> Array:
        (top, left), (height, width) = start, size
        return data[:, :, top : top + height, left : left + width]

    return cut
