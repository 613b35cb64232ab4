"""A picture that is not in memory: its rows are read as they are needed."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from netsurgery.io.memory import empty
from netsurgery.maps.channels import peak_of
from netsurgery.maps.image import Picture
from netsurgery.maps.rows import PixelRows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[Any]

__all__ = ["LargePicture"]

#: A reduced copy is made of means of pixels; its longer side is at least this and less than twice.
_REDUCED = 2048


class LargePicture(Picture):
    """A picture of which only some rows are in memory at a time.

    A map of it is drawn on `pixels`, a reduced copy, made when it is asked for by reading the rows
    once more; `size`, and every place in the picture, are the real ones.

    >>> from netsurgery.maps.rows import ArrayRows
    >>> picture = LargePicture("large", ArrayRows(np.zeros((9000, 30, 1), np.uint8)))
    >>> picture.size, picture.pixels.shape
    ((9000, 30), (2250, 7, 1))
    """

    def __init__(self, name: str, rows: PixelRows) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "_rows", rows)

    @property
    def rows(self) -> PixelRows:
        """Its rows, which are read from the top down."""
        rows: PixelRows = self.__dict__["_rows"]
        return rows

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.rows.shape[:2]

    @property
    def peak(self) -> float:
        """The pixel value that stands for 1.0."""
        return peak_of(self.rows.kind)

    @cached_property
    def pixels(self) -> Pixels:
        """The reduced copy."""
        return reduced(self.rows, f"{self.shown}: a reduced copy of it")


def reduced(rows: PixelRows, what: str) -> Pixels:
    """Means of k x k pixels, for the k that leaves between _REDUCED and twice as many."""
    height, width, channels = rows.shape
    side = max(1, max(height, width) // _REDUCED)
    down, across = min(side, height), min(side, width)
    means: Pixels = empty((height // down, width // across, channels), rows.kind, what)
    for row in range(len(means)):
        # Sums of rows first, as they lie in memory, and of far fewer numbers then.
        sums = rows.rows(row * down, (row + 1) * down).sum(axis=0, dtype=np.float32)
        cells = sums[: means.shape[1] * across].reshape(-1, across, channels)
        means[row] = cells.sum(axis=1) / (down * across)
    return means
