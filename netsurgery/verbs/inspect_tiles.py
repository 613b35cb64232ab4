"""What `inspect` says of tiles: whether a net can be run in them, and what they cost and save."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from netsurgery.errors import NetsurgeryError
from netsurgery.io.memory import size_text
from netsurgery.io.shape_text import shape_text
from netsurgery.io.table import Column, Table
from netsurgery.net import types
from netsurgery.net.memory import embedded_memory, embedded_work
from netsurgery.net.needed import only_needed
from netsurgery.net.net import NetDefinition, Shape
from netsurgery.net.staging import Staging, find_stages
from netsurgery.net.tiles import EXACT_CELLS
from netsurgery.net.tiling import Untileable, find_tiling

__all__ = ["TileCost", "TilesReport", "report_tiles"]

Size = tuple[int, int]

#: An input that no size is given for is reported as one of its remainder that is as large.
_LARGE = 4096
#: The most pixels along a side of the tiles that are reported.
_SIDES = (512, 1024, 2048)

_COLUMNS = (
    Column("tile"),
    Column("tiles", 1, number=True),
    Column("cut at", 2),
    Column("arithmetic", 2, number=True),
    Column("memory", 1, number=True),
)


@dataclass(frozen=True)
class TileCost:
    """Tiles of one size, (height, width) in pixels.

    count: how many. cuts: the blobs at which the net is cut into stages. overhead: how often a
    multiply-add of the whole is done. memory: bytes that running the stages takes at most, in the
    embedded engine, besides its libraries and the weights.
    """

    tile: Size
    count: int
    cuts: tuple[str, ...]
    overhead: float
    memory: int

    def to_json(self) -> dict[str, Any]:
        """The record."""
        return {
            "tile": list(self.tile),
            "count": self.count,
            "cuts": list(self.cuts),
            "overhead": self.overhead,
            "bytes": self.memory,
        }


@dataclass(frozen=True)
class TilesReport:
    """An input of `size` in tiles, (height, width) in pixels.

    refusal: why the net cannot be run so, "" where it can. stride: tiles begin at its multiples.
    overlap: what neighbours share. smallest: the smallest tile; smallest_exact: the smallest one
    that gives the very bits of the whole, in the embedded engine with one thread; None where none
    does. cuts: the blobs at which the net can be cut into stages, whose tiles overlap by less.
    costs: of tiles, with the cuts that then compute least, and of the whole where it can be run.

    >>> import netsurgery as ns
    >>> found = ns.inspect("prototxt/digits_deploy.prototxt", fields=True)
    >>> print(found.tiles)
    no tiles: layer 'ip1' (InnerProduct) looks at the whole map
    """

    size: Size
    refusal: str = ""
    stride: Size = (0, 0)
    overlap: Size = (0, 0)
    smallest: Size = (0, 0)
    smallest_exact: Size | None = None
    cuts: tuple[str, ...] = ()
    costs: tuple[TileCost, ...] = ()

    def __str__(self) -> str:
        if self.refusal:
            return f"no tiles: {self.refusal}"
        cuts = ", ".join(map(repr, self.cuts))
        stages = f"; cut into stages at {cuts}, the net needs less overlap" if cuts else ""
        exact = "they give the numbers of the whole to rounding"
        if self.smallest_exact is not None:
            exact = (
                f"from {shape_text(self.smallest_exact)} on they give the bits of the whole in the "
                "embedded engine with one thread"
            )
        return (
            f"tiles of an input of {shape_text(self.size)} begin at multiples of "
            f"{shape_text(self.stride)} and overlap by {shape_text(self.overlap)}; the smallest is "
            f"{shape_text(self.smallest)}, and {exact}{stages}"
        )

    def table(self) -> Table | None:
        """What tiles of several sizes cost, and the whole."""
        table = Table(_COLUMNS)
        for cost in self.costs:
            taken = f"{cost.overhead:.2f} x", size_text(cost.memory)
            table.add(shape_text(cost.tile), f"{cost.count:,}", ", ".join(cost.cuts), *taken)
        return table if table.rows else None

    def to_json(self) -> dict[str, Any]:
        """The record; null for what no tiles have."""
        sizes = {
            "stride": self.stride,
            "overlap": self.overlap,
            "smallest": self.smallest,
            "smallest_exact": self.smallest_exact,
        }
        return {
            "input_size": list(self.size),
            "refusal": self.refusal or None,
            **{
                key: None if self.refusal or size is None else list(size)
                for key, size in sizes.items()
            },
            "cuts": list(self.cuts),
            "costs": [cost.to_json() for cost in self.costs],
        }


def report_tiles(net: NetDefinition, inputs: Mapping[str, Shape]) -> TilesReport | None:
    """Tiles for the outputs of a net with one input that is N x C x H x W; None for other nets.

    inputs: the input's shape where one is given; else tiles are those of a large input.
    """
    if len(net.inputs) != 1:
        return None
    (source,) = net.inputs
    shape = inputs.get(source.name, source.shape)
    if shape is None or len(shape) != 4:
        return None
    size = (shape[2], shape[3])
    try:
        reported = size if source.name in inputs else _large_size(net, source.name, shape)
        memory = embedded_memory, embedded_work
        staging = find_stages(net, source.name, shape, reported, net.outputs, *memory)
        if isinstance(staging, Untileable):
            return TilesReport(size, str(staging))
        costs = _costs(staging)
    except NetsurgeryError as error:
        return TilesReport(size, str(error))
    tiling = staging.tiling
    between_cells = any(map(types.interpolates, staging.net.layers))
    return TilesReport(
        tiling.size,
        stride=tiling.stride,
        overlap=tiling.overlap,
        smallest=tiling.smallest,
        smallest_exact=None if between_cells else tiling.smallest_exact,
        cuts=staging.cuts,
        costs=costs,
    )


def _large_size(net: NetDefinition, input: str, shape: Shape) -> Size:
    """A large size of the remainder of the input's own; that one where there are no tiles."""
    size = (shape[2], shape[3])
    tiling = find_tiling(only_needed(net, net.outputs), input, shape, size, net.outputs)
    if isinstance(tiling, Untileable):
        return size
    height, width = map(_enlarged, size, tiling.stride)
    return height, width


def _enlarged(side: int, stride: int) -> int:
    return max(side, side + -(-(_LARGE - side) // stride) * stride)


def _costs(staging: Staging) -> tuple[TileCost, ...]:
    """Of the tiles that take least memory, of some sizes, and of the whole."""
    cells = EXACT_CELLS + 1
    plans = [staging.least(cells), *(staging.of_side(side, cells) for side in _SIDES)]
    with suppress(NetsurgeryError):  # the whole has more numbers than Caffe counts
        plans.append(staging.of_side(max(staging.tiling.size), cells))
    costs = []
    for plan in filter(None, plans):
        first = plan.stages[0].plan
        costs.append(TileCost(first.tile, first.count, plan.cuts, plan.overhead, plan.memory))
    return tuple(dict.fromkeys(costs))
