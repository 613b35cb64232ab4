"""Regions of a map, and a place for a name inside each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from netsurgery.drawing.scene import Box, CellGrid

__all__ = ["Region", "Tag", "find_regions", "numbered_regions", "place_tags"]

#: Tags on a picture, and the regions that are tried for them.
MOST_TAGS, _TRIED = 8, 64
#: Regions that are put in order; a noisy map may have as many as cells.
_RANKED = 4096
#: Of a tag; between its name and its ends, and between it and the picture's edge.
TAG_HEIGHT, _PAD, _EDGE = 18.0, 5.0, 1.0


@dataclass(frozen=True, eq=False)
class Region:
    """Cells of one class that touch each other: the class, and the best of their scores.

    top, left: where `mask`, which is true in its cells, begins in the map.
    """

    number: int
    best: float
    top: int
    left: int
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class Tag:
    """A name in a box on the picture, in a region of class `number`."""

    number: int
    words: str
    box: Box


def numbered_regions(classes: NDArray[Any]) -> NDArray[np.intp]:
    """The number of each cell's region: that of its first cell, counted row by row.

    >>> numbered_regions(np.array([[7, 7, 5], [5, 7, 5]])).tolist()
    [[0, 0, 2], [3, 0, 2]]
    """
    height, width = classes.shape
    cells = np.arange(height * width).reshape(height, width)
    down, across = classes[1:] == classes[:-1], classes[:, 1:] == classes[:, :-1]
    first = np.concatenate([cells[:-1][down], cells[:, :-1][across]])
    second = np.concatenate([cells[1:][down], cells[:, 1:][across]])
    numbers = cells.ravel().copy()
    while True:
        low = np.minimum(numbers[first], numbers[second])
        before = numbers.copy()
        for ends in (first, second):  # the numbers of both, too: whole trees are joined at once
            np.minimum.at(numbers, before[ends], low)
            np.minimum.at(numbers, ends, low)
        while True:
            further = numbers[numbers]
            if np.array_equal(further, numbers):
                break
            numbers = further
        if np.array_equal(before, numbers):
            regions: NDArray[np.intp] = numbers.reshape(height, width)
            return regions


def find_regions(classes: NDArray[Any], scores: NDArray[Any]) -> Iterator[Region]:
    """The regions of a map of classes (-1: of none), those with the best scores first.

    A second region of a class comes after the first ones of all others.
    """
    numbers = numbered_regions(classes)
    names, inverse = np.unique(numbers, return_inverse=True)
    inverse = inverse.reshape(numbers.shape)
    best = np.full(len(names), -np.inf)
    np.maximum.at(best, inverse, scores)
    kinds = classes.ravel()[names]
    order = np.argsort(-best, kind="stable")
    order = order[kinds[order] >= 0][:_RANKED]
    nth: dict[int, int] = {}
    ranked = []
    for place, region in enumerate(order.tolist()):
        kind = int(kinds[region])
        nth[kind] = nth.get(kind, 0) + 1
        ranked.append((nth[kind], place, region))
    for _, _, region in sorted(ranked):
        mask = inverse == region
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        top, left = int(rows[0]), int(columns[0])
        inner = mask[top : rows[-1] + 1, left : columns[-1] + 1]
        yield Region(int(kinds[region]), float(best[region]), top, left, inner)


def place_tags(
    cells: CellGrid,
    classes: NDArray[Any],
    scores: NDArray[Any],
    names: Callable[[int], Sequence[str]],
    length: Callable[[str], float],
    first: int | None = None,
) -> list[Tag]:
    """At most eight tags, each inside a region of its class, those of the best scores.

    names: what a class may be called, the first preferred; a region with no room for any has no
    tag. length: of a name, in pixels. first: a class that has one tag, before all others.
    """
    tags: list[Tag] = []
    regions = find_regions(classes, scores)
    if first is not None:
        own = np.where(classes == first, classes, -1)
        others = np.where(classes == first, -1, classes)
        regions = chain(islice(find_regions(own, scores), 1), find_regions(others, scores))
    for tried, region in enumerate(regions):
        if len(tags) == MOST_TAGS or tried == _TRIED:
            break
        for words in names(region.number):
            box = _room_in(region, cells, scores, length(words) + 2 * _PAD)
            if box is not None:
                tags.append(Tag(region.number, words, box))
                break
    return tags


def _room_in(region: Region, cells: CellGrid, scores: NDArray[Any], width: float) -> Box | None:
    """Where in a region a tag of that width may stand: about its best cells."""
    x0, y0, x1, y1 = cells.box
    mask = region.mask
    span = np.s_[region.top : region.top + mask.shape[0], region.left : region.left + mask.shape[1]]
    columns, rows = cells.columns[span[1]], cells.rows[span[0]]
    across = _blocks(columns, width, x1 - x0)
    down = _blocks(rows, TAG_HEIGHT, y1 - y0)
    if across is None or down is None:
        return None
    whole = _sums(mask.astype(np.float64), down[0], across[0]) == down[0] * across[0]
    whole &= down[1][:, np.newaxis] & across[1]
    if not whole.any():
        return None
    finite = np.nan_to_num(scores[span].astype(np.float64), posinf=0, neginf=0)
    means = np.where(whole, _sums(finite, down[0], across[0]), -np.inf)
    row, column = np.unravel_index(int(means.argmax()), means.shape)
    left = (columns[column, 0] + columns[column + across[0] - 1, 1] - width) / 2
    top = (rows[row, 0] + rows[row + down[0] - 1, 1] - TAG_HEIGHT) / 2
    return (x0 + left, y0 + top, x0 + left + width, y0 + top + TAG_HEIGHT)


def _blocks(
    edges: NDArray[np.float64], need: float, room: float
) -> tuple[int, NDArray[np.bool_]] | None:
    """How many cells in a row have that much room, and whether those from each on are in the
    picture; None where there are not so many."""
    size = float((edges[:, 1] - edges[:, 0]).min())
    count = max(1, int(np.ceil(need / size - 1e-9))) if size > 0 else 1
    if count > len(edges):
        return None
    starts, ends = edges[: len(edges) - count + 1, 0], edges[count - 1 :, 1]
    centers = (starts + ends) / 2
    inside = (centers - need / 2 >= _EDGE) & (centers + need / 2 <= room - _EDGE)
    return (count, inside) if inside.any() else None


def _sums(values: NDArray[np.float64], rows: int, columns: int) -> NDArray[np.float64]:
    """The sums of every block of rows x columns."""
    total = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
    total[1:, 1:] = values.cumsum(axis=0).cumsum(axis=1)
    sums: NDArray[np.float64] = (
        total[rows:, columns:]
        - total[:-rows, columns:]
        - total[rows:, :-columns]
        + total[:-rows, :-columns]
    )
    return sums
