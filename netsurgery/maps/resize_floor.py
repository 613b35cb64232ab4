"""The lowest value of a blurred picture, which scikit-image clips what it resizes to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from netsurgery.maps.resize_axis import CHUNK, Axis, Bell, less

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from netsurgery.maps.rows import PixelRows

    Doubles = NDArray[np.float64]

__all__ = ["lowest_blurred"]

#: From twice this sigma on, the lowest value of a blurred picture is found from means of pixels, so
#: many that the sigma is about this number of means: off by at most 0.006 of 255.
_FINEST = 1 << 12

#: Pixels of a line that are blurred at a time, at least.
_PIECE = 1024


def lowest_blurred(rows: PixelRows, size: tuple[int, int], base: float) -> float:
    """The lowest value of the picture, blurred to be made of `size`, less `base`.

    size: one side shrinks, the other grows.
    """
    factors = [rows.shape[axis] / size[axis] for axis in range(2)]
    axis = int(factors[1] > 1)
    sigma, length = (factors[axis] - 1) / 2, rows.shape[axis]
    bell, cell = Bell(sigma), max(1, int(sigma) // _FINEST)
    if bell.radius == 0:
        return 0.0
    lines = _Lines(rows, axis, base)
    if cell == 1:
        return _Blur(bell, length, 1).lowest(lines)
    # Towards an end a line falls steeply: not the middle of a cell is lowest there, but the end.
    ends = Axis(length, 2, length - 1.0, 0.0, bell)
    return min(lines.lowest_sum(ends), _Blur(Bell(sigma / cell), length, cell).lowest(lines))


class _Lines:
    """The lines of a picture along an axis, less `base`: its rows (1), or its columns (0).

    They are read in bands of rows, from the top down.
    """

    def __init__(self, rows: PixelRows, axis: int, base: float) -> None:
        self.rows, self.axis, self.base = rows, axis, base
        self.count, self.channels = rows.shape[1 - axis], rows.shape[2]

    def pieces(self, several: int, spans: list[tuple[int, int]]) -> Iterator[tuple[int, Any]]:
        """`several` lines at a time, lines x pixels x C, of each of the spans, with its number."""
        if self.axis == 1:
            for line in range(0, self.count, several):
                band = self.rows.rows(line, min(line + several, self.count))
                yield from ((number, band[:, low:high]) for number, (low, high) in enumerate(spans))
            return
        for number, (low, high) in enumerate(spans):
            band = self.rows.rows(low, high)
            for line in range(0, self.count, several):
                yield number, band[:, line : line + several].transpose(1, 0, 2)

    def lowest_sum(self, axis: Axis) -> float:
        """The lowest of the weighted sums of every line."""
        several, low = max(1, CHUNK // (axis.source * self.channels)), np.inf
        for place in range(axis.count):
            start, stop = axis.sources(place, place + 1)
            for _, lines in self.pieces(several, [(start, stop)]):
                (_, weights), *_ = axis.parts(slice(place, place + 1), stop - start)
                sums = np.einsum("lpc,p->lc", less(lines, self.base), weights[0])
                low = min(low, float(sums.min()))
        return low


class _Blur:
    """Lines of `length` pixels, or of the means of `cell` of them, blurred by a bell.

    Wide bells are many taps a pixel: it is done by Fourier transforms of overlapping pieces.
    """

    def __init__(self, bell: Bell, length: int, cell: int) -> None:
        self.cell, self.count, self.whole = cell, -(-length // cell), length // cell
        self.length, self.radius = length, min(bell.radius, self.count)
        taps = min(max(_PIECE, 4 * (2 * self.radius + 1)), self.count + 2 * self.radius)
        self.piece = 1 << (taps - 1).bit_length()
        around = np.arange(self.piece)
        self.spectrum = np.fft.rfft(bell(np.minimum(around, self.piece - around)))

    def lowest(self, lines: _Lines) -> float:
        """The lowest blurred value of the lines."""
        several = max(1, CHUNK // (self.piece * lines.channels))
        step = self.piece - 2 * self.radius
        starts = range(0, self.whole, step)
        spans = [
            (max(0, start - self.radius), min(self.count, start + step + self.radius))
            for start in starts
        ]
        pixels = [(low * self.cell, min(high * self.cell, self.length)) for low, high in spans]
        lowest = np.inf
        for number, piece in lines.pieces(several, pixels):
            start = starts[number]
            first, count = start - spans[number][0], min(step, self.whole - start)
            blurred = self._blurred(piece, lines.base)[:, first : first + count]
            lowest = min(lowest, float(blurred.min()))
        return lowest

    def _blurred(self, lines: NDArray[Any], base: float) -> Doubles:
        spectrum = np.fft.rfft(self._cells(lines, base), self.piece, axis=1)
        spectrum *= self.spectrum[:, np.newaxis]
        blurred: Doubles = np.fft.irfft(spectrum, self.piece, axis=1)
        return blurred

    def _cells(self, lines: NDArray[Any], base: float) -> Doubles:
        if self.cell == 1:
            return lines.astype(np.float64) - base
        starts = np.arange(0, lines.shape[1], self.cell)
        sums = np.add.reduceat(lines, starts, axis=1, dtype=np.float64)
        counts = np.diff(starts, append=lines.shape[1])
        means: Doubles = (sums - base * counts[:, np.newaxis]) / self.cell
        return means
