"""Maps read some rows at a time, so that one that lies in a file is never in memory as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["argmax_by_rows", "block_values", "row_blocks", "top_by_rows"]

#: Values in a block, unless a row has more.
_BLOCK = 1 << 20


def row_blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """The rows of C x H x W values in blocks, from the first on.

    >>> list(row_blocks((1000, 5, 400)))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    count, height, width = shape
    step = _rows_at_once(count, width)
    for start in range(0, height, step):
        yield slice(start, min(start + step, height))


def block_values(shape: tuple[int, ...]) -> int:
    """How many values the largest block of C x H x W has."""
    count, height, width = shape
    return count * min(_rows_at_once(count, width), height) * width


def _rows_at_once(count: int, width: int) -> int:
    return max(1, _BLOCK // max(1, count * width))


def argmax_by_rows(values: NDArray[Any]) -> NDArray[np.intp]:
    """The place of each cell's highest value, H x W; of equals the first.

    numpy's own copies the whole array to have the classes of a cell side by side.
    """
    result = np.empty(values.shape[1:], np.intp)
    for rows in row_blocks(values.shape):
        result[rows] = values[:, rows].argmax(axis=0)
    return result


def top_by_rows(values: NDArray[Any], count: int) -> NDArray[np.intp]:
    """The places of each cell's `count` highest values, highest first; of equals the first."""
    result = np.empty((min(count, len(values)), *values.shape[1:]), np.intp)
    for rows in row_blocks(values.shape):
        result[:, rows] = np.argsort(-values[:, rows], axis=0, kind="stable")[:count]
    return result
