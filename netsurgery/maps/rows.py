"""Rows of pixels, from the top of a picture down: all that most of its readers need at a time.

A picture larger than memory is decoded strip by strip. `StripRows` keeps the rows from the first
one that was last asked for on, so that bands which overlap, as those of tiles do, are decoded once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from netsurgery.io.memory import empty

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[Any]

__all__ = ["ArrayRows", "PixelRows", "StripRows", "lowest_value", "row_bands"]

#: Numbers that are read at a time where all rows are gone over.
_SOME = 1 << 20


class PixelRows(Protocol):
    """What gives rows of pixels: an array, a file that is being decoded, a picture being resized.

    shape: height, width and channels. kind: the type of its numbers.
    """

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""

    @property
    def kind(self) -> np.dtype[Any]:
        """The type of the numbers."""

    def rows(self, top: int, bottom: int) -> Pixels:
        """Rows `top` to `bottom`, H x W x C, to be read only and until the next call.

        Bands are best asked for from the top down; one further up may begin all again.
        """

    def band_memory(self, height: int) -> int:
        """Bytes that it takes to give bands of so many rows."""


class ArrayRows:
    """The rows of an array H x W x C, or of a file that is mapped as one; none is copied.

    >>> ArrayRows(np.arange(6).reshape(3, 2, 1)).rows(1, 2).tolist()
    [[[2], [3]]]
    """

    def __init__(self, pixels: Pixels) -> None:
        self._pixels = pixels

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        height, width, channels = self._pixels.shape
        return height, width, channels

    @property
    def kind(self) -> np.dtype[Any]:
        """The type of the numbers."""
        return self._pixels.dtype

    def rows(self, top: int, bottom: int) -> Pixels:
        """A view of them."""
        return self._pixels[top:bottom]

    def band_memory(self, height: int) -> int:
        """Nothing besides the array."""
        return 0


class StripRows:
    """Rows that are made strip by strip, from the top down.

    strips: gives the strips from row `first` on, which is a multiple of `step`; each has `step`
    rows, the last what is left. what: names their memory in a refusal. besides: bytes that making
    them takes. planar: rows are kept channel by channel, as they are made or will be read.

    >>> made = []
    >>> def strips(first):
    ...     for top in range(first, 10, 4):
    ...         made.append(top)
    ...         yield np.arange(top, min(top + 4, 10)).reshape(-1, 1, 1)
    >>> rows = StripRows((10, 1, 1), np.dtype(int), 4, strips, "numbers")
    >>> rows.rows(1, 5).ravel().tolist(), rows.rows(3, 7).ravel().tolist(), made
    ([1, 2, 3, 4], [3, 4, 5, 6], [0, 4])
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        kind: np.dtype[Any],
        step: int,
        strips: Callable[[int], Iterator[Pixels]],
        what: str,
        besides: Callable[[int], int] = lambda height: 0,
        *,
        planar: bool = False,
    ) -> None:
        self.shape, self.kind, self._planar = shape, kind, planar
        self._step, self._strips, self._what, self._besides = step, strips, what, besides
        self._buffer: Pixels | None = None
        self._strip: Pixels | None = None
        self._begin(0)

    def _begin(self, top: int) -> None:
        """Make strips from the one that holds row `top` on."""
        first = top // self._step * self._step
        self._running: Iterator[Pixels] | None = None  # the strips that ran are closed first
        self._running = self._strips(first)
        self._strip, self._strip_top = None, first
        # The buffer holds rows `_top` to `_bottom`.
        self._top = self._bottom = top

    def rows(self, top: int, bottom: int) -> Pixels:
        """As `PixelRows.rows`. Raises MemoryLimitError, and what making the strips raises."""
        if top < self._top or self._buffer is None:  # none yet, or no memory for a larger one
            self._begin(top)
        buffer = self._room(top, bottom)
        while self._bottom < bottom:
            strip = self._next_strip(self._bottom)
            start = self._bottom - self._strip_top
            part = strip[start : start + bottom - self._bottom]
            buffer[self._bottom - self._top :][: len(part)] = part
            self._bottom += len(part)
        band: Pixels = buffer[top - self._top : bottom - self._top]
        return band

    def _room(self, top: int, bottom: int) -> Pixels:
        """The buffer, with room for rows `top` to `bottom`; rows above are dropped if need be."""
        buffer, common = self._buffer, None
        if buffer is not None:
            if bottom - self._top <= len(buffer):
                return buffer
            common = buffer[top - self._top : self._bottom - self._top]
        if buffer is None or bottom - top > len(buffer):
            common = None if common is None else common.copy()
            self._buffer = buffer = None  # before the larger one is there
            self._buffer = buffer = self._empty(*self._buffer_shape(bottom - top))
        self._top = self._bottom = top
        if common is not None:
            buffer[: len(common)] = common
            self._bottom += len(common)
        return buffer

    def _empty(self, height: int, width: int, channels: int) -> Pixels:
        if not self._planar:
            return empty((height, width, channels), self.kind, self._what)
        planes = empty((channels, height, width), self.kind, self._what)
        rows: Pixels = planes.transpose(1, 2, 0)
        return rows

    def _buffer_shape(self, rows: int) -> tuple[int, int, int]:
        """For so many rows, and some more: what is asked for next may be a few more."""
        return min(self.shape[0], rows + self._step), *self.shape[1:]

    def _next_strip(self, row: int) -> Pixels:
        """The strip that holds a row."""
        while self._strip is None or row >= self._strip_top + len(self._strip):
            if self._strip is not None:
                self._strip_top += len(self._strip)
            assert self._running is not None
            self._strip = next(self._running)
        return self._strip

    def band_memory(self, height: int) -> int:
        """The rows that are kept, a strip, and what making them takes."""
        rows, width, channels = self._buffer_shape(height + self._step)
        return rows * width * channels * self.kind.itemsize + self._besides(height)


def row_bands(rows: PixelRows) -> Iterator[Pixels]:
    """All rows in bands, from the top down."""
    height, width, channels = rows.shape
    step = max(1, _SOME // (width * channels))
    for top in range(0, height, step):
        yield rows.rows(top, min(top + step, height))


def lowest_value(rows: PixelRows) -> float:
    """The lowest number of all, as float32 has it.

    >>> lowest_value(ArrayRows(np.array([[[7], [5]]])))
    5.0
    """
    lowest = np.inf
    for band in row_bands(rows):
        lowest = min(lowest, float(band.min()))
        if lowest == 0 and rows.kind.kind == "u":  # nothing is lower: most pictures end here
            break
    return float(np.float32(lowest))
