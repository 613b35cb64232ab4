"""The cells of a map as an image."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from netsurgery.drawing.scene import CellGrid, pixel_box

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["cell_at_each_pixel", "cells_image"]

#: The byte of a pixel that says how opaque it is.
_OPAQUE = np.uint32(0xFF000000 if sys.byteorder == "little" else 0x000000FF)


def cells_image(cells: CellGrid, scale: float) -> Image.Image:
    """The cells as RGBA, of the size of their box."""
    x0, y0, x1, y1 = pixel_box(cells.box, scale)
    columns = _edges(cells.columns, scale)
    rows = _edges(cells.rows, scale)
    if cells.smooth:
        return _smoothed(cells, columns, rows, (y1 - y0, x1 - x0))
    across = cell_at_each_pixel(columns[:, 0], columns[:, 1], x1 - x0)
    down = cell_at_each_pixel(rows[:, 0], rows[:, 1], y1 - y0)
    # One number a pixel is gathered, not four; -1 wraps to the cell behind the last: that of none.
    packed = np.zeros((len(rows) + 1, len(columns) + 1), np.uint32)
    packed[:-1, :-1] = np.ascontiguousarray(cells.colors).view(np.uint32)[:, :, 0]
    cover = packed.take(across, axis=1, mode="wrap").take(down, axis=0, mode="wrap")
    width = cells.line_width(scale)
    if cells.regions is not None and width:
        width = max(1, round(width * scale))
        _line_sides(cover, cells.regions, columns, down, width)
        _line_sides(cover.T, cells.regions.T, rows, across, width)
    pixels = cover.view(np.uint8).reshape(*cover.shape, 4)
    return Image.fromarray(pixels)


def _edges(edges: NDArray[np.float64], scale: float) -> NDArray[np.intp]:
    """In pixels; to a millionth first: an edge of two cells may differ in its last bits."""
    return np.rint(np.round(edges * scale, 6)).astype(np.intp)


def cell_at_each_pixel(starts: NDArray[Any], ends: NDArray[Any], length: int) -> NDArray[np.intp]:
    """Along one side of a picture, the cell that each pixel shows, -1 for none.

    A cell covers at least the pixel it starts at, and what earlier ones cover there.
    """
    shown = np.full(length, -1, np.intp)
    for cell, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        if start < length and end >= 0:
            shown[max(0, start) : max(start + 1, end)] = cell
    return shown


def _line_sides(
    cover: NDArray[np.uint32],
    regions: NDArray[Any],
    columns: NDArray[np.intp],
    down: NDArray[np.intp],
    width: int,
) -> None:
    """Make the pixels at the left and right inner edge of each region opaque.

    columns: where those of cells begin and end; down: the row of cells of each row of pixels.
    """
    beyond = np.full((len(regions), 1), -1)
    changes = np.hstack([beyond, regions]) != np.hstack([regions, beyond])
    painted = regions >= 0
    for column, (start, end) in enumerate(columns.tolist()):
        for side, first in ((0, start), (1, end - width)):
            cells = changes[:, column + side] & painted[:, column]
            if cells.any():
                pixels = np.append(cells, False)[down]  # -1, no cell, is the last
                cover[pixels, max(0, first) : max(0, first + width)] |= _OPAQUE


def _smoothed(
    cells: CellGrid, columns: NDArray[np.intp], rows: NDArray[np.intp], size: tuple[int, int]
) -> Image.Image:
    """Bilinear between the centers of the cells, which end where they would without it."""
    cover = Image.new("RGBA", (size[1], size[0]), (0, 0, 0, 0))
    left, right = int(columns[:, 0].min()), int(columns[:, 1].max())
    top, bottom = int(rows[:, 0].min()), int(rows[:, 1].max())
    # Only what is seen is made: windows may lie far beyond the picture.
    x0, y0, x1, y1 = max(0, left), max(0, top), min(size[1], right), min(size[0], bottom)
    if x0 < x1 and y0 < y1:
        across, down = len(columns) / max(1, right - left), len(rows) / max(1, bottom - top)
        part = ((x0 - left) * across, (y0 - top) * down, (x1 - left) * across, (y1 - top) * down)
        # Pillow weighs colours by their alpha.
        image = Image.fromarray(np.ascontiguousarray(cells.colors))
        cover.paste(image.resize((x1 - x0, y1 - y0), Image.Resampling.BILINEAR, part), (x0, y0))
    return cover
