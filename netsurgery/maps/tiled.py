"""A net run over a large input tile by tile, and the maps put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from netsurgery.io.memory import empty
from netsurgery.net.tiles import TilePlan

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

__all__ = ["run_tiles"]


def run_tiles(
    plan: TilePlan, data: Array, run: Callable[[Array], Mapping[str, Array]]
) -> dict[str, Array]:
    """The blobs of `plan.maps`, float32 1 x C x rows x columns, of the input 1 x C x H x W `data`.

    run: gives these blobs for a tile, C-contiguous and always of the one shape. Raises
    MemoryLimitError.
    """
    height, width = plan.tile
    maps: dict[str, Array] = {}
    for tile in plan.tiles:
        top, left = tile.start
        pixels = data[:, :, top : top + height, left : left + width]
        results = run(np.ascontiguousarray(pixels))
        for blob, part in tile.parts.items():
            if blob not in maps:
                shape = (*results[blob].shape[:2], *plan.maps[blob])
                maps[blob] = empty(shape, np.float32, f"the map of blob {blob!r}")
            (rows, columns), (from_rows, from_columns) = part.cells, part.source
            maps[blob][:, :, rows, columns] = results[blob][:, :, from_rows, from_columns]
        del results
    return maps
