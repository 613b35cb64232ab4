"""The weights of a resizing along one axis: which source pixels a target pixel is the sum of."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]
    Doubles = NDArray[np.float64]

    #: Source pixels, and a matrix of weights, targets x sources.
    Part = tuple[slice, Array]

__all__ = ["CHUNK", "Axis", "Bell", "less", "product"]

#: Target pixels computed by one matrix product: more of them multiply by more zeros. Where windows
#: are wider than _WIDE, fewer.
_BLOCK, _FEW, _WIDE = 16, 2, 128

#: Numbers of the source that are weighed at a time.
CHUNK = 1 << 20

#: Multiply-adds of a matrix product that OpenBLAS computes in the calling thread. Of larger ones
#: several threads compute a share each, and wait for each other busily: on a busy machine long. And
#: where shares end, last bits are others.
_ALONE = 1 << 18

#: Axes whose weights are kept for the next picture, where there are no more weights than so many.
_AXES, _KEPT = 8, 1 << 18


class Axis:
    """`count` places along one axis of a picture, each a weighted sum of the `source` pixels there.

    The pixels are blurred, and interpolated between the two around a place: place i lies `step` x i
    + `start` pixels along the source.
    """

    def __init__(self, source: int, count: int, step: float, start: float, bell: Bell) -> None:
        self.source, self.count, self.bell = source, count, bell
        self._step, self._start = np.float32(step), np.float32(start)
        #: Places that are computed at once: a block is computed as a whole or not at all, so that
        #: its numbers do not depend on what else is asked for.
        self.block = _FEW if max(step, 2 * bell.radius) > _WIDE else _BLOCK
        #: The weights of blocks, by where those begin and end.
        self._kept: dict[tuple[int, int], Part] | None = None
        #: And where their source pixels begin and end.
        self._reached: dict[tuple[int, int], tuple[int, int]] = {}

    @classmethod
    def of(cls, source: int, target: int, antialias: bool) -> Axis:
        """That of a side of `source` pixels which is made `target` pixels.

        Where it has few weights it may be the very axis that another picture had.
        """
        # A block's windows are a block and, at both ends, two pixels of a blur a step wide.
        if (_BLOCK + 4) * source + 2 * target <= _KEPT:
            return _kept_axis(source, target, antialias)
        return _axis(source, target, antialias)

    def blocks(self, low: int, high: int) -> Iterator[slice]:
        """The blocks that places `low` to `high` lie in."""
        for start in range(low // self.block * self.block, high, self.block):
            yield slice(start, min(start + self.block, self.count))

    def sources(self, low: int, high: int) -> tuple[int, int]:
        """The source pixels, one or more, that places `low` to `high` depend on."""
        if self._kept is None:
            return self._sources(low, high)
        if (low, high) not in self._reached:
            self._reached[low, high] = self._sources(low, high)
        return self._reached[low, high]

    def _sources(self, low: int, high: int) -> tuple[int, int]:
        first, last = np.floor(self._places(np.array([low, high - 1]))).astype(np.int64)
        radius = self.bell.radius
        start = min(max(0, int(first) - radius), self.source - 1)
        return start, max(start + 1, min(self.source, int(last) + radius + 2))

    def parts(self, block: slice, most: int) -> Iterator[Part]:
        """The source pixels of a block and their weights, at most `most` pixels each."""
        if self._kept is None:
            yield from self._parts(block, most)
            return
        key = block.start, block.stop
        whole = self._kept.get(key)
        if whole is None:
            (whole,) = self._parts(block, self.source)
            self._kept[key] = whole
        pixels, weights = whole
        for start in range(pixels.start, pixels.stop, most):
            part = slice(start, min(start + most, pixels.stop))
            columns = slice(start - pixels.start, part.stop - pixels.start)
            yield part, np.ascontiguousarray(weights[:, columns])

    def keep(self) -> None:
        """Keep all weights from now on; several threads may ask for them."""
        self._kept = {}

    def _parts(self, block: slice, most: int) -> Iterator[Part]:
        places = self._places(np.arange(block.start, block.stop))[:, np.newaxis]
        floors = np.floor(places)
        firsts, shares = floors.astype(np.int64), (places - floors).astype(np.float64)
        low, high = self.sources(block.start, block.stop)
        for start in range(low, high, most):
            stop = min(start + most, high)
            heights = self.bell(np.arange(start - 1, stop) - firsts)
            weights = (1.0 - shares) * heights[:, 1:] + shares * heights[:, :-1]
            yield slice(start, stop), weights.astype(np.float32)

    def _places(self, numbers: NDArray[np.int64]) -> Array:
        places: Array = self._step * numbers.astype(np.float32) + self._start
        return places


def _axis(source: int, target: int, antialias: bool) -> Axis:
    factor = source / target
    # Only an enlarged picture, which is not blurred, has places outside it.
    bell = Bell(max(0.0, (factor - 1) / 2) if antialias else 0.0)
    return Axis(source, target, factor, factor * 0.5 - 0.5, bell)


@lru_cache(maxsize=_AXES)
def _kept_axis(source: int, target: int, antialias: bool) -> Axis:
    axis = _axis(source, target, antialias)
    axis.keep()
    return axis


def less(values: NDArray[Any], base: float) -> Array:
    """The values less `base`, float32."""
    floats = values.astype(np.float32, copy=False)
    return floats - np.float32(base) if base else floats


def product(left: Array, right: Array, out: Array | None = None) -> Array:
    """The matrix product, M x K by K x N, in the calling thread: some rows or columns at a time.

    >>> product(np.ones((2, 3), np.float32), np.ones((3, 1), np.float32)).tolist()
    [[3.0], [3.0]]
    """
    (rows, inner), columns = left.shape, right.shape[1]
    out = np.empty((rows, columns), np.float32) if out is None else out
    step = max(1, _ALONE // (inner * min(rows, columns)))
    for start in range(0, max(rows, columns), step):
        some = slice(start, start + step)
        if rows > columns:
            np.matmul(left[some], right, out=out[some])
        else:
            np.matmul(left, right[:, some], out=out[:, some])
    return out


class Bell:
    """A Gaussian over whole offsets from -radius to radius, 0 beyond, as scipy.ndimage has it.

    Its heights sum to 1; where sigma is small it is 1 at 0 alone.
    """

    def __init__(self, sigma: float) -> None:
        self.sigma, self.radius, self.total = sigma, int(4.0 * sigma + 0.5), 1.0
        parts = (
            self._heights(np.arange(start, min(start + CHUNK, self.radius + 1))).sum()
            for start in range(1, self.radius + 1, CHUNK)
        )
        self.total += 2.0 * math.fsum(map(float, parts))
        small = self.radius < CHUNK
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
