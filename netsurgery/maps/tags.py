"""Where the names of classes stand on a picture: by cells of theirs, none over another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

__all__ = ["HIGH", "Tag", "placed"]

Box = tuple[int, int, int, int]

HIGH = 17  # of a tag, in pixels
_APART = 3  # between two tags, and between a tag and the edge


@dataclass(frozen=True)
class Tag:
    """A name to be placed: the class's rank, its width in pixels, cells it may stand by.

    cells: boxes (x0, y0, x1, y1) in pixels of the picture drawn, the best first.
    """

    rank: int
    wide: int
    cells: Sequence[Box]


def placed(tags: Iterable[Tag], size: tuple[int, int]) -> dict[int, Box]:
    """A box for each tag by its rank, in a picture of `size` (height, width).

    The first come first: a tag with no place inside the picture that is free is left out.
    """
    boxes: dict[int, Box] = {}
    for tag in tags:
        for box in _places(tag):
            if _inside(box, size) and not any(_meet(box, other) for other in boxes.values()):
                boxes[tag.rank] = box
                break
    return boxes


def _places(tag: Tag) -> Iterator[Box]:
    """Above, below, right and left of each cell."""
    for x0, y0, x1, y1 in tag.cells:
        left, top = (x0 + x1 - tag.wide) // 2, (y0 + y1 - HIGH) // 2
        for x, y in ((left, y0 - HIGH), (left, y1 + 1), (x1 + 1, top), (x0 - tag.wide, top)):
            yield (x, y, x + tag.wide, y + HIGH)


def _inside(box: Box, size: tuple[int, int]) -> bool:
    high, wide = size
    return (
        box[0] >= _APART
        and box[1] >= _APART
        and box[2] <= wide - _APART
        and box[3] <= high - _APART
    )


def _meet(one: Box, other: Box) -> bool:
    return (
        one[0] < other[2] + _APART
        and other[0] < one[2] + _APART
        and one[1] < other[3] + _APART
        and other[1] < one[3] + _APART
    )
