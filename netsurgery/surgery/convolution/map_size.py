"""The input size that gives a map of the cells asked for, by the shapes that come out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from math import ceil
from typing import NamedTuple

from netsurgery.errors import PrototxtError, SurgeryError
from netsurgery.io.shape_text import shape_text
from netsurgery.io.wording import argument
from netsurgery.net.net import Shape
from netsurgery.net.shapes import ShapesAt

__all__ = ["MapOf", "size_for_cells", "size_for_map"]

Size = tuple[int, int]

#: How far from the first guess an input size is looked for, in strides.
_STRIDES = 3


class MapOf(NamedTuple):
    """The map `output` of a net as its input `name` changes; other blobs keep `sources`' shapes."""

    made: ShapesAt
    name: str
    output: str
    sources: Mapping[str, Shape]

    def size(self, size: Size) -> Size:
        """Rows and columns at an input of `size`; 0 where it does not go through the net."""
        channels = self.sources[self.name][1]
        try:
            blobs = self.made({**self.sources, self.name: (1, channels, *size)}).blobs
        except PrototxtError:
            return (0, 0)
        shape = blobs.get(self.output, ())
        return (shape[2], shape[3]) if len(shape) == 4 else (0, 0)

    def rows(self, height: int, width: int) -> int:
        """Rows at an input of this size."""
        return self.size((height, width))[0]

    def columns(self, width: int, height: int) -> int:
        """Columns at an input of this size."""
        return self.size((height, width))[1]


def size_for_map(
    of: MapOf,
    guess: Size,
    stride: tuple[Fraction, Fraction],
    asked: Size,
    *,
    exactly: bool,
) -> Size:
    """`guess`, where its map has the cells `asked` for; else the input size near it that has.

    Not `exactly`: the map may have more cells, and where no size near by gives as many the guess
    stays. Raises SurgeryError, with the maps that sizes near by give, where none gives the map.
    """
    cells = of.size(guess)
    if cells == asked or (not exactly and cells[0] >= asked[0] and cells[1] >= asked[1]):
        return guess
    # Each side with the other at its guess; the two together are checked after it.
    height = _smallest(lambda n: of.rows(n, guess[1]), guess[0], stride[0], asked[0])
    width = _smallest(lambda n: of.columns(n, guess[0]), guess[1], stride[1], asked[1])
    cells = of.size((height, width))
    if cells == asked or not exactly:
        return (height, width) if min(cells) else guess
    below = max(height - 1, 1), max(width - 1, 1)
    gives = [
        f"{shape_text(size)} gives {shape_text((rows, columns))}"
        for size in (below, (height, width))
        for rows, columns in [of.size(size)]
        if rows
    ]
    raise SurgeryError(
        f"{of.made.net.prototxt.path}: no size of input {of.name!r} gives a map {of.output!r} of "
        f"{shape_text(asked)} ({', '.join(gives) or 'none near by goes through the net'}); give "
        f"another {argument('--map-size')}, or {argument('--input-size')}"
    )


def size_for_cells(of: MapOf, size: Size, stride: tuple[Fraction, Fraction], cells: Size) -> Size:
    """The input size whose map has exactly `cells`, from the cells at `size` on.

    stride: the map's. Raises SurgeryError as `size_for_map`.
    """
    have = of.size(size)
    height, width = (
        max(side + ceil(step * (count - old)), 1)
        for side, step, count, old in zip(size, stride, cells, have, strict=True)
    )
    return size_for_map(of, (height, width), stride, cells, exactly=True)


def _smallest(cells: Callable[[int], int], guess: int, stride: Fraction, asked: int) -> int:
    """The smallest size near `guess` that gives as many cells as `asked` or more, else `guess`."""
    reach = _STRIDES * (ceil(stride) + 1)
    low, high = max(guess - reach, 1), guess + reach
    if cells(high) < asked:
        return guess
    # A larger input gives no fewer cells, so halving finds the smallest.
    while low < high:
        middle = (low + high) // 2
        if cells(middle) < asked:
            low = middle + 1
        else:
            high = middle
    return low
