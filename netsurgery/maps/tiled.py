"""A net run over an input as one, or tile by tile where that needs too much memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from netsurgery.engines.contract import EngineOptions, LoadedNet
from netsurgery.errors import MemoryLimitError, NetError, NetsurgeryError
from netsurgery.io.shape_text import shape_text
from netsurgery.io.wording import argument, counted
from netsurgery.maps.classmap import map_memory
from netsurgery.maps.map_source import MapSource
from netsurgery.maps.picture_options import TileSize
from netsurgery.maps.tile_store import TileStore
from netsurgery.net.memory import largest_size
from netsurgery.net.net import Shape
from netsurgery.net.shapes import infer
from netsurgery.net.tiles import TilePlan, Tiling, has_exact_cells
from netsurgery.net.tiling import Untileable, find_tiling

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

__all__ = ["Tiler", "cutter", "run_tiles", "tiles_note"]

Size = tuple[int, int]


@dataclass(frozen=True)
class Tiler:
    """Finds tiles for a net that cannot, or is not to, be run over the whole input.

    names: the blobs that are wanted. as_map: whether the first of them is to become a class map.
    besides: what an input of a size takes where it is run as one, besides the engine. cutting:
    what the picture takes, for an input of a size, while tiles of another are cut from it. store:
    where the blobs are put together.
    """

    source: MapSource
    loaded: LoadedNet
    names: Sequence[str]
    as_map: bool
    besides: Callable[[Size], int]
    cutting: Callable[[Size, Size], int]
    store: TileStore

    def plan(
        self, size: Size, tile: TileSize, refusal: MemoryLimitError | NetError | None
    ) -> TilePlan:
        """The tiles for an input of `size`.

        refusal: why it cannot be run as one, None where it only is not to. Raises that where no
        tiles help, of memory with a size that fits; NetError for tiles of a size, or of a net, that
        cannot be.
        """
        if isinstance(tile, int) and max(size) > tile:
            return self._of_size(size, tile)
        assert refusal is not None
        if tile == "auto":
            return self._fitting(size, refusal)
        if isinstance(refusal, MemoryLimitError):
            refusal = refusal.more(self._fitting_size(size, self._whole_memory, refusal.left))
        raise refusal

    def _of_size(self, size: Size, side: int) -> TilePlan:
        """Tiles of at most `side` pixels a side."""
        tiling, path = self._tiling(size), self.source.net.prototxt.path
        if isinstance(tiling, Untileable):
            raise NetError(f"{path}: the net cannot be run in tiles: {tiling}")
        tile = tiling.largest(side)
        if max(tile) > side:
            smallest = max(tiling.smallest)
            raise NetError(
                f"{path}: found tiles of {counted(side, 'pixel')} a side, expected at least "
                f"{smallest}, the smallest that gives a cell of its own"
            )
        plan = tiling.plan(tile)
        self.loaded.check_memory(
            self.source.inputs(plan.tile), self.names, self._beside_tiles(tiling, plan.tile)
        )
        return plan

    def _fitting(self, size: Size, refusal: MemoryLimitError | NetError) -> TilePlan:
        """The largest tiles that fit. Raises `refusal` of the whole where none does."""
        tiling = self._tiling(size)
        if isinstance(tiling, Untileable):
            words = f"; it cannot be run in tiles: {tiling}"
            if isinstance(refusal, MemoryLimitError):
                words = self._fitting_size(size, self._whole_memory, refusal.left) + words
            raise _more(refusal, words) from None

        def check(tile: Size) -> None:
            besides = self._beside_tiles(tiling, tile)
            self.loaded.check_memory(self.source.inputs(tile), self.names, besides)

        try:
            check(tiling.smallest_exact)
        except MemoryLimitError as error:
            words = self._fitting_size(size, self._least_memory, error.left)
            raise _more(refusal, words) from None
        low, high = max(tiling.smallest_exact), max(size)
        while low < high:
            side = (low + high + 1) // 2
            try:
                check(tiling.largest(side))
                low = side
            except NetsurgeryError:  # too much memory, or more numbers than Caffe counts
                high = side - 1
        return tiling.plan(tiling.largest(low))

    def _tiling(self, size: Size) -> Tiling | Untileable:
        source = self.source
        return find_tiling(source.net, source.input.name, source.shape, size, self.names)

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
        """What the smallest tiles take."""
        tiling = self._tiling(size)
        assert isinstance(tiling, Tiling)
        tile = tiling.smallest_exact
        memory = self.loaded.memory(self.source.inputs(tile), self.names)
        return memory + self._beside_tiles(tiling, tile)

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


def _more(error: MemoryLimitError | NetError, words: str) -> NetsurgeryError:
    """The error with words after it."""
    return error.more(words) if isinstance(error, MemoryLimitError) else NetError(f"{error}{words}")


def tiles_note(plan: TilePlan, engine: str, options: EngineOptions) -> str:
    """How the input was run, in a line.

    engine: what ran it, as it describes itself; options: those that it was opened with. Only the
    embedded engine on the CPU is known to add in the same order whatever the size of the input.
    """
    threads = options.threads or os.cpu_count() or 1
    same_order = engine.startswith("embedded") and options.gpu is None
    exact = same_order and has_exact_cells(plan.fewest_cells, threads)
    return (
        f"the net was run in {counted(plan.count, 'tile')} of {shape_text(plan.tile)}, "
        f"{plan.overhead:.2f} times the arithmetic, with the numbers of the whole"
        f"{'' if exact else ' to rounding'}"
    )


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
    maps = {} if store is None else dict(store.maps)
    for tiles in plan.rows:
        ends = {blob: part.cells[0].stop for blob, part in tiles[0].parts.items()}
        if store is not None and store.has(ends):
            continue
        for tile in tiles:
            results = run(np.ascontiguousarray(cut(tile.start, plan.tile)))
            for blob, part in tile.parts.items():
                if blob not in maps:
                    maps[blob] = make(blob, (*results[blob].shape[:2], *plan.maps[blob]))
                (rows, columns), (from_rows, from_columns) = part.cells, part.source
                maps[blob][:, :, rows, columns] = results[blob][:, :, from_rows, from_columns]
            del results
        if store is not None:
            store.add(ends)
    return maps


def cutter(data: Array) -> Callable[[Size, Size], Array]:
    """`cut` of `run_tiles` where the whole input, 1 x C x H x W, is in memory."""

    def cut(start: Size, size: Size) -> Array:
        (top, left), (height, width) = start, size
        return data[:, :, top : top + height, left : left + width]

    return cut
