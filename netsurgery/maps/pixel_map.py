"""A map with a cell for every pixel or few of its picture, interpolated, which pictures draw."""

from __future__ import annotations

from itertools import count
from math import ceil, prod
from typing import TYPE_CHECKING

import numpy as np

from netsurgery.io.memory import Claim
from netsurgery.maps.between_cells import Between, cell_middles
from netsurgery.maps.cell_geometry import Geometry
from netsurgery.maps.cell_places import cell_places, with_cells

if TYPE_CHECKING:
    from netsurgery.maps.classmap import ClassMap

__all__ = ["pixel_map"]

#: Values of all classes that such a map has at most, and its cells: more would not be seen.
_VALUES, _CELLS = 1 << 24, 1 << 20
#: Arrays of its size while it is made.
_ARRAYS = 5


def pixel_map(class_map: ClassMap) -> ClassMap:
    """The map with its scores interpolated between the cells' centers, as `Upsampled` does.

    Its cells are squares of the picture's pixels, of one or, where there are many classes, of a few
    along each side. Pixels far from every center are no cells. A map whose cells are as small is
    given as it is. Raises NetError where nothing says where they lie, MemoryLimitError.
    """
    _, tiles = cell_places(class_map, 1, 1)
    side = _square(class_map.picture.size, class_map.classes)
    x0, y0, x1, y1 = tiles[0, 0].tolist()
    if min(x1 - x0, y1 - y0) <= side:
        return class_map
    middles = cell_middles(class_map.geometry, class_map.values.shape)
    axes = [
        Between.of(np.arange(0, length, side, dtype=np.float64) + side / 2, own)
        for length, own in zip(class_map.picture.size, middles, strict=True)
    ]
    near = [np.flatnonzero(axis.near) for axis in axes]
    if not all(map(len, near)):
        return class_map
    # Those near a cell are one after another.
    down, across = (
        axis.part(slice(int(some[0]), int(some[-1]) + 1))
        for axis, some in zip(axes, near, strict=True)
    )
    shape = (class_map.classes, len(down.low), len(across.low))
    with Claim(4 * _ARRAYS * prod(shape), f"{class_map.image}: its map at the pixels drawn"):
        values = across.columns(down.rows(class_map.values))
    first = (int(near[0][0]) * side, int(near[1][0]) * side)
    values[np.isnan(values)] = -np.inf  # between two infinite scores there is none: the lowest
    return with_cells(class_map, values, _squares(class_map.geometry, side, first))


def _square(size: tuple[int, int], classes: int) -> int:
    """The side of the squares, in pixels: the smallest that is not too many of them."""
    most = max(1, min(_VALUES // classes, _CELLS))
    return next(side for side in count(1) if prod(ceil(length / side) for length in size) <= most)


def _squares(geometry: Geometry, side: int, first: tuple[int, int]) -> Geometry:
    """Cells that are squares of the picture, from a pixel on, in pixels of the input."""
    put = geometry.placement
    (down, across) = (put.resized[axis] / put.image[axis] for axis in range(2))
    stride = side * down, side * across
    start = put.offset[0] + first[0] * down, put.offset[1] + first[1] * across
    return Geometry(stride, stride, put, start)
