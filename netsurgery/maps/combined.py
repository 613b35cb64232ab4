"""Maps of one picture at several scales, as one map on the grid of the first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from netsurgery.io.memory import empty
from netsurgery.maps.between_cells import Between, cell_middles
from netsurgery.maps.row_blocks import row_blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from netsurgery.maps.cell_geometry import Geometry
    from netsurgery.maps.scales import Combine

    Array = NDArray[np.float32]
    Places = NDArray[np.float64]

__all__ = ["CombinedMaps"]


class CombinedMaps:
    """The scores of a class at each cell of the first map: the mean, or the largest, of all maps'.

    A map's score at a cell's middle is interpolated between its own cells; where the middle is more
    than half a stride from any of them, as near the edge of the picture, it has none, and the
    others count. Blocks of rows are worked on one after another.
    """

    def __init__(self, values: Array, middles: tuple[Places, Places], combine: Combine) -> None:
        self.values, self.middles, self.combine = values, middles, combine
        #: How many maps have a score, of each cell.
        self.counts = np.ones(values.shape[1:], np.float32)
        self.maps = 1

    @classmethod
    def begin(cls, values: Array, geometry: Geometry, combine: Combine) -> CombinedMaps:
        """With the first map, C x H x W, which is copied."""
        whole = empty(values.shape, np.float32, "the map of several scales")
        whole[...] = values
        return cls(whole, cell_middles(geometry, values.shape), combine)

    def add(self, values: Array, geometry: Geometry) -> None:
        """Take in the map at another scale."""
        down, across = (
            Between.of(places, own)
            for places, own in zip(self.middles, cell_middles(geometry, values.shape), strict=True)
        )
        # Sixteen times smaller than other blocks: the interpolation has several of its size.
        for rows in row_blocks(self.values.shape, 16):
            part = down.part(rows)
            scores = across.columns(part.rows(values))
            near = np.logical_and.outer(part.near, across.near)
            block = self.values[:, rows]
            if self.combine == "max":
                np.maximum(block, scores, out=block, where=near)
            else:
                np.add(block, scores, out=block, where=near)
            self.counts[rows] += near
        self.maps += 1

    @property
    def lacking(self) -> int:
        """Cells that not every map has a score for."""
        return int((self.counts < self.maps).sum())

    def whole(self) -> Array:
        """The map, 1 x C x H x W."""
        if self.combine == "mean":
            for rows in row_blocks(self.values.shape):
                self.values[:, rows] /= self.counts[rows]
        return self.values[np.newaxis]
