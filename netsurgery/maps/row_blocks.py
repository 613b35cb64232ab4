"""Maps read some rows at a time, so that one that lies in a file is never in memory as a whole.

And what memory that takes, and what is worked out of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from netsurgery.maps.classmap import ClassMap

__all__ = [
    "SORTED_SHARE",
    "argmax_by_rows",
    "block_values",
    "claim_more",
    "map_memory",
    "order_memory",
    "place_type",
    "row_blocks",
    "thinning_step",
    "top_by_rows",
]

#: Values in a block, unless a row has more.
_BLOCK = 1 << 20
#: Blocks are so many times smaller where cells' classes are put in order.
SORTED_SHARE = 4
#: Cells that a picture or a text shows at most.
_SHOWN = 1 << 20
#: What a cell takes in whatever is worked out of all cells, besides its class; what a cell and a
#: value take while rows of them are looked at, and a value that is sorted.
_CELL, _SEEN, _COMPARED, _SORTED = 2, 48, 5, 33


def row_blocks(shape: tuple[int, ...], share: int = 1) -> Iterator[slice]:
    """The rows of C x H x W values in blocks, from the first on.

    share: how many times smaller than others they are, where more is worked out of each value.

    >>> list(row_blocks((1000, 5, 400)))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    count, height, width = shape
    step = _rows_at_once(count * share, width)
    for start in range(0, height, step):
        yield slice(start, min(start + step, height))


def block_values(shape: tuple[int, ...], share: int = 1) -> int:
    """How many values the largest block of C x H x W has."""
    count, height, width = shape
    return count * min(_rows_at_once(count * share, width), height) * width


def _rows_at_once(count: int, width: int) -> int:
    return max(1, _BLOCK // max(1, count * width))


def argmax_by_rows(values: NDArray[Any]) -> NDArray[np.unsignedinteger[Any]]:
    """The place of each cell's highest value, H x W, in the smallest type; of equals the first.

    numpy's own copies the whole array to have the classes of a cell side by side.
    """
    result = np.empty(values.shape[1:], place_type(len(values)))
    for rows in row_blocks(values.shape):
        result[rows] = values[:, rows].argmax(axis=0)
    return result


def place_type(count: int) -> np.dtype[np.unsignedinteger[Any]]:
    """The smallest type that holds the place of one of so many values.

    >>> place_type(256), place_type(257)
    (dtype('uint8'), dtype('uint16'))
    """
    return np.min_scalar_type(max(0, count - 1))


def top_by_rows(values: NDArray[np.float32], count: int) -> NDArray[np.intp]:
    """The places of each cell's `count` highest values, highest first; of equals the first.

    Without sorting the others, which takes ten times as long. There are no NaN.
    """
    classes, count = len(values), min(count, len(values))
    result = np.empty((count, *values.shape[1:]), np.intp)
    turned = np.arange(classes, dtype=np.uint64)[::-1]  # of equals the lower place is greater
    for rows in row_blocks(values.shape, SORTED_SHARE):
        # One whole number for a value and its place: no two are equal.
        cells = values[:, rows].reshape(classes, -1).T
        keys = _ordered(cells) << np.uint64(32) | turned
        highest = np.partition(keys, classes - count, axis=1)[:, classes - count :]
        highest.sort(axis=1)
        low = highest[:, ::-1] & np.uint64(0xFFFFFFFF)
        places = classes - 1 - low.T.astype(np.intp)
        result[:, rows] = places.reshape(count, -1, values.shape[2])
    return result


def _ordered(values: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Whole numbers below 2^32 in the order of the values; there are no NaN."""
    bits = np.ascontiguousarray(values + np.float32(0)).view(np.uint32)  # -0.0 becomes 0.0
    negative = bits >> 31 == 1
    return np.where(negative, ~bits, bits | np.uint32(1 << 31)).astype(np.uint64)


def thinning_step(shape: tuple[int, int]) -> int:
    """Of how many rows and columns one is kept; 1 for all.

    >>> thinning_step((1024, 1024)), thinning_step((1024, 1025)), thinning_step((3000, 3000))
    (1, 2, 3)
    """
    rows, columns = shape
    step = 1
    while -(-rows // step) * -(-columns // step) > _SHOWN:
        step += 1
    return step


def map_memory(shape: tuple[int, ...]) -> int:
    """Bytes of what is worked out of a map of C x H x W values, beside them."""
    if len(shape) != 3:  # no map is made of another blob
        return 0
    values = block_values(shape)
    of_cell = place_type(shape[0]).itemsize + _CELL
    return _COMPARED * values + _SEEN * values // shape[0] + of_cell * prod(shape[1:])


def claim_more(class_map: ClassMap, needed: int, what: str) -> None:
    """Claim `needed` bytes for `what` is made of a map, besides those of the map itself.

    Raises MemoryLimitError.
    """
    memory = map_memory(class_map.values.shape)
    class_map.claim.at_least(memory + needed, f"{class_map.image}: {what}")


def order_memory(shape: tuple[int, ...], count: int) -> int:
    """Bytes of the order of each cell's `count` likeliest classes, and of what finds it."""
    return _SORTED * block_values(shape, SORTED_SHARE) + 8 * count * prod(shape[1:])
