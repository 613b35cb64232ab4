"""The smallest input that goes through a net: what every refusal of a smaller one ends with."""

from __future__ import annotations

from collections.abc import Callable

from netsurgery.errors import PrototxtError
from netsurgery.io.shape_text import shape_text

__all__ = ["TOO_SMALL", "smallest_size", "with_smallest_size"]

Size = tuple[int, int]

#: How what is wrong ends where an input is too small.
TOO_SMALL = "the input is too small"

#: No larger side is tried.
_LARGEST = 1 << 14


def with_smallest_size(
    error: PrototxtError, works: Callable[[Size], bool], size: Size
) -> PrototxtError:
    """`error`, and where it says that an input of `size` is too small, the smallest that works.

    works: whether an input of a (height, width) goes through the net.
    """
    smallest = smallest_size(works, size) if error.what.endswith(TOO_SMALL) else None
    if smallest is None:
        return error
    return error.more(f"; the smallest that works is {shape_text(smallest)}")


def smallest_size(works: Callable[[Size], bool], size: Size) -> Size | None:
    """The smallest (height, width) that `works`, found from `size` up; None if there is none.

    Whatever is larger than a size that works is taken to work too.
    """
    height, width = (max(1, side) for side in size)
    while not works((height, width)):
        if min(height, width) >= _LARGEST:
            return None
        height, width = min(2 * height, _LARGEST), min(2 * width, _LARGEST)
    rows = _least(lambda side: works((side, width)), height)
    columns = _least(lambda side: works((height, side)), width)
    # Each was found beside a large other side; together they may be too small.
    return (rows, columns) if works((rows, columns)) else (height, width)


def _least(works: Callable[[int], bool], most: int) -> int:
    """The least number from 1 up that works, where `most` does."""
    low, high = 1, most
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if works(middle) else (middle + 1, high)
    return low
