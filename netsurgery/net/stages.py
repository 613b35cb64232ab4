"""A large input in tiles and in stages: each stage is a part of the net, up to a cut or to the end.

The tiles of the first are of the input, and those of the others of the map that the stage before
has made of its tiles. Tiles overlap by what the layers of one stage see, not by what those of the
whole net do, so that less is computed twice; and no stage needs more than a band of the map before.

`net.staging` decides which cuts are made, and how large the tiles of each stage are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from netsurgery.net.net import NetDefinition, Shape
from netsurgery.net.tiles import TilePlan, least_exact_cells

__all__ = ["Stage", "StagedPlan"]

Size = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Stage:
    """A part of the net, the blob it begins at, and the tiles of that blob's map.

    blobs: those that it gives, the cut behind it the last. multiply_adds: of all its tiles; once:
    where nothing is computed twice.
    """

    net: NetDefinition
    input: str
    channels: int
    blobs: tuple[str, ...]
    plan: TilePlan
    multiply_adds: float
    once: float

    @property
    def input_shape(self) -> Shape:
        """Of a tile."""
        return (1, self.channels, *self.plan.tile)


@dataclass(frozen=True, eq=False)
class StagedPlan:
    """How an input is run in tiles, all by one stage or by several, one behind another.

    net: what all of them make up. maps: blob that is wanted -> rows and columns of its whole map.
    representative: a size of the input at which the whole net treats it as it does the whole.
    memory: what the stages take, besides the input and the maps.
    """

    net: NetDefinition
    stages: tuple[Stage, ...]
    maps: Mapping[str, Size]
    representative: Size
    memory: int

    @property
    def cuts(self) -> tuple[str, ...]:
        """The blobs at which one stage ends and the next begins."""
        return tuple(stage.input for stage in self.stages[1:])

    @property
    def overhead(self) -> float:
        """How often a multiply-add of the whole is done."""
        return sum(stage.multiply_adds for stage in self.stages) / sum(
            stage.once for stage in self.stages
        )

    def is_exact(self, threads: int) -> bool:
        """Whether tiles have cells enough for the very bits of the whole."""
        least = least_exact_cells(threads)
        return all(
            stage.plan.count == 1 or stage.plan.fewest_cells >= least for stage in self.stages
        )
