"""A net run over an input as one, or tile by tile where that needs too much memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from netsurgery.engines.contract import EngineOptions, LoadedNet
from netsurgery.errors import MemoryLimitError, NetError, NetsurgeryError
from netsurgery.io.memory import Claim, empty, left
from netsurgery.io.shape_text import shape_text
from netsurgery.io.wording import argument, counted
from netsurgery.maps.classmap import map_memory
from netsurgery.maps.map_source import MapSource
from netsurgery.maps.picture_options import TileSize
from netsurgery.net.memory import largest_size
from netsurgery.net.net import Shape
from netsurgery.net.shapes import infer
from netsurgery.net.stage_tiles import Memory
from netsurgery.net.stages import Stage, StagedPlan
from netsurgery.net.staging import Staging, find_stages
from netsurgery.net.tiles import EXACT_CELLS, TilePlan, Tiling, least_exact_cells
from netsurgery.net.tiling import Untileable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from netsurgery.maps.tile_store import TileStore

    Array = NDArray[np.float32]

__all__ = [
    "Tiler",
    "cutter",
    "run_stages",
    "run_tiles",
    "thread_count",
    "tiles_note",
]

Size = tuple[int, int]


@dataclass(frozen=True)
class Tiler:
    """Finds tiles for a net that cannot, or is not to, be run over the whole input.

    names: the blobs that are wanted. as_map: whether the first of them is to become a class map.
    besides: what an input of a size takes where it is run as one, besides the engine. cutting:
    what the picture takes, for an input of a size, while tiles of another are cut from it. memory:
    what the engine takes for a part of the net; options: those that it was opened with. store:
    where the blobs are put together.
    """

    source: MapSource
    loaded: LoadedNet
    names: Sequence[str]
    as_map: bool
    besides: Callable[[Size], int]
    cutting: Callable[[Size, Size], int]
    memory: Memory
    options: EngineOptions
    store: TileStore

    def plan(
        self, size: Size, tile: TileSize, refusal: MemoryLimitError | NetError | None
    ) -> StagedPlan:
        """The tiles for an input of `size`.

        refusal: why it cannot be run as one, None where it only is not to. Raises that where no
        tiles help, of memory with a size that fits; NetError for tiles of a size, or of a net, that
        cannot be.
        """
        if isinstance(tile, int) and max(size) > tile:
            return self._of_side(size, tile)
        assert refusal is not None
        if tile == "auto":
            return self._fitting(size, refusal)
        if isinstance(refusal, MemoryLimitError):
            refusal = refusal.more(self._fitting_size(size, self._whole_memory, refusal.left))
        raise refusal

    def _of_side(self, size: Size, side: int) -> StagedPlan:
        """Tiles of at most `side` pixels a side."""
        staging, path = self._staging(size), self.source.net.prototxt.path
        if isinstance(staging, Untileable):
            raise NetError(f"{path}: the net cannot be run in tiles: {staging}")
        if staging.smallest_side > side:
            raise NetError(
                f"{path}: found tiles of {counted(side, 'pixel')} a side, expected at least "
                f"{staging.smallest_side}, the smallest that gives a cell of its own"
            )
        plan = self._first(lambda cells: staging.of_side(side, cells), least=1)
        assert plan is not None
        what = f"{path}: running the net in tiles of {shape_text(plan.stages[0].plan.tile)}"
        on_gpu = self.options.gpu is not None  # the memory is then the GPU's
        try:
            Claim(self._beside(staging, plan) + (0 if on_gpu else plan.memory), what).close()
        except MemoryLimitError:
            plan = self._within(staging, 1, side)
            if plan is None:
                raise
        return plan

    def _fitting(self, size: Size, refusal: MemoryLimitError | NetError) -> StagedPlan:
        """The tiles that compute least of those that fit. Raises `refusal` where none do."""
        staging = self._staging(size)
        if isinstance(staging, Untileable):
            words = f"; it cannot be run in tiles: {staging}"
            if isinstance(refusal, MemoryLimitError):
                words = self._fitting_size(size, self._whole_memory, refusal.left) + words
            raise _more(refusal, words) from None
        plan = self._within(staging, EXACT_CELLS + 1)
        if plan is None:
            words = self._fitting_size(size, self._least_memory, left())
            raise _more(refusal, words) from None
        return plan

    def _within(self, staging: Staging, least: int, side: int | None = None) -> StagedPlan | None:
        """What computes least of what fits; tiles of at most `side` pixels a side.

        What the picture takes depends on the tiles: the plan is made again with less for it.
        """
        memory = left() - self._beside_tiles(staging.tiling, staging.tiling.smallest)
        while memory > 0:
            within = partial(staging.within, memory, side=side)
            plan = self._first(within, least)
            excess = 0 if plan is None else self._beside(staging, plan) + plan.memory - left()
            if plan is None or excess <= 0:
                return plan
            memory = plan.memory - excess
        return None

    def _first(self, planned: Callable[[int], StagedPlan | None], least: int) -> StagedPlan | None:
        """The first plan whose tiles have cells enough for the bits of the whole; or `least`."""
        for cells in dict.fromkeys(
            (least_exact_cells(thread_count(self.options)), EXACT_CELLS + 1, least)
        ):
            plan = planned(cells)
            if plan is not None:
                return plan
        return None

    def _staging(self, size: Size) -> Staging | Untileable:
        source, names = self.source, tuple(self.names)
        return _find_stages(source.net, source.input.name, source.shape, size, names, self.memory)

    def _beside(self, staging: Staging, plan: StagedPlan) -> int:
        return self._beside_tiles(staging.tiling, plan.stages[0].plan.tile)

    def _beside_tiles(self, tiling: Tiling, tile: Size) -> int:
        """What the picture takes and the blobs, put together from tiles, besides the engine."""
        shapes = infer(self.source.net).blobs
        maps = [(shapes[blob][1], *tiling.maps[blob]) for blob in self.names]
        of_map = map_memory(maps[0]) if self.as_map else 0
        numbers = sum(map(prod, maps))
        return self.cutting(tiling.size, tile) + self.store.memory(numbers) + of_map

    def _whole_memory(self, size: Size) -> int:
        return self.loaded.memory(self.source.inputs(size), self.names) + self.besides(size)

    def _least_memory(self, size: Size) -> int:
        """What the tiles that take least do."""
        staging = self._staging(size)
        assert isinstance(staging, Staging)
        plan = staging.least(EXACT_CELLS + 1)
        return plan.memory + self._beside(staging, plan)

    def _fitting_size(self, size: Size, memory: Callable[[Size], int], left: int) -> str:
        """The largest size of these proportions that takes no more than is left, in words; or "".

        memory: what a size takes.
        """

        def fits(size: Size) -> bool:
            try:
                return memory(size) <= left
            except NetsurgeryError:  # smaller than the net takes
                return True

        height, width = largest_size(fits, size)
        try:
            self.source.check((height, width))
        except NetsurgeryError:
            return ""
        return f"; {argument(f'--size {shape_text((height, width))}')} fits"


#: Pictures of a list are often of one size.
_find_stages = lru_cache(maxsize=2)(find_stages)


def _more(error: MemoryLimitError | NetError, words: str) -> NetsurgeryError:
    """The error with words after it."""
    return error.more(words) if isinstance(error, MemoryLimitError) else NetError(f"{error}{words}")


def tiles_note(plan: StagedPlan, engine: str, options: EngineOptions) -> str:
    """How the input was run, in a line.

    engine: what ran it, as it describes itself; options: those that it was opened with. Only the
    embedded engine on the CPU is known to add in the same order whatever the size of the input.
    """
    same_order = engine.startswith("embedded") and options.gpu is None
    exact = same_order and plan.is_exact(thread_count(options))
    first, *others = plan.stages
    behind = "".join(
        f", from {stage.input!r} on in {counted(stage.plan.count, 'tile')} of "
        f"{shape_text(stage.plan.tile)}"
        for stage in others
    )
    return (
        f"the net was run in {counted(first.plan.count, 'tile')} of {shape_text(first.plan.tile)}"
        f"{behind}, {plan.overhead:.2f} times the arithmetic, with the numbers of the whole"
        f"{'' if exact else ' to rounding'}"
    )


def thread_count(options: EngineOptions) -> int:
    """How many threads the embedded engine runs with."""
    return options.threads or os.cpu_count() or 1


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
    for stage, following in zip(plan.stages, (*plan.stages[1:], None), strict=True):
        band = None if following is None else _Band(stage, following)
        rows = _rows(stage.plan, cut, partial(run, stage), maps, band)
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
    width. run: gives the blobs for a tile, C-contiguous and always of the one shape. make: gives
    the array that a whole blob of a shape is written into. store: knows which rows of the blobs are
    done already, and is told those that are.
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
) -> Iterator[None]:
    """Runs one row of tiles after another, and hands on what they give.

    Those whose cells are done already, and that the next stage does not need, are left out.
    """
    for tiles in plan.rows:
        rows = {blob: part.cells[0] for blob, part in tiles[0].parts.items()}
        if maps.have(rows) and (band is None or band.is_past(rows)):
            continue
        for tile in tiles:
            results = run(np.ascontiguousarray(cut(tile.start, plan.tile)))
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
