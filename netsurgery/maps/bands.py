"""Bands of a large picture's map: rows of it that are made by themselves, by anybody, in any order.

A band is made of rows of the input that are a tile as wide as the input, and which is run as an
input of its own: as one, or in tiles again. So bands have the bits of the whole where tiles do, and
what they share with their neighbours, which the net sees of both, is computed twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from netsurgery.errors import FormatError
from netsurgery.io.npy import read_npy
from netsurgery.maps.mapper import plan_tiles
from netsurgery.maps.tile_runs import run_in_tiles
from netsurgery.maps.tile_store import TileStore
from netsurgery.maps.tiled import keeps_bits, keeps_order, thread_count
from netsurgery.net.needed import only_needed
from netsurgery.net.tiles import Tiling, least_exact_cells
from netsurgery.net.tiling import Untileable, find_tiling

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from netsurgery.maps.image import Picture
    from netsurgery.maps.mapper import Mapper

    Array = NDArray[np.float32]

__all__ = ["Band", "BandPlan", "BandRunner", "BandStore", "plan_bands"]

Size = tuple[int, int]

#: A band's input has at least so many rows of its own, and so many times what it shares; and there
#: are at most so many bands of a picture.
_ROWS, _TIMES_OVERLAP, _MOST = 512, 4, 64


class Band(NamedTuple):
    """A band: `top`, the first row of its input, and `first` to `end`, the rows of the whole map
    that it gives, which are those behind `before` of its own map's."""

    top: int
    first: int
    end: int
    before: int


@dataclass(frozen=True)
class BandPlan:
    """The bands of a picture: the size of its input, the rows of a band's, and all of them.

    cells: how many the smallest map of a band's input has.
    """

    size: Size
    height: int
    cells: int
    bands: tuple[Band, ...]


def plan_bands(mapper: Mapper, picture: Picture) -> BandPlan | None:
    """The bands of a picture, or None where it is not large: where it is not run in tiles.

    So it is where its input has fewer rows than two bands have, where the map is made of several,
    moved or scaled, and where tiles are not known to give the bits of the whole. The bands depend
    on the net and the size of the input alone. Raises what `Mapper.map` raises before it runs the
    net.
    """
    source = mapper.source
    size = source.input_size(mapper.transformer.options, picture.size)
    if mapper.stride is not None or mapper.scales is not None or size[0] < 2 * _ROWS:
        return None
    cutter = mapper.transformer.cutter(picture, size)
    plan, _ = plan_tiles(
        mapper, picture, size, [source.blob], lambda _, tile: cutter.memory(tile), as_map=True
    )
    if plan is None or not keeps_bits(plan, mapper.engine, mapper.options):
        return None
    net = only_needed(source.net, [source.blob])
    tiling = find_tiling(net, source.input.name, source.shape, size, [source.blob])
    assert not isinstance(tiling, Untileable)  # it was planned
    bands = _bands(tiling, source.blob)
    if len(bands.bands) == 1:
        return None
    return bands if BandRunner(mapper, picture, bands).keeps_bits else None


def _bands(tiling: Tiling, blob: str) -> BandPlan:
    rows, columns = tiling.axes
    count = min(_MOST, rows.size // max(_ROWS, _TIMES_OVERLAP * rows.overlap))
    height = rows.of_count(count) if count > 1 else rows.size
    bands = []
    for (tile,) in tiling.exactly((height, columns.size)).rows:
        part = tile.parts[blob]
        cells, own = part.cells[0], part.source[0]
        bands.append(Band(tile.start[0], cells.start, cells.stop, own.start))
    fewest = tiling.fewest_cells((height, columns.size))
    return BandPlan(tiling.size, height, fewest, tuple(bands))


class BandRunner:
    """Makes bands of one picture's map, best from the top down.

    Raises what `Mapper.map` raises.
    """

    def __init__(self, mapper: Mapper, picture: Picture, plan: BandPlan) -> None:
        self._mapper, self._blob = mapper, mapper.source.blob
        self._size, self._cells = (plan.height, plan.size[1]), plan.cells
        self._cutter = mapper.transformer.cutter(picture, plan.size)
        self._tiles, _ = plan_tiles(
            mapper, picture, self._size, [self._blob], lambda _, tile: self._cutter.memory(tile)
        )

    @property
    def keeps_bits(self) -> bool:
        """Whether its bands have the very bits of the whole, with its threads and its memory."""
        engine, options = self._mapper.engine, self._mapper.options
        if self._cells < least_exact_cells(thread_count(options)):
            return False
        if self._tiles is None:
            return keeps_order(self._mapper.source.net, engine, options)
        return keeps_bits(self._tiles, engine, options)

    def run(self, band: Band) -> Array:
        """The rows of the map that a band gives, float32 C x rows x columns."""

        def cut(start: Size, size: Size) -> Array:
            return self._cutter.cut((band.top + start[0], start[1]), size)

        if self._tiles is None:
            values = self._mapper.run(cut((0, 0), self._size), [self._blob])
        else:
            values = run_in_tiles(self._mapper, self._tiles, TileStore(), cut)
        own = slice(band.before, band.before + band.end - band.first)
        return values[self._blob][0, :, own]


class BandStore(TileStore):
    """A store in which all is done: it is filled with bands, each in a .npy file."""

    def __init__(
        self, output: str, *, blob: str, plan: BandPlan, files: Sequence[str], resume: bool
    ) -> None:
        super().__init__(output, resume=resume)
        self._blob, self._plan, self._paths = blob, plan, files

    def begin(self, describe: Callable[[], Mapping[str, str]]) -> None:
        """Fill the store. Raises FormatError for a file that is none of the bands."""
        rows = self._plan.bands[-1].end
        for values, band, path in self._bands():
            channels, height, width = values.shape
            whole = self.make(self._blob, (1, channels, rows, width))
            if whole.shape != (1, channels, rows, width) or height != band.end - band.first:
                raise FormatError(f"{path}: has another shape than its band; remove it")
            whole[0, :, band.first : band.end] = values
        self.add({self._blob: rows})

    def _bands(self) -> Iterator[tuple[NDArray[np.generic], Band, str]]:
        for band, path in zip(self._plan.bands, self._paths, strict=True):
            values = read_npy(path)
            if values.ndim != 3 or values.dtype != "<f4":
                raise FormatError(f"{path}: is no band of a map; remove it")
            yield values, band, path
