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
to the pixels of the source and of the target, whatever the factor.

`resized_rows` give some rows and columns of a result as soon as the source's rows for them are
there. They are the very bits of the whole result: what is multiplied at once, a block of target
pixels (`resize_axis`) of _GROUP rows, is cut out of the whole alike whatever is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from netsurgery.io.memory import empty
from netsurgery.maps.resize_axis import CHUNK, Axis, less, product
from netsurgery.maps.rows import ArrayRows, PixelRows, StripRows, lowest_value

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from netsurgery.maps.resize_axis import Part

    Array = NDArray[np.float32]

__all__ = ["resize", "resized_rows"]

#: Rows are resized before columns, as they lie in memory, unless that makes so many times more
#: numbers in between.
_ASKEW = 4

#: Rows whose columns are resized at once; blocks of an axis fit into it.
_GROUP = 64

#: Columns whose rows are resized at once.
_BREADTH = 1 << 12

#: Weights of an axis that are kept, where there are no more.
_KEPT = 1 << 22


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
    resized = resized_rows(ArrayRows(pixels), size, antialias=antialias, columns=columns, what=what)
    return resized.rows(rows.start, rows.stop)


def resized_rows(
    source: PixelRows,
    size: tuple[int, int],
    *,
    antialias: bool = True,
    columns: slice | None = None,
    what: str = "a picture",
) -> StripRows:
    """The rows of a picture at another height and width, float32; `columns` of them only.

    The source's are asked for from the top down, once for each pass: for the lowest value, where
    the aspect ratio changes for what results are clipped to, and for the result.

    >>> rows = resized_rows(ArrayRows(np.full((6, 8, 3), 9, np.uint8)), (3, 4))
    >>> rows.shape, float(rows.rows(1, 3).max())
    ((3, 4, 3), 9.0)
    """
    columns, what = columns or slice(0, size[1]), f"{what}: resizing it"
    resizing = _Resizing(source, size, columns, what, antialias)
    shape = size[0], columns.stop - columns.start, source.shape[2]
    kind = np.dtype(np.float32)
    # Both the strips and a net's input are planes: between them nothing need be turned round.
    return StripRows(shape, kind, _GROUP, resizing.strips, what, resizing.memory, planar=True)


class _Resizing:
    """Makes target rows of a source's, _GROUP at a time.

    It does not know the StripRows that ask it: in a cycle their memory would be kept.
    """

    def __init__(
        self, source: PixelRows, size: tuple[int, int], columns: slice, what: str, antialias: bool
    ) -> None:
        height, width, channels = source.shape
        rows_first = size[0] * width <= _ASKEW * height * size[1]
        # What is computed, to where _BREADTH parts the columns that rows are resized of.
        computed = columns if rows_first else _parted(columns.start, columns.stop, size[1])
        self._wanted = slice(columns.start - computed.start, columns.stop - computed.start)
        self._source, self._size, self._what, self._antialias = source, size, what, antialias
        self._down = Axis.of(height, size[0], antialias)
        self._across = _Columns(Axis.of(width, size[1], antialias), computed, channels)
        self._base = _Base(source)
        # As of the whole, not of the columns that are asked for.
        breadth = min(width if rows_first else size[1], _BREADTH)
        self._most = max(1, CHUNK // (breadth * channels))
        self._narrow: StripRows | None = None
        if not rows_first:
            shape = height, computed.stop - computed.start, channels
            strips = partial(_narrowed, source, self._across, self._base)
            self._narrow = StripRows(
                shape, np.dtype(np.float32), _GROUP, strips, what, source.band_memory
            )

    @cached_property
    def _floor(self) -> float | None:
        factors = [self._source.shape[axis] / self._size[axis] for axis in range(2)]
        # It matters only where one side shrinks (and blurs) while the other grows (and draws its
        # ends towards 0); elsewhere no result can be lower, and 0 is as good.
        if not self._antialias or not min(factors) < 1 < max(factors):
            return 0.0 if self._antialias else None
        from netsurgery.maps.resize_floor import lowest_blurred

        return lowest_blurred(self._source, self._size, self._base.value)

    def memory(self, height: int) -> int:
        """Bytes of the source's rows for a group, and of what they become between the passes."""
        groups = -(-height // _GROUP) + 1
        between = 4 * groups * _GROUP * self._source.shape[1] * self._source.shape[2]
        low, high = self._down.sources(0, min(self._size[0], _GROUP))
        return between + (self._narrow or self._source).band_memory(high - low)

    def strips(self, first: int) -> Iterator[Array]:
        """Target rows from `first` on."""
        base, floor = self._base.value, self._floor  # which are passes over the whole of their own
        for top in range(first, self._size[0], _GROUP):
            bottom = min(top + _GROUP, self._size[0])
            if self._narrow is None:
                columns = self._across.source
                planes = self._lengthened(self._source, top, bottom, columns, base)
                planes = self._across.of(planes)
            else:
                columns = slice(0, self._narrow.shape[1])
                planes = self._lengthened(self._narrow, top, bottom, columns, 0.0)
            if floor is not None:
                np.maximum(planes, floor, out=planes)
            planes += base
            yield planes[:, :, self._wanted].transpose(1, 2, 0)

    def _lengthened(
        self, source: PixelRows, top: int, bottom: int, columns: slice, base: float
    ) -> Array:
        """Target rows, C x rows x columns, of some of the source's columns, less `base`.

        _BREADTH of them at once, always the same ones: `columns` begin and end where these part.
        """
        channels, left, right = source.shape[2], columns.start, columns.stop
        planes: Array = empty((channels, bottom - top, right - left), "f4", self._what)
        for block in self._down.blocks(top, bottom):
            low, high = self._down.sources(block.start, block.stop)
            band = source.rows(low, high)  # all of it, as the next block begins within it
            into = planes[:, block.start - top : block.stop - top]
            for number, (part, weights) in enumerate(self._down.parts(block, self._most)):
                for start in range(left, right, _BREADTH):
                    stop = min(start + _BREADTH, right)
                    values = less(band[part.start - low : part.stop - low, start:stop], base)
                    sums = product(weights, values.reshape(len(values), -1))
                    _put(
                        sums.reshape(len(weights), -1, channels).transpose(2, 0, 1),
                        into[:, :, start - left : stop - left],
                        adds=number > 0,
                    )
        return planes


def _put(sums: Array, into: Array, *, adds: bool) -> None:
    """Add the sums of one part of the pixels to those of the parts before it, if there are any."""
    if adds:
        into += sums
    else:
        into[...] = sums


class _Base:
    """The lowest value of a picture, which the outside of it counts as; found out once."""

    def __init__(self, source: PixelRows) -> None:
        self._source = source

    @cached_property
    def value(self) -> float:
        """A pass over the whole."""
        return lowest_value(self._source)


def _narrowed(source: PixelRows, across: _Columns, base: _Base, first: int) -> Iterator[Array]:
    """The source's rows from `first` on with their columns resized, less the base."""
    height = source.shape[0]
    for top in range(first, height, _GROUP):
        band = source.rows(top, min(top + _GROUP, height))[:, across.source]
        planes = np.ascontiguousarray(less(band, base.value).transpose(2, 0, 1))
        yield across.of(planes).transpose(1, 2, 0)


def _parted(low: int, high: int, count: int) -> slice:
    """Columns `low` to `high` of `count`, to where _BREADTH parts them."""
    return slice(low // _BREADTH * _BREADTH, min(-(-high // _BREADTH) * _BREADTH, count))


class _Columns:
    """Resizes the columns of some rows at a time.

    source: the columns that are needed for the `columns` asked for, to where _BREADTH parts them.
    """

    def __init__(self, axis: Axis, columns: slice, channels: int) -> None:
        first = columns.start // axis.block * axis.block
        last = min(-(-columns.stop // axis.block) * axis.block, axis.count)
        self.source = _parted(*axis.sources(first, last), axis.source)
        self._axis, self._computed = axis, slice(first, last)
        self._asked = slice(columns.start - first, columns.stop - first)
        self._most = max(1, CHUNK // (channels * _GROUP))

    @cached_property
    def _weights(self) -> list[tuple[slice, list[Part]]] | None:
        """The weights of all blocks, where they are not too many."""
        axis, count = self._axis, self._computed.stop - self._computed.start
        sources = axis.block * axis.source // axis.count + 2 * axis.bell.radius  # of a block, about
        if sources * count > _KEPT:
            return None
        return [(block, list(parts)) for block, parts in self._blocks()]

    def _blocks(self) -> Iterator[tuple[slice, Iterator[Part]]]:
        for block in self._axis.blocks(self._computed.start, self._computed.stop):
            yield block, self._axis.parts(block, self._most)

    def of(self, planes: Array) -> Array:
        """The columns asked for, C x H x columns, of planes C x H x source columns."""
        channels, height, width = planes.shape
        lines, left, first = planes.reshape(-1, width), self.source.start, self._computed.start
        sums = np.empty((len(lines), self._computed.stop - first), np.float32)
        for block, parts in self._weights or self._blocks():
            into = sums[:, block.start - first : block.stop - first]
            for number, (part, weights) in enumerate(parts):
                values = lines[:, part.start - left : part.stop - left]
                if number == 0:
                    product(values, weights.T, out=into)
                else:
                    into += product(values, weights.T)
        resized: Array = sums[:, self._asked].reshape(channels, height, -1)
        return resized
