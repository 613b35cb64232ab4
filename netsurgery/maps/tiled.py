"""A net run over an input as one, or tile by tile where that needs too much memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import TYPE_CHECKING

from netsurgery.engines.contract import EngineOptions
from netsurgery.errors import MemoryLimitError, NetError, NetsurgeryError
from netsurgery.io.memory import Claim, left
from netsurgery.io.shape_text import shape_text
from netsurgery.io.wording import argument, counted
from netsurgery.maps.map_record import TO_ROUNDING
from netsurgery.maps.picture_limits import check_enlarged
from netsurgery.maps.picture_options import TileSize
from netsurgery.maps.row_blocks import map_memory
from netsurgery.net import types
from netsurgery.net.memory import caffe_memory, embedded_memory, embedded_work, largest_size
from netsurgery.net.net import NetDefinition
from netsurgery.net.shapes import TOO_MANY, infer
from netsurgery.net.stages import StagedPlan
from netsurgery.net.staging import Staging
from netsurgery.net.tiles import EXACT_CELLS, Tiling, least_exact_cells
from netsurgery.net.tiling import Untileable

if TYPE_CHECKING:
    from netsurgery.maps.image import Picture
    from netsurgery.maps.net_runner import NetRunner
    from netsurgery.maps.tile_store import TileStore

__all__ = [
    "Tiler",
    "keeps_bits",
    "keeps_order",
    "thread_count",
    "tiles_note",
]

Size = tuple[int, int]

#: How often tiles are planned at most, each time for another part of the memory.
_TRIES = 8


@dataclass(frozen=True)
class Tiler:
    """Finds tiles for a net that cannot, or is not to, be run over the whole input.

    names: the blobs that are wanted. as_map: whether the first of them is to become a class map.
    besides: what an input of a size takes where it is run as one, besides the engine. cutting:
    what the picture takes, for an input of a size, while tiles of another are cut from it. store:
    where the blobs are put together.
    """

    runner: NetRunner
    names: Sequence[str]
    as_map: bool
    besides: Callable[[Size], int]
    cutting: Callable[[Size, Size], int]
    store: TileStore

    def plan(
        self,
        picture: Picture,
        size: Size,
        tile: TileSize,
        refusal: MemoryLimitError | NetError | None,
    ) -> StagedPlan:
        """The tiles for an input of `size` that a picture becomes.

        refusal: why it cannot be run as one, None where it only is not to. Raises that where no
        tiles help, of memory with a size that fits; NetError for tiles of a size, or of a net, that
        cannot be; ImageError for a picture that is enlarged too much: as tiles any size fits, a
        mistyped one too, if there is time enough.
        """
        plan = self._plan(size, tile, refusal)
        check_enlarged(picture.shown, picture.size, size)
        return plan

    def _plan(
        self, size: Size, tile: TileSize, refusal: MemoryLimitError | NetError | None
    ) -> StagedPlan:
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
        staging, path = self._staging(size), self.runner.source.net.prototxt.path
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
        on_gpu = self.runner.options.gpu is not None  # the memory is then the GPU's
        try:
            Claim(self._beside(staging, plan) + (0 if on_gpu else plan.memory), what).close()
        except MemoryLimitError:
            plan = self._within(staging, 1, side)
            if plan is None:
                raise
        return plan

    def _fitting(self, size: Size, refusal: MemoryLimitError | NetError) -> StagedPlan:
        """The tiles that compute least of those that fit. Raises `refusal` where none do."""
        free = left()
        staging = self._staging(size)
        if isinstance(staging, Untileable):
            words = f"; it cannot be run in tiles: {staging}"
            if isinstance(refusal, MemoryLimitError):
                words = self._fitting_size(size, self._whole_memory, refusal.left) + words
            raise _more(refusal, words) from None
        plan = self._within(staging, EXACT_CELLS + 1)
        if plan is None:
            # The parts of the net, which were read to be planned, take some of it; run as one, the
            # net gives back what it takes now.
            of_parts = free - left()
            of_net = refusal.left - free if isinstance(refusal, MemoryLimitError) else 0
            words = self._fitting_size(size, partial(self._least_memory, of_parts, of_net), free)
            raise _more(refusal, words) from None
        return plan

    def _within(self, staging: Staging, cells: int, side: int | None = None) -> StagedPlan | None:
        """What computes least of what fits; tiles of at most `side` pixels a side.

        What the picture takes depends on the tiles, so that what is left for them is searched.
        """
        low, high = 0, left() - self._beside_tiles(staging.tiling, staging.tiling.smallest)
        budget, best, shares = high, None, staging.best_shares(high, cells, side)
        for _ in range(_TRIES):
            plan = self._first(partial(staging.within, budget, side=side, shares=shares), cells)
            if plan is not None and self._fits(staging, plan):
                low, best = budget, plan
            elif plan is not None:
                high = budget
            else:
                low = budget
            if low >= high:
                break
            budget = (low + high) // 2
        if best is None and side is None:
            least = staging.least(cells)
            best = least if self._fits(staging, least) else None
        return best

    def _fits(self, staging: Staging, plan: StagedPlan) -> bool:
        return self._beside(staging, plan) + plan.memory <= left()

    def _first(self, planned: Callable[[int], StagedPlan | None], least: int) -> StagedPlan | None:
        """The first plan whose tiles have cells enough for the bits of the whole; or `least`."""
        for cells in dict.fromkeys(
            (least_exact_cells(thread_count(self.runner.options)), EXACT_CELLS + 1, least)
        ):
            plan = planned(cells)
            if plan is not None:
                return plan
        return None

    def _staging(self, size: Size) -> Staging | Untileable:
        source, names = self.runner.source, tuple(self.names)
        is_caffe = self.runner.engine.startswith("caffe")
        memory = (caffe_memory, None) if is_caffe else (embedded_memory, embedded_work)
        return self.runner.find_stages(
            source.net, source.input.name, source.shape, size, names, *memory
        )

    def _beside(self, staging: Staging, plan: StagedPlan) -> int:
        return self._beside_tiles(staging.tiling, plan.stages[0].plan.tile)

    def _beside_tiles(self, tiling: Tiling, tile: Size) -> int:
        """What the picture takes and the blobs, put together from tiles, besides the engine."""
        shapes = infer(self.runner.source.net).blobs
        maps = [(shapes[blob][1], *tiling.maps[blob]) for blob in self.names]
        of_map = map_memory(maps[0]) if self.as_map else 0
        of_blobs = sum(self.store.memory(prod(each)) for each in maps)
        return self.cutting(tiling.size, tile) + of_blobs + of_map

    def _whole_memory(self, size: Size) -> int:
        inputs = self.runner.source.inputs(size)
        return self.runner.load().memory(inputs, self.names) + self.besides(size)

    def _least_memory(self, of_parts: int, of_net: int, size: Size) -> int:
        """What the tiles that take least do, and the net's parts; or the whole if that is less.

        of_net: what the net, as it is loaded now, gives back for the whole.
        """
        staging = self._staging(size)
        assert isinstance(staging, Staging)
        plan = staging.least(EXACT_CELLS + 1)
        in_tiles = of_parts + plan.memory + self._beside(staging, plan)
        try:
            return min(in_tiles, self._whole_memory(size) - of_net)
        except NetsurgeryError:  # more numbers than Caffe counts
            return in_tiles

    def _fitting_size(self, size: Size, memory: Callable[[Size], int], left: int) -> str:
        """The largest size of these proportions that takes no more than is left, in words; or "".

        memory: what a size takes.
        """

        def fits(size: Size) -> bool:
            try:
                return memory(size) <= left
            except NetsurgeryError as error:  # smaller than the net takes, if not too large
                return not str(error).endswith(TOO_MANY)

        height, width = largest_size(fits, size)
        try:
            self.runner.source.check((height, width))
        except NetsurgeryError as error:
            if not str(error).endswith(TOO_MANY):  # which tiles are not
                return ""
        return f"; {argument(f'--size {shape_text((height, width))}')} fits"


def _more(error: MemoryLimitError | NetError, words: str) -> NetsurgeryError:
    """The error with words after it."""
    return error.more(words) if isinstance(error, MemoryLimitError) else NetError(f"{error}{words}")


def tiles_note(plan: StagedPlan, engine: str, options: EngineOptions) -> str:
    """How the input was run, in a line. engine, options: as in `keeps_bits`."""
    exact = keeps_bits(plan, engine, options)
    first, *others = plan.stages
    behind = "".join(
        f", from {stage.input!r} on in {counted(stage.plan.count, 'tile')} of "
        f"{shape_text(stage.plan.tile)}"
        for stage in others
    )
    return (
        f"the net was run in {counted(first.plan.count, 'tile')} of {shape_text(first.plan.tile)}"
        f"{behind}, {plan.overhead:.2f} times the arithmetic, with the numbers of the whole"
        f"{'' if exact else TO_ROUNDING}"
    )


def keeps_bits(plan: StagedPlan, engine: str, options: EngineOptions) -> bool:
    """Whether tiles give the very bits of the whole. engine, options: as in `keeps_order`."""
    return keeps_order(plan.net, engine, options) and plan.is_exact(thread_count(options))


def keeps_order(net: NetDefinition, engine: str, options: EngineOptions) -> bool:
    """Whether a cell is computed in the same way wherever it lies in an input that is not small.

    engine: what runs the net, as it describes itself; options: those that it was opened with. Only
    the embedded engine on the CPU is known to do so, but for places between cells, which are
    rounded by how far they lie from the first.
    """
    is_alike = not any(map(types.interpolates, net.layers))
    return is_alike and engine.startswith("embedded") and options.gpu is None


def thread_count(options: EngineOptions) -> int:
    """How many threads the embedded engine runs with."""
    return options.threads or os.cpu_count() or 1
