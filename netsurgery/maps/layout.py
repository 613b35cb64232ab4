"""Where the parts of a map's picture lie, by the shape of the image, and the names on it.

Three panels are in a row above the legend; those of a very wide image one above the other, and
the legend is beside those of a very tall one. Titles are wrapped to the room over their panel.
The names of classes stand by cells of theirs, none over another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from netsurgery.maps.drawing import load_font, wrapped
from netsurgery.maps.legend import Legend

__all__ = [
    "BAR_SPACE",
    "TAG_HEIGHT",
    "TITLE_LINE",
    "PictureLayout",
    "Tag",
    "arrange",
    "panel_size",
    "placed",
    "stretched",
]

Box = tuple[int, int, int, int]

BAR_SPACE = 72  # right of the second panel, for the colour bar
TITLE_LINE = 17  # height of a line of a title

_SIDE, _SHORT = 460, 120  # of a panel in a row: the longer side, and no side is shorter
_LONG, _DEEP = 1436, 240  # of a panel among those under each other: the most
_TALL, _THIN = 760, 90  # of a panel beside the legend: its height, and no panel is narrower
_MARGIN, _GAP, _HEAD, _TITLE = 32, 28, 66, 26
_ROWS = 20  # of the legend below the panels


@dataclass(frozen=True)
class PictureLayout:
    """The canvas (width, height), the panels with the lines of their titles, the legend's corner.

    panels: boxes of one size, x0, y0, x1, y1.
    """

    canvas: tuple[int, int]
    panels: tuple[Box, ...]
    titles: tuple[list[str], ...]
    legend: tuple[int, int]


def panel_size(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of a panel for an image of `size` (height, width)."""
    height, width = size
    if _very_wide(size):
        scale = min(_LONG / width, _DEEP / height)
        return max(_THIN, round(height * scale)), round(width * scale)
    if _very_tall(size):
        return _TALL, max(_THIN, round(width * _TALL / height))
    scale = _SIDE / max(size)
    return max(_SHORT, round(height * scale)), max(_SHORT, round(width * scale))


def stretched(size: tuple[int, int]) -> str:
    """Words for a panel of another shape than its image; "" for one of its shape."""
    height, width = panel_size(size)
    factor = (height / width) / (size[0] / size[1])
    if 0.97 < factor < 1.03:
        return ""
    side, factor = ("tall", factor) if factor > 1 else ("wide", 1 / factor)
    return f"drawn {factor:.1f} times too {side}"


def arrange(size: tuple[int, int], titles: Sequence[str], legend: Legend) -> PictureLayout:
    """The places for an image of `size` and the three `titles`; `legend` is laid too."""
    if _very_wide(size):
        return _under_each_other(panel_size(size), titles, legend)
    return _in_a_row(panel_size(size), titles, legend, aside=_very_tall(size))


def _very_wide(size: tuple[int, int]) -> bool:
    return size[1] * _SHORT > size[0] * _SIDE


def _very_tall(size: tuple[int, int]) -> bool:
    return size[0] * _SHORT > size[1] * _SIDE


def _in_a_row(
    panel: tuple[int, int], titles: Sequence[str], legend: Legend, aside: bool
) -> PictureLayout:
    (height, width), gap = panel, _GAP + (_GAP // 2) * aside
    second = _MARGIN + width + gap
    lefts = (_MARGIN, second, second + width + BAR_SPACE + gap)
    right = lefts[2] + width + (gap if aside else 0)
    rooms = (lefts[1] - lefts[0] - 10, lefts[2] - lefts[1] - 10, right - lefts[2] - 2)
    lines = _lines(titles, rooms)
    top = _HEAD + _TITLE + TITLE_LINE * (max(map(len, lines)) - 1)
    panels = tuple((left, top, left + width, top + height) for left in lefts)
    if aside:
        legend.lay(legend.width, (height - 60) // 24)
        canvas = (right + _GAP + legend.width + _MARGIN, top + height + _MARGIN)
        return PictureLayout(canvas, panels, lines, (right + _GAP, top))
    below = legend.lay(right - _MARGIN, _ROWS)
    canvas = (right + _MARGIN, top + height + 24 + below + _MARGIN)
    return PictureLayout(canvas, panels, lines, (_MARGIN, top + height + 24))


def _under_each_other(
    panel: tuple[int, int], titles: Sequence[str], legend: Legend
) -> PictureLayout:
    height, width = panel
    lines = _lines(titles, [width] * len(titles))
    panels, y = [], _HEAD
    for title in lines:
        top = y + _TITLE + TITLE_LINE * (len(title) - 1)
        y = top + height + 10
        panels.append((_MARGIN, top, _MARGIN + width, top + height))
    below = legend.lay(width + BAR_SPACE, _ROWS)
    canvas = (width + BAR_SPACE + 2 * _MARGIN, y + 14 + below + _MARGIN)
    return PictureLayout(canvas, tuple(panels), lines, (_MARGIN, y + 14))


def _lines(titles: Sequence[str], rooms: Sequence[int]) -> tuple[list[str], ...]:
    font = load_font(14)
    return tuple(wrapped(title, font, room, 5) for title, room in zip(titles, rooms, strict=True))


TAG_HEIGHT = 17  # of a tag, in pixels
_APART = 3  # between two tags, and between a tag and the edge


@dataclass(frozen=True)
class Tag:
    """A name to be placed: the class's rank, its width in pixels, cells it may stand by.

    cells: boxes (x0, y0, x1, y1) in pixels of the picture drawn, the best first.
    """

    rank: int
    width: int
    cells: Sequence[Box]


def placed(tags: Iterable[Tag], size: tuple[int, int]) -> dict[int, Box]:
    """A box for each tag by its rank, in a picture of `size` (height, width).

    The first come first: a tag with no place inside the picture that is free is left out.
    """
    boxes: dict[int, Box] = {}
    for tag in tags:
        for box in _places(tag):
            if _inside(box, size) and not any(_meet(box, taken) for taken in boxes.values()):
                boxes[tag.rank] = box
                break
    return boxes


def _places(tag: Tag) -> Iterator[Box]:
    """Above, below, right and left of each cell."""
    for x0, y0, x1, y1 in tag.cells:
        left, top = (x0 + x1 - tag.width) // 2, (y0 + y1 - TAG_HEIGHT) // 2
        for x, y in ((left, y0 - TAG_HEIGHT), (left, y1 + 1), (x1 + 1, top), (x0 - tag.width, top)):
            yield (x, y, x + tag.width, y + TAG_HEIGHT)


def _inside(box: Box, size: tuple[int, int]) -> bool:
    height, width = size
    return (
        box[0] >= _APART
        and box[1] >= _APART
        and box[2] <= width - _APART
        and box[3] <= height - _APART
    )


def _meet(first: Box, second: Box) -> bool:
    return (
        first[0] < second[2] + _APART
        and second[0] < first[2] + _APART
        and first[1] < second[3] + _APART
        and second[1] < first[3] + _APART
    )
