"""Boxes of what a class map finds: windows of cells that are sure of a class.

A cell gives a box where its likeliest class is not the background and scores at least a threshold:
its window, clipped to the picture. Of boxes of a class that overlap, those of higher scores stay
(non-maximum suppression, greedily); of equal scores that of the earlier map, row and column.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from netsurgery.errors import NetError
from netsurgery.io.memory import Claim
from netsurgery.io.wording import argument
from netsurgery.maps.box_rules import BoxRules, BoxSearch, least_score
from netsurgery.maps.row_blocks import row_blocks
from netsurgery.maps.scales import scale_named

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from netsurgery.maps.classmap import ClassMap

    Array = NDArray[np.float64]

__all__ = [
    "BoxCandidates",
    "MapBox",
    "candidates",
    "check_sizes",
    "find_boxes",
    "map_boxes",
    "named_background",
    "overlaps",
    "suppressed",
    "with_boxes",
]

#: Bytes of a candidate, in the arrays that it passes through.
_CANDIDATE = 300
#: What it takes more while boxes of its class are compared, at most one in a square of the grid.
_PLACED = 600
#: A score beyond all others is written as the largest number there is.
_MOST = float(np.finfo(np.float32).max)


class MapBox(NamedTuple):
    """box: left, top, right, bottom in pixels of the picture. number: the class."""

    number: int
    score: float
    box: tuple[float, float, float, float]


class BoxCandidates(NamedTuple):
    """Boxes in the order of their cells: numbers N, scores N, boxes N x 4."""

    numbers: NDArray[np.intp]
    scores: Array
    boxes: Array


def map_boxes(
    class_map: ClassMap, rules: BoxRules | None = None, background: int | None = None
) -> list[MapBox]:
    """The boxes of a map, those of higher scores first.

    background: the class that gives no box, None where all do. Raises NetError where the cells'
    places are not known, and for scores without a threshold; MemoryLimitError.

    >>> import netsurgery as ns
    >>> paths = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    >>> settings = ns.convert(*paths, "map", input_size=(192, 288)).paths.settings
    >>> class_map = ns.classify_map("examples/digits_canvas.png", settings, engine="embedded")
    >>> boxes = map_boxes(class_map, BoxRules(0.99), class_map.background)
    >>> sorted(box.number for box in boxes), boxes[0].box
    ([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], (136.0, 16.0, 168.0, 48.0))
    """
    rules = rules or BoxRules()
    least = least_score(rules, class_map.is_probability, class_map.blob)
    return suppressed([candidates(class_map, least, background)], rules.overlap)


def with_boxes(class_map: ClassMap, boxes: Sequence[MapBox]) -> ClassMap:
    """The same map, with boxes that were found. Raises MemoryLimitError."""
    class_map.claim.add(_CANDIDATE * len(boxes))
    result = copy.copy(class_map)  # what is worked out of the values is, and claimed, once
    object.__setattr__(result, "boxes", tuple(boxes))
    return result


def named_background(class_map: ClassMap) -> int | None:
    """The class that is named as the background, which gives no box; None for none.

    The one that most cells show is not taken for it: it may be what is looked for.
    """
    name = class_map.background_name
    return None if name is None else class_map.names.find_background(name)


def check_sizes(
    search: BoxSearch, size: tuple[int, int], check: Callable[[tuple[int, int]], object]
) -> None:
    """Check the inputs of a search besides that of `size`, naming the scale of one refused."""
    for scale, scaled in search.sizes(size):
        if scaled != size:
            with scale_named(argument(f"--box-scales {scale:g}")):
                check(scaled)


def find_boxes(
    class_map: ClassMap,
    search: BoxSearch,
    size: tuple[int, int],
    mapped: Callable[[tuple[int, int]], ClassMap],
) -> list[MapBox]:
    """The boxes of a picture, at all scales of a search together, those of higher scores first.

    class_map: its map at an input of `size`, height x width. mapped: maps it at another one. The
    class that is named as the background gives none. Raises what `mapped` does, and as `map_boxes`.
    """
    least = least_score(search.rules, class_map.is_probability, class_map.blob)
    background = named_background(class_map)
    parts = []
    for scale, scaled in search.sizes(size):
        if scaled == size:
            parts.append(candidates(class_map, least, background))
            continue
        with scale_named(argument(f"--box-scales {scale:g}")):
            parts.append(candidates(mapped(scaled), least, background))
    return suppressed(parts, search.rules.overlap)


def candidates(class_map: ClassMap, least: float, background: int | None) -> BoxCandidates:
    """The boxes of all cells whose class scores at least so much, row by row.

    Those without a pixel of the picture are left out. Raises NetError, MemoryLimitError.
    """
    geometry = class_map.geometry
    if geometry.stride is None or geometry.window is None:
        raise NetError(
            f"{class_map.image}: the total stride of blob {class_map.blob!r} is not known, so its "
            "cells have no boxes"
        )
    numbers = class_map.likeliest
    sure = numbers != (-1 if background is None else background)
    for rows in row_blocks(class_map.values.shape):
        sure[rows] &= class_map.values[:, rows].max(axis=0) >= least
    with Claim(_CANDIDATE * int(sure.sum()), f"{class_map.image}: its boxes"):
        row, column = np.nonzero(sure)
        height, width = geometry.placement.image
        boxes = np.empty((len(row), 4))
        for axis, at, side in ((0, row, height), (1, column, width)):
            low = geometry.start[axis] + geometry.stride[axis] * at.astype(np.float64)
            edges = low, low + geometry.window[axis]
            for corner, edge in zip((1 - axis, 3 - axis), edges, strict=True):
                boxes[:, corner] = np.clip(geometry.placement.to_image(edge, axis), 0, side)
        classes = numbers[row, column].astype(np.intp)
        scores = class_map.values[classes, row, column].astype(np.float64)
        seen = (boxes[:, 0] < boxes[:, 2]) & (boxes[:, 1] < boxes[:, 3])
        return BoxCandidates(classes[seen], np.clip(scores[seen], -_MOST, _MOST), boxes[seen])


def suppressed(parts: Sequence[BoxCandidates], overlap: float) -> list[MapBox]:
    """The candidates of all maps of a picture that stay, those of higher scores first.

    Of equal scores the earlier map's come first, then those of the earlier cell. A candidate goes
    where one of its class that stays is before it and shares more than `overlap` of their union.
    """
    count = sum(len(part.numbers) for part in parts)
    with Claim(_CANDIDATE * count, "the boxes of a picture"):
        numbers, scores, boxes = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.argsort(-scores, kind="stable")
        stays = np.zeros(count, np.bool_)
        for number in np.unique(numbers):
            own = order[numbers[order] == number]
            stays[list(_greedy(boxes, own, overlap))] = True
        return list(_listed(numbers, scores, boxes, (at for at in order.tolist() if stays[at])))


def _greedy(boxes: Array, order: NDArray[np.intp], overlap: float) -> Iterator[int]:
    """Which of the boxes in `order` stay: the first, and so on with what it does not suppress.

    A box is compared with those near it alone: of a large map there are millions.
    """
    with Claim(_PLACED * len(order), "the boxes of a picture"):
        boxes, stays = boxes[order], np.ones(len(order), np.bool_)
        near = _Neighbours(boxes)
        for rank, place in enumerate(order.tolist()):
            if stays[rank]:
                yield place
                ranks = near.of(rank)
                stays[ranks[overlaps(boxes[rank], boxes[ranks]) > overlap]] = False


class _Neighbours:
    """Boxes, N x 4, by the squares of a grid that their centers are in.

    No box is larger than a square, so that those that meet it are in its own and the eight about.
    """

    def __init__(self, boxes: Array) -> None:
        side = 1.01 * float((boxes[:, 2:] - boxes[:, :2]).max())  # more than rounding takes away
        centers = (boxes[:, :2] + boxes[:, 2:]) / 2
        squares = np.floor(centers / side).astype(np.intp)
        order = np.lexsort(squares.T)
        edges = np.flatnonzero((np.diff(squares[order], axis=0) != 0).any(axis=1)) + 1
        self._squares = squares
        self._members = {
            tuple(squares[members[0]].tolist()): members for members in np.split(order, edges)
        }

    def of(self, number: int) -> NDArray[np.intp]:
        """The boxes that may meet one, which is among them."""
        x, y = self._squares[number].tolist()
        squares = ((x + across, y + down) for across in (-1, 0, 1) for down in (-1, 0, 1))
        return np.concatenate([self._members[each] for each in squares if each in self._members])


def _listed(
    numbers: NDArray[np.intp], scores: Array, boxes: Array, order: Iterable[int]
) -> Iterator[MapBox]:
    for at in order:
        left, top, right, bottom = boxes[at].tolist()
        yield MapBox(int(numbers[at]), float(scores[at]), (left, top, right, bottom))


def overlaps(box: Array, boxes: Array) -> Array:
    """What parts of their unions a box, 4, and each of others, N x 4, share: 0 to 1.

    >>> overlaps(np.array([0, 0, 2, 2]), np.array([[1, 0, 3, 2], [2, 0, 4, 2]]))
    array([0.33333333, 0.        ])
    """
    low = np.maximum(box[:2], boxes[:, :2])
    high = np.minimum(box[2:], boxes[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    union = (box[2:] - box[:2]).prod() + areas - shared
    result: Array = np.divide(shared, union, out=np.zeros(len(boxes)), where=union > 0)
    return result
