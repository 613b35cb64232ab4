"""A map of some of the cells of a large one: as many as a picture of it shows."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

from netsurgery.io.shape_text import shape_text
from netsurgery.maps.cell_geometry import Geometry
from netsurgery.maps.cell_places import with_cells
from netsurgery.maps.row_blocks import thinning_step

if TYPE_CHECKING:
    from netsurgery.maps.classmap import ClassMap

__all__ = ["thinned_map", "thinned_words"]


def thinned_map(class_map: ClassMap) -> ClassMap:
    """The map with one of every 2 x 2 cells, or of 3 x 3 and so on, in the place of all of them.

    Its values are not copied: they may lie in a file. A map of few cells is given as it is.
    """
    rows, columns = class_map.shape
    step = thinning_step(class_map.shape)
    if step == 1:
        return class_map
    # About the middle of each block, and within the last one, of which some may be missing.
    top, left = (min(step // 2, (side - 1) % step) for side in (rows, columns))
    values = class_map.values[:, top::step, left::step]
    return with_cells(class_map, values, _of_blocks(class_map.geometry, step))


def thinned_words(class_map: ClassMap, drawn: ClassMap) -> str:
    """What to say of a picture that shows a map with fewer cells; "" where it shows no fewer."""
    fewer = prod(drawn.shape) < prod(class_map.shape)
    return f"drawn of {shape_text(drawn.shape)} of the cells" if fewer else ""


def _of_blocks(geometry: Geometry, step: int) -> Geometry:
    """Cells each of which has the share of the picture that `step` x `step` of them have."""
    if geometry.stride is None or geometry.window is None:
        return geometry
    (down, across), (top, left) = geometry.stride, geometry.start
    # A cell's share, a stride wide, is about the middle of its window.
    more = (step - 1) / 2
    return replace(
        geometry,
        stride=(step * down, step * across),
        start=(top + more * down, left + more * across),
    )
