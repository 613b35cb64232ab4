"""Where the cells of a map lie on its picture, or the error that nothing says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsurgery.errors import NetError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from netsurgery.maps.classmap import ClassMap

    Boxes = NDArray[np.float64]

__all__ = ["cell_places"]


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
