"""The scores of a map at the pixels of its picture.

A pixel's score is interpolated between the middles of the cells' windows. Within half a stride of
the outermost middles it is the outermost cell's; beyond it is NaN: no window has the pixel near its
middle, so the map says nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from netsurgery.io.memory import Claim
from netsurgery.maps.between_cells import Between, cell_middles
from netsurgery.maps.cell_places import cell_places
from netsurgery.maps.row_blocks import block_values, row_blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from netsurgery.maps.classmap import ClassMap

    Array = NDArray[np.float32]

__all__ = ["Upsampled"]

#: How many times smaller than others a block of rows is, and arrays of its size while it is made.
_SHARE, _ARRAYS = 4, 5


@dataclass(frozen=True, eq=False)
class Upsampled:
    """A class map, and where the rows and columns of its picture lie between its cells."""

    class_map: ClassMap
    down: Between
    across: Between

    @classmethod
    def of(cls, class_map: ClassMap) -> Upsampled:
        """That of a map. Raises NetError where nothing says where its cells lie."""
        cell_places(class_map, 1, 1)
        middles = cell_middles(class_map.geometry, class_map.values.shape)
        down, across = (
            Between.of(np.arange(side, dtype=np.float64) + 0.5, own)
            for side, own in zip(class_map.picture.size, middles, strict=True)
        )
        return cls(class_map, down, across)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Classes, and the picture's rows and columns."""
        return (self.class_map.classes, len(self.down.low), len(self.across.low))

    def blocks(self) -> Iterator[tuple[slice, Array]]:
        """Some rows of the picture after others, and all classes' scores there, C x rows x W."""
        yield from self._blocks(self.class_map.values)

    def by_class(self) -> Iterator[Array]:
        """The same scores, class after class: some rows of one after others, rows x W."""
        for number in range(self.class_map.classes):
            for _, block in self._blocks(self.class_map.values[number : number + 1]):
                yield block[0]

    def _blocks(self, values: Array) -> Iterator[tuple[slice, Array]]:
        shape = (len(values), *self.shape[1:])
        needed = 4 * _ARRAYS * block_values(shape, _SHARE)
        with Claim(needed, f"{self.class_map.image}: its map at some rows of pixels"):
            for rows in row_blocks(shape, _SHARE):
                part = self.down.part(rows)
                block = self.across.columns(part.rows(values))
                block[:, ~np.logical_and.outer(part.near, self.across.near)] = np.nan
                yield rows, block
