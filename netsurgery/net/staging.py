"""Where a net is cut into stages, and how large the tiles of each are.

Of all the cuts and tiles that fit into the memory there is, those are taken that compute least.
Memory is shared out in equal portions: for each place of the net and each number of portions, the
best way there is the best way to an earlier place, and one stage more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

from netsurgery.errors import NetsurgeryError
from netsurgery.net.cuts import find_cuts, part_between
from netsurgery.net.needed import only_needed
from netsurgery.net.net import NetDefinition, Shape
from netsurgery.net.shapes import infer
from netsurgery.net.stage_tiles import Choice, Memory, NetPart
from netsurgery.net.stages import StagedPlan
from netsurgery.net.tiles import Tiling
from netsurgery.net.tiling import Untileable, walk_net

__all__ = ["Staging", "find_stages"]

Size = tuple[int, int]
#: Tiles for the parts of a net that make it up: (number of a place, of a later one) -> their size.
_PartTiles = dict[tuple[int, int], Size]
#: What such parts cost, in multiply-adds or in bytes.
_Way = tuple[float, _PartTiles]

#: How many portions memory is divided into.
_PORTIONS = 40
#: Shares of the memory that are tried for what stages take in turn.
_WORK = (0.25, 0.4, 0.5, 0.65)
#: A stage more has to save this share of the arithmetic: it has a session of its own.
_WORTH = 0.05


def _cost(plan: StagedPlan) -> float:
    """What a plan computes, and what its sessions are worth."""
    return plan.overhead + _WORTH * len(plan.stages)


@dataclass(frozen=True, eq=False)
class Staging:
    """A net that can be run in tiles, and all the parts that cuts could make of it.

    parts: (number of a place, number of a later one) -> the part between; the places are the input,
    the cuts and the end.
    """

    net: NetDefinition
    tiling: Tiling
    parts: Mapping[tuple[int, int], NetPart]

    @property
    def end(self) -> int:
        """The number of the last place."""
        return max(after for _, after in self.parts)

    @property
    def cuts(self) -> tuple[str, ...]:
        """The blobs at which the net can be cut."""
        return tuple(self.parts[place, place + 1].input for place in range(1, self.end))

    @property
    def smallest_side(self) -> int:
        """The longer side of the smallest tile of the input that any first stage takes."""
        first = (part for (start, _), part in self.parts.items() if start == 0)
        return min(max(part.tiling.smallest) for part in first)

    def within(
        self,
        memory: int,
        cells: int,
        side: int | None = None,
        shares: Sequence[float | None] | None = None,
    ) -> StagedPlan | None:
        """What computes least within so much memory; None where nothing fits.

        cells, side: as in `of_side`. shares: as `best_shares` gives them, None for all there are.
        """
        shares = self._shares if shares is None else shares
        plans = [self._within(memory, cells, side, share) for share in shares]
        if not any(plans) and side is None:
            plans = [self.least(cells)]
        fitting = [plan for plan in plans if plan is not None and plan.memory <= memory]
        return min(fitting, key=_cost, default=None)

    def best_shares(
        self, memory: int, cells: int, side: int | None = None
    ) -> Sequence[float | None]:
        """The shares worth trying for about so much memory: none of it, and what is best there.

        Each takes as long as all else that is planned, so that a search does not try them all.
        """

        def cost(share: float | None) -> float:
            plan = self._within(memory, cells, side, share)
            return inf if plan is None else _cost(plan)

        return list(dict.fromkeys([None, min(self._shares, key=cost)]))

    @property
    def _shares(self) -> Sequence[float | None]:
        """Of the memory, for what parts take in turn; None for none."""
        share = any(part.work is not None for part in self.parts.values())
        return [None, *(_WORK if share else [])]

    def _within(
        self, memory: int, cells: int, side: int | None, share: float | None
    ) -> StagedPlan | None:
        """As `within`, with a share of the memory for what parts take in turn; None: for none."""
        budget = float(memory)
        while tiles := self._cheapest(self._choices(budget, cells, side, share), _PORTIONS):
            try:
                plan = self.plan(tiles)
            except NetsurgeryError:  # more numbers than Caffe counts
                budget *= 0.9
                continue
            if plan.memory <= memory:
                return plan
            budget *= 0.98 * memory / plan.memory  # what tiles take was an estimate
        return None

    def _choices(
        self, memory: float, cells: int, side: int | None, share: float | None
    ) -> dict[tuple[int, int], list[Choice | None]]:
        """What each part does best with 0, 1, ... portions of the memory.

        share: of it, which all have in turn.
        """
        work = None if share is None else memory * share
        memory -= work or 0
        portions = [memory * number / _PORTIONS for number in range(1, _PORTIONS + 1)]
        return {
            ends: [
                None,
                *(part.best(each, cells, None if ends[0] else side, work) for each in portions),
            ]
            for ends, part in self.parts.items()
        }

    def least(self, cells: int) -> StagedPlan:
        """What takes least memory, each stage with so many cells in the smallest map of a tile."""
        best: list[_Way] = [(0.0, {})]
        for end in range(1, self.end + 1):
            ways: list[_Way] = [(inf, {})]
            for start, (before, tiles) in enumerate(best):
                memory, tile = self.parts[start, end].least(cells)
                ways.append((before + memory, {**tiles, (start, end): tile}))
            best.append(min(ways, key=lambda way: way[0]))
        return self.plan(best[-1][1])

    def of_side(self, side: int, cells: int) -> StagedPlan | None:
        """Tiles of the input of at most `side` pixels a side; None where there are none.

        Each stage takes what the whole net does for such a tile, or what it needs. cells: how many
        the smallest map of any tile is to have.
        """
        of_tile = self.parts[0, self.end].running(side * side)
        costs = {}
        for ends, part in self.parts.items():
            memory = max(of_tile, part.least(cells)[0])
            costs[ends] = [None, part.best(memory, cells, None if ends[0] else side)]
        tiles = self._cheapest(costs, self.end)
        return self.plan(tiles) if tiles else None

    def _cheapest(
        self, costs: Mapping[tuple[int, int], Sequence[Choice | None]], units: int
    ) -> _PartTiles:
        """The parts, and their tiles, that together cost least with so many units of memory.

        costs: of each part, what it does with 0, 1, ... units.
        """
        best: list[list[_Way]] = [[(0.0, {})] * (units + 1)]
        for end in range(1, self.end + 1):
            best.append([self._way(best, costs, end, total) for total in range(units + 1)])
        return best[-1][units][1]

    def _way(
        self,
        best: Sequence[Sequence[_Way]],
        costs: Mapping[tuple[int, int], Sequence[Choice | None]],
        end: int,
        total: int,
    ) -> _Way:
        """The cheapest way from the input to a place, with so many units of memory.

        best: those to the places before, with 0, 1, ... units.
        """
        session = _WORTH * self.parts[0, self.end].once
        cheapest: _Way = (inf, {})
        for start in range(end):
            for used, choice in enumerate(costs[start, end][: total + 1]):
                cost, tiles = best[start][total - used]
                if choice is not None and cost + choice.cost + session < cheapest[0]:
                    cheapest = cost + choice.cost + session, {**tiles, (start, end): choice.tile}
        return cheapest

    def plan(self, tiles: _PartTiles) -> StagedPlan:
        """The parts that are given, from the input to the end, each in tiles of that size."""
        stages = tuple(self.parts[ends].stage(tile) for ends, tile in tiles.items())
        memory = sum(self.parts[ends].memory_of(tile) for ends, tile in tiles.items())
        work = [self.parts[ends].work_of(tile) for ends, tile in tiles.items()]
        memory -= sum(work) - max(work)
        tiling = self.tiling
        representative = tiling.largest(max(tiling.smallest_exact))
        return StagedPlan(self.net, stages, tiling.maps, representative, memory)


def find_stages(
    net: NetDefinition,
    input: str,
    shape: Shape,
    size: Size,
    blobs: Sequence[str],
    memory: Memory,
    work: Memory | None = None,
) -> Staging | Untileable:
    """How an input of `size` can be run in tiles and stages for `blobs`, or why it cannot.

    input: the blob the picture is fed to, of `shape`, N x C x H x W, in the prototxt. memory: what
    a part of the net takes; work: what of that its parts take in turn. Raises PrototxtError and
    NetError as `infer`.

    >>> from netsurgery.net.memory import embedded_memory
    >>> net = NetDefinition.read("prototxt/small_caffenet.prototxt")
    >>> size, blobs = (2001, 1503), ["pool2"]
    >>> staging = find_stages(net, "data", (10, 3, 67, 67), size, blobs, embedded_memory)
    >>> plan = staging.of_side(300, cells=65)
    >>> staging.cuts, plan.cuts, round(plan.overhead, 2)
    (('conv1', 'norm1'), ('norm1',), 1.07)
    """
    net = only_needed(net, blobs)
    walked = walk_net(net, input, shape, size, blobs)
    if isinstance(walked, Untileable):
        return walked
    shapes = infer(net, {input: (1, *shape[1:])})
    places: list[str | None] = [None, *find_cuts(net, shapes, blobs), None]
    parts: dict[tuple[int, int], NetPart] = {}
    for first, cut in enumerate(places[:-1]):
        start = cut or input
        channels = shapes.blobs[start][1]
        for last, end in enumerate(places[first + 1 :], first + 1):
            own = _blobs_between(net, blobs, cut, end)
            outputs = (*own, *([] if end is None else [end]))
            part = part_between(net, cut, (1, *shapes.blobs[start][1:]), outputs)
            tiling = walked.tiling(part, (start, channels), outputs)
            parts[first, last] = NetPart(
                part, start, channels, end, own, not first, tiling, memory, work
            )
    whole = parts[0, len(places) - 1].tiling
    return Staging(net, whole, parts)


def _blobs_between(
    net: NetDefinition, blobs: Sequence[str], start: str | None, end: str | None
) -> tuple[str, ...]:
    """Those of the blobs that are made between two cuts, the cut that it ends at not among them."""
    # A blob is where its last writer leaves it.
    order = {blob: (net.last_writer(blob) or net.layers[0]).index for blob in net.blob_names}
    first = -1 if start is None else order[start]
    last = len(net.layers) + max(order.values()) if end is None else order[end]
    return tuple(blob for blob in blobs if first < order[blob] <= last and blob != end)
