"""Which channels of a blob remain along an axis, and the same seen from a layer's other blobs.

A cut is a list: for each new channel the number of the old one, `NEW` for one that is added. A
Flatten turns it into a list of blocks, a Concat joins several, a channel shuffle reorders it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from netsurgery.net.net import Shape

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

__all__ = [
    "NEW",
    "Cut",
    "Rows",
    "even",
    "expand",
    "identity",
    "merged",
    "reshaped",
    "shuffled",
    "split",
    "take",
    "unmerged",
    "unshuffled",
    "whole_groups",
]

#: Old channel of each new one.
Rows = tuple[int, ...]

#: A channel that was not there: zeros.
NEW = -1


class Cut(NamedTuple):
    """`rows` are left of the `old` channels on `axis` of a blob.

    compared: the layer before it that compared all channels with each other (a Softmax), "" for
    none: what is left are then other numbers than before. axis -1: the channels themselves are
    gone (an ArgMax), their numbers are in the blob.
    """

    axis: int
    rows: Rows
    old: int
    compared: str = ""

    @property
    def same(self) -> bool:
        """Whether all channels are left, in their order."""
        return self.rows == identity(self.old)

    @property
    def removes_only(self) -> bool:
        """Whether it neither adds nor reorders."""
        # Rising from NEW, which is -1: none is added, none out of order.
        return all(a < b for a, b in zip((NEW, *self.rows), self.rows, strict=False))

    def left_of(self, shape: Shape) -> Shape:
        """The shape of what is left of a blob.

        >>> Cut(1, (0, 2), 3).left_of((1, 3, 4, 5))
        (1, 2, 4, 5)
        """
        return (*shape[: self.axis], len(self.rows), *shape[self.axis + 1 :])

    def at(self, axis: int) -> Cut:
        """The same on another axis."""
        return self._replace(axis=axis)

    def met(self, second: Cut) -> Cut | None:
        """The cut that leaves what both leave; None where they do not go together."""
        compared = self.compared or second.compared
        if (self.axis, self.old) != (second.axis, second.old):
            return None
        if self.rows == second.rows:
            return self._replace(compared=compared)
        # What is added or put elsewhere by one of them has no place in the other.
        if not (self.removes_only and second.removes_only):
            return None
        both = set(self.rows) & set(second.rows)
        return self._replace(rows=tuple(sorted(both)), compared=compared)


def identity(size: int) -> Rows:
    """All of `size` channels in their order."""
    return tuple(range(size))


def merged(cut: Cut, shape: Shape, start: int, end: int) -> Cut:
    """After a layer that makes one axis of the axes `start` to `end` (not included) of `shape`."""
    outer, inner = prod(shape[start : cut.axis]), prod(shape[cut.axis + 1 : end])
    rows = tuple(
        NEW if row == NEW else (block * cut.old + row) * inner + place
        for block in range(outer)
        for row in cut.rows
        for place in range(inner)
    )
    return cut._replace(axis=start, rows=rows, old=outer * cut.old * inner)


def unmerged(cut: Cut, shape: Shape, axis: int, end: int) -> Cut | None:
    """The other way: the cut on `axis`, one of those that became `cut.axis`; None if it is none."""
    start, size = cut.axis, shape[axis]
    outer, inner = prod(shape[start:axis]), prod(shape[axis + 1 : end])
    count = len(cut.rows) // (outer * inner)
    # One row of each block of the first outer part stands for all, if the cut is regular.
    blocks = cut.rows[: count * inner : inner]
    rows = tuple(NEW if row == NEW else row // inner for row in blocks)
    result = cut._replace(axis=axis, rows=rows, old=size)
    # Merged again it must be the cut itself; else it cuts through an axis.
    return result if merged(result, shape, start, end) == cut else None


def reshaped(cut: Cut, shape: Shape, new: Shape) -> Cut | None:
    """After a layer that writes a blob of `shape` as one of shape `new`, number by number.

    None where its axis becomes part of several, or is cut through.
    """
    for start, end, first, last in _blocks(shape, new):
        if start <= cut.axis < end:
            if last - first == 1:
                return merged(cut, shape, start, end).at(first)
            if end - start == 1:
                axes = range(first, last)
                results = [unmerged(cut.at(first), new, axis, last) for axis in axes]
                return next((result for result in results if result is not None), None)
    return None


def _blocks(shape: Shape, new: Shape) -> Iterator[tuple[int, int, int, int]]:
    """Axes start to end of `shape` that are axes first to last of `new`, as few as can be."""
    start = first = 0
    # Axes of 1 that are left at either end are in no block, and no channel of them can go.
    while start < len(shape) and first < len(new):
        end, last = start + 1, first + 1
        size, new_size = shape[start], new[first]
        while size != new_size:
            if size < new_size and end < len(shape):
                size, end = size * shape[end], end + 1
            elif new_size < size and last < len(new):
                new_size, last = new_size * new[last], last + 1
            else:
                return
        yield start, end, first, last
        start, first = end, last


def split(rows: Rows, sizes: Sequence[int]) -> list[Rows] | None:
    """What of joined rows is each part's, the parts being of `sizes`; None where they are mixed.

    A new channel belongs to the part that the one before it belongs to.
    """
    starts = [0, *accumulate(sizes)]
    parts: list[list[int]] = [[] for _ in sizes]
    part = 0
    for row in rows:
        if row != NEW:
            owner = bisect_right(starts, row) - 1
            if owner < part:
                return None
            part = owner
        parts[part].append(row if row == NEW else row - starts[part])
    return [tuple(part) for part in parts]


def shuffled(rows: Rows, old: int, group: int) -> Rows | None:
    """After a channel shuffle; None where the channels left do not fall into `group` groups."""
    if len(rows) % group:
        return None
    place = {channel: i for i, channel in enumerate(_shuffle(old, group))}
    return tuple(NEW if rows[i] == NEW else place[rows[i]] for i in _shuffle(len(rows), group))


def unshuffled(rows: Rows, old: int, group: int) -> Rows | None:
    """Before a channel shuffle that has `rows` after it."""
    if len(rows) % group:
        return None
    channels = _shuffle(old, group)
    result = [NEW] * len(rows)
    for row, i in zip(rows, _shuffle(len(rows), group), strict=True):
        result[i] = NEW if row == NEW else channels[row]
    return tuple(result)


def _shuffle(size: int, group: int) -> list[int]:
    """The channel that stands at each place after a shuffle."""
    return [g * (size // group) + i for i in range(size // group) for g in range(group)]


def whole_groups(rows: Rows, size: int) -> Rows | None:
    """The groups of `size` channels that are left, each whole; None where one is cut into."""
    if len(rows) % size:
        return None
    groups = tuple(NEW if row == NEW else row // size for row in rows[::size])
    return groups if expand(groups, size) == rows else None


def expand(groups: Rows, size: int) -> Rows:
    """The channels of groups of `size`."""
    return tuple(NEW if group == NEW else group * size + i for group in groups for i in range(size))


def even(rows: Rows, size: int, groups: int) -> bool:
    """Whether each of `groups` groups of `size` channels has as many left, in its own place."""
    left, rest = divmod(len(rows), groups)
    return not rest and all(row == NEW or row // size == i // left for i, row in enumerate(rows))


def take(values: Array, rows: Rows, axis: int) -> Array:
    """The rows of `values` along `axis`, zeros for new ones."""
    import numpy as np

    index = np.array(rows, dtype=np.int64)
    # NEW would be the last row; it reads the first instead, and is zeroed below.
    result: Array = np.take(values, np.maximum(index, 0), axis=axis)
    np.moveaxis(result, axis, 0)[index == NEW] = 0
    return result
