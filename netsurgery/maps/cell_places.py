"""Where the cells of a map lie on its picture, or the error that nothing says so."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from netsurgery.errors import NetError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from netsurgery.maps.cell_geometry import Geometry
    from netsurgery.maps.classmap import ClassMap

    Boxes = NDArray[np.float64]

__all__ = ["cell_places", "first_window", "with_cells"]


def cell_places(class_map: ClassMap, rows: int, columns: int) -> tuple[Boxes, Boxes]:
    """The windows and the tiles of that many cells, as `Geometry` gives them.

    Raises NetError where they are not known.
    """
    geometry = class_map.geometry
    windows, tiles = geometry.windows(rows, columns), geometry.tiles(rows, columns)
    if windows is None or tiles is None:
        raise NetError(
            f"blob {class_map.blob!r}: the net does not say its total stride, so its cells cannot "
            "be placed on the picture"
        )
    return windows, tiles


def with_cells(class_map: ClassMap, values: NDArray[np.float32], geometry: Geometry) -> ClassMap:
    """The map with other cells, of the same background: its `values`, and where they lie."""
    background = class_map.background
    name = "none" if background is None else str(background)
    return replace(class_map, values=values, geometry=geometry, background_name=name)


def first_window(class_map: ClassMap) -> dict[str, list[float]] | None:
    """The first cell's window, and how far it is from one to the next; None if not known.

    "start", "stride" and "size", each [down, across] in pixels of the picture.
    """
    boxes = class_map.geometry.windows(2, 2)
    if boxes is None:
        return None
    x0, y0, x1, y1 = boxes[0, 0].tolist()
    stride = [float(boxes[1, 0, 1] - y0), float(boxes[0, 1, 0] - x0)]
    return {"start": [y0, x0], "stride": stride, "size": [y1 - y0, x1 - x0]}
