"""Pictures at another height and width, as caffe.io.resize_image makes them with scikit-image 0.18.

Resizing is done in two passes: every target row is a weighted sum of source rows, every target
column one of source columns. The weights hold both steps of scikit-image:

* shrinking by a factor f > 1 first blurs with a Gaussian of sigma (f - 1) / 2, cut off at
  int(4 sigma + 0.5) pixels (anti-aliasing);
* target pixel i then lies at f (i + 1/2) - 1/2 in the source and is interpolated between the two
  pixels around it.

Whatever lies outside the picture counts as the picture's lowest value (caffe.io scales the picture
to 0..1 and lets the outside be 0), so the first and last pixels of an enlarged picture are drawn
towards it. The places are held in single precision, as there: at a place of some hundreds that
alone moves a value by up to 0.004 of 255.

A window is 4 f source pixels wide and there is one a target pixel, so that time is in proportion
to the pixels of the source and of the target, whatever the factor. Weights are computed for a part
of a window at a time; what lies between the passes is no larger than the picture or the result, in
float32, times four where the aspect ratio changes by as much.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from netsurgery.io.memory import Claim

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]
    Doubles = NDArray[np.float64]

    #: Source pixels, and a matrix of weights, targets x sources.
    Part = tuple[slice, Array]

__all__ = ["resize", "resize_memory"]

#: Target pixels computed by one matrix product: more of them multiply by more zeros. Where windows
#: are wider than _WIDE, fewer.
_BLOCK, _FEW, _WIDE = 16, 2, 128

#: Numbers of the source that are weighed at a time.
_CHUNK = 1 << 20

#: Rows are resized before columns, as they lie in memory, unless that makes so many times more
#: numbers in between.
_ASKEW = 4

#: From twice this sigma on, the lowest value of a blurred picture is found from means of pixels, so
#: many that the sigma is about this number of means: off by at most 0.006 of 255.
_FINEST = 1 << 12

#: Pixels of a line that are blurred at a time, at least.
_PIECE = 1024


def resize(
    pixels: NDArray[Any],
    size: tuple[int, int],
    *,
    antialias: bool = True,
    region: tuple[slice, slice] | None = None,
    what: str = "a picture",
) -> Array:
    """`pixels` (H x W x C, any real type) at another height and width, as float32.

    Values keep their scale. `region` asks for some rows and columns of the result only, as
    slices with both ends given. Raises MemoryLimitError, which calls the picture `what`.
    """
    rows, columns = region or (slice(0, size[0]), slice(0, size[1]))
    if pixels.shape[:2] == size:
        return pixels[rows, columns].astype(np.float32)
    height, width, channels = pixels.shape
    down = _Axis.of(height, size[0], rows, antialias)
    across = _Axis.of(width, size[1], columns, antialias)
    base = float(np.float32(pixels.min()))
    needed = resize_memory((height, width), (len(down), len(across)), channels)
    with Claim(needed, f"{what}: resizing it"):
        if _rows_first((height, width), (len(down), len(across))):
            planes = _over_columns(_over_rows(pixels, down, base), across)
        else:
            narrow = _over_columns(pixels.transpose(2, 0, 1), across, base)
            planes = _over_rows(narrow.transpose(1, 2, 0), down)
    if antialias:
        np.maximum(planes, _floor(pixels, size, base), out=planes)
    planes += base
    resized: Array = planes.transpose(1, 2, 0)
    return resized


def resize_memory(source: tuple[int, int], target: tuple[int, int], channels: int) -> int:
    """Bytes that `resize` takes beside the picture and its result; sizes are (height, width)."""
    if source == target:
        return 0
    rows_first = _rows_first(source, target)
    between = target[0] * source[1] if rows_first else source[0] * target[1]
    return 4 * channels * between


def _rows_first(source: tuple[int, int], target: tuple[int, int]) -> bool:
    return target[0] * source[1] <= _ASKEW * source[0] * target[1]


class _Axis:
    """Places along one axis of a picture, each a weighted sum of the `source` pixels there.

    The pixels are blurred, and interpolated between the two around a place.
    """

    def __init__(self, source: int, places: NDArray[Any], bell: _Bell) -> None:
        firsts = np.floor(places)
        self.source, self.bell = source, bell
        self.firsts, self.shares = firsts.astype(np.int64), (places - firsts).astype(np.float64)
        apart = (places[-1] - places[0]) / max(1, len(places) - 1)
        self.block = _FEW if max(apart, 2 * bell.radius) > _WIDE else _BLOCK

    @classmethod
    def of(cls, source: int, target: int, selection: slice, antialias: bool) -> _Axis:
        """Those of `target` pixels that `selection` has."""
        factor = source / target
        step, start = np.float32(factor), np.float32(factor * 0.5 - 0.5)
        places = step * np.arange(selection.start, selection.stop).astype(np.float32) + start
        # Only an enlarged picture, which is not blurred, has places outside it.
        return cls(source, places, _Bell(max(0.0, (factor - 1) / 2) if antialias else 0.0))

    def __len__(self) -> int:
        return len(self.firsts)

    def blocks(self, lines: int) -> Iterator[tuple[slice, Iterator[Part]]]:
        """Some target pixels, and the parts they are the sum of, for `lines` numbers a pixel."""
        for start in range(0, len(self), self.block):
            target = slice(start, min(start + self.block, len(self)))
            yield target, self._parts(target, max(1, _CHUNK // lines))

    def _parts(self, target: slice, most: int) -> Iterator[Part]:
        """At most `most` source pixels each; those outside the source are left out."""
        firsts, shares = self.firsts[target, np.newaxis], self.shares[target, np.newaxis]
        low = max(0, int(firsts[0, 0]) - self.bell.radius)
        high = min(self.source, int(firsts[-1, 0]) + self.bell.radius + 2)
        for start in range(low, high, most):
            stop = min(start + most, high)
            heights = self.bell(np.arange(start - 1, stop) - firsts)
            weights = (1.0 - shares) * heights[:, 1:] + shares * heights[:, :-1]
            yield slice(start, stop), weights.astype(np.float32)


def _over_rows(pixels: NDArray[Any], axis: _Axis, base: float = 0.0) -> Array:
    """Weighted sums of the rows of `pixels` (H x W x C) less `base`, C x rows x W."""
    _, width, channels = pixels.shape
    sums = np.zeros((channels, len(axis), width), np.float32)
    for target, parts in axis.blocks(width * channels):
        for source, weights in parts:
            band = _less(pixels[source], base)
            part = (weights @ band.reshape(len(band), -1)).reshape(-1, width, channels)
            sums[:, target] += part.transpose(2, 0, 1)
    return sums


def _over_columns(planes: NDArray[Any], axis: _Axis, base: float = 0.0) -> Array:
    """Weighted sums of the columns of `planes` (C x H x W) less `base`, C x H x columns."""
    lines = planes.shape[0] * planes.shape[1]
    sums = np.zeros((lines, len(axis)), np.float32)
    for target, parts in axis.blocks(lines):
        for source, weights in parts:
            sums[:, target] += _less(planes[:, :, source], base).reshape(lines, -1) @ weights.T
    return sums.reshape(*planes.shape[:2], -1)


def _less(values: NDArray[Any], base: float) -> Array:
    floats = values.astype(np.float32, copy=False)
    return floats - np.float32(base) if base else floats


class _Bell:
    """A Gaussian over whole offsets from -radius to radius, 0 beyond, as scipy.ndimage has it.

    Its heights sum to 1; where sigma is small it is 1 at 0 alone.
    """

    def __init__(self, sigma: float) -> None:
        self.sigma, self.radius, self.total = sigma, int(4.0 * sigma + 0.5), 1.0
        parts = (
            self._heights(np.arange(start, min(start + _CHUNK, self.radius + 1))).sum()
            for start in range(1, self.radius + 1, _CHUNK)
        )
        self.total += 2.0 * math.fsum(map(float, parts))
        small = self.radius < _CHUNK
        self.table = self._heights(np.arange(self.radius + 2)) if small else None

    def _heights(self, offsets: NDArray[np.int64]) -> Doubles:
        """At offsets from 0 on."""
        if self.radius == 0:
            return np.asarray(offsets == 0, np.float64)
        heights: Doubles = np.exp(-0.5 * (offsets / self.sigma) ** 2) / self.total
        heights[offsets > self.radius] = 0.0
        return heights

    def __call__(self, offsets: NDArray[np.int64]) -> Doubles:
        offsets = np.abs(offsets)
        if self.table is None:
            return self._heights(offsets)
        heights: Doubles = self.table[np.minimum(offsets, self.radius + 1)]
        return heights


def _floor(pixels: NDArray[Any], size: tuple[int, int], base: float) -> float:
    """The lowest value of the blurred picture less `base`, which scikit-image clips its result to.

    It matters only where one side shrinks (and blurs) while the other grows (and draws its ends
    towards 0); elsewhere no result can be lower, and 0 is as good.
    """
    factors = [pixels.shape[axis] / size[axis] for axis in range(2)]
    if not min(factors) < 1 < max(factors):
        return 0.0
    axis = int(factors[1] > 1)
    lines = pixels if axis == 1 else pixels.transpose(1, 0, 2)
    sigma, length = (factors[axis] - 1) / 2, pixels.shape[axis]
    bell, cell = _Bell(sigma), max(1, int(sigma) // _FINEST)
    if bell.radius == 0:
        return 0.0
    if cell == 1:
        return _Blur(bell, length, 1).lowest(lines, base)
    # Towards an end a line falls steeply: not the middle of a cell is lowest there, but the end.
    ends = _over_columns(
        lines.transpose(2, 0, 1), _Axis(length, np.array([0.0, length - 1.0]), bell), base
    )
    return min(float(ends.min()), _Blur(_Bell(sigma / cell), length, cell).lowest(lines, base))


class _Blur:
    """Lines of `length` pixels, or of the means of `cell` of them, blurred by a bell.

    Wide bells are many taps a pixel: it is done by Fourier transforms of overlapping pieces.
    """

    def __init__(self, bell: _Bell, length: int, cell: int) -> None:
        self.cell, self.count, self.whole = cell, -(-length // cell), length // cell
        self.radius = radius = min(bell.radius, self.count)
        taps = min(max(_PIECE, 4 * (2 * radius + 1)), self.count + 2 * radius)
        self.piece = 1 << (taps - 1).bit_length()
        around = np.arange(self.piece)
        self.spectrum = np.fft.rfft(bell(np.minimum(around, self.piece - around)))

    def lowest(self, lines: NDArray[Any], base: float) -> float:
        """The lowest blurred value of `lines` (lines x length x C), each less `base`."""
        several = max(1, _CHUNK // (self.piece * lines.shape[2]))
        step = self.piece - 2 * self.radius
        return min(
            float(self._blurred(lines[line : line + several], base, start, step).min())
            for line in range(0, len(lines), several)
            for start in range(0, self.whole, step)
        )

    def _blurred(self, lines: NDArray[Any], base: float, start: int, step: int) -> Doubles:
        """Blurred pixels from `start` on, `step` or as many as there are whole cells."""
        low, high = max(0, start - self.radius), min(self.count, start + step + self.radius)
        source = self._cells(lines[:, low * self.cell : high * self.cell], base)
        spectrum = np.fft.rfft(source, self.piece, axis=1)
        spectrum *= self.spectrum[:, np.newaxis]
        blurred: Doubles = np.fft.irfft(spectrum, self.piece, axis=1)
        first = start - low
        return blurred[:, first : first + min(step, self.whole - start)]

    def _cells(self, lines: NDArray[Any], base: float) -> Doubles:
        if self.cell == 1:
            return lines.astype(np.float64) - base
        starts = np.arange(0, lines.shape[1], self.cell)
        sums = np.add.reduceat(lines, starts, axis=1, dtype=np.float64)
        counts = np.diff(starts, append=lines.shape[1])
        means: Doubles = (sums - base * counts[:, np.newaxis]) / self.cell
        return means
