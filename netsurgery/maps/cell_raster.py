"""The cells of a map as the pixels of a raster, for programs that lay rasters over pictures.

Cell (row, column) stands for its share of the picture, a stride wide, about the center of its
window: these shares touch and do not overlap, as the pixels of a raster do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from netsurgery.maps.cell_places import cell_places

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from netsurgery.maps.classmap import ClassMap

__all__ = ["CellRaster"]


@dataclass(frozen=True)
class CellRaster:
    """corner: of the first cell's share, step: from one cell to the next; (down, across) in pixels
    of the picture."""

    corner: tuple[float, float]
    step: tuple[float, float]

    @classmethod
    def of(cls, class_map: ClassMap) -> CellRaster:
        """That of a map. Raises NetError where nothing says where its cells lie."""
        _, tiles = cell_places(class_map, 1, 1)
        x0, y0, x1, y1 = tiles[0, 0].tolist()
        return cls((y0, x0), (y1 - y0, x1 - x0))

    def centers(self, axis: int, count: int) -> NDArray[np.float64]:
        """The centers of so many cells, 0 down or 1 across."""
        middles = np.arange(count, dtype=np.float64) + 0.5
        places: NDArray[np.float64] = self.corner[axis] + self.step[axis] * middles
        return places

    def outside(self, shape: tuple[int, int], size: tuple[int, int]) -> NDArray[np.bool_]:
        """The cells, rows x columns, whose center is not on a picture of that height and width."""
        down, across = (self.centers(axis, shape[axis]) for axis in range(2))
        beyond = [
            (places < 0) | (places >= size[axis]) for axis, places in enumerate((down, across))
        ]
        result: NDArray[np.bool_] = beyond[0][:, None] | beyond[1]
        return result
