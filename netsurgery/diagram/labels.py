"""Where the shapes stand: one for each blob, beside one of its edges, over nothing else."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from netsurgery.diagram.graph import Edge
from netsurgery.diagram.layout import FRAME_HEAD, NetLayout, Place
from netsurgery.diagram.typeface import shown, text_width
from netsurgery.drawing.arrow import HEAD, Point
from netsurgery.io.shape_text import shape_text

__all__ = ["LABEL", "Label", "frame_rooms", "labels"]

#: Pixels: a label's letters, its distance from the line beside it.
LABEL, _AWAY = 10.0, 4.0
#: As many of the edges of a blob are tried; characters of its name.
_TRIED, _NAME = 4, 24
#: The side of the cells by which boxes that are near are looked up: most boxes are in one or two.
_CELL = 300.0

#: From and to, in pixels.
_Range: TypeAlias = tuple[float, float]


@dataclass(frozen=True)
class Label:
    """A text on an edge, and where it stands."""

    text: str
    place: Place


def labels(edges: Sequence[Edge], layout: NetLayout, written: Iterable[Place]) -> dict[int, Label]:
    """The place in `edges` of the one that is labelled -> its label: the blob's shape.

    The blob's name too, where others leave the same box. written: where other texts stand between
    the boxes.

    A blob that several boxes read has one label. Where there is room beside none of its first
    edges, there is no label: the drawing's text has the shape all the same.
    """
    taken = _Taken(layout)
    for text_place in written:
        taken.add(text_place)
    several: dict[tuple[int, str], list[int]] = defaultdict(list)
    for index, edge in enumerate(edges):
        several[edge.source, edge.blob].append(index)
    leaving = Counter(source for source, _ in several)
    result: dict[int, Label] = {}
    for (source, blob), indices in several.items():
        shape = edges[indices[0]].shape
        parts = [shown(blob, _NAME)] if leaving[source] > 1 else []
        text = " ".join([*parts, *([] if shape is None else [shape_text(shape)])])
        for index, place in _candidates(indices[:_TRIED], layout, text_width(text, LABEL)):
            if text and taken.free(place):
                result[index] = Label(text, place)
                taken.add(place)
                break
    return result


def _candidates(
    indices: Sequence[int], layout: NetLayout, width: float
) -> Iterator[tuple[int, Place]]:
    """Places beside the lines of these edges, the best first: right of the line, at its begin."""
    height = LABEL * 1.1
    for side in (1, -1):
        for index in indices:
            for (x, y), (to_x, to_y) in pairwise(layout.routes[index]):
                if x != to_x or abs(to_y - y) < height + 1:
                    continue
                left = x + _AWAY if side > 0 else x - _AWAY - width
                low, high = min(y, to_y), max(y, to_y)
                middle = low + (high - HEAD - low - height) / 2
                for top in dict.fromkeys((middle, low + 3)):
                    yield index, Place(left, max(low + 3, top), width, height)
    for index in indices:
        for (x, y), (to_x, to_y) in pairwise(layout.routes[index]):
            if y == to_y and abs(to_x - x) > width:
                yield index, Place((x + to_x - width) / 2, y - height - 1, width, height)


def frame_rooms(layout: NetLayout) -> list[Place]:
    """In the head of each frame the widest room that no edge crosses, for its text."""
    lines = [_line(*ends) for route in layout.routes for ends in pairwise(route)]
    rooms = []
    for frame in layout.frames:
        head = Place(frame.x, frame.y, frame.width, FRAME_HEAD)
        room, x = Place(frame.x, frame.y, 0.0, FRAME_HEAD), frame.x
        crossing = sorted((line.x, line.right) for line in lines if line.meets(head))
        for left, right in [*crossing, (frame.right, frame.right)]:
            if left - x > room.width:
                room = Place(x, frame.y, left - x, FRAME_HEAD)
            x = max(x, right)
        rooms.append(room)
    return rooms


class _Taken:
    """What stands already: the lines of edges and frames; boxes and texts, in cells."""

    def __init__(self, layout: NetLayout) -> None:
        self._cells: dict[tuple[int, int], list[Place]] = defaultdict(list)
        for place in layout.boxes.values():
            self.add(place)
        across: dict[int, list[_Range]] = defaultdict(list)
        down: dict[int, list[_Range]] = defaultdict(list)
        for route in (*layout.routes, *map(_corners, layout.frames)):
            for (x, y), (to_x, to_y) in pairwise(route):
                if x == to_x:
                    down[int(x)].append((min(y, to_y), max(y, to_y)))
                elif y == to_y:
                    across[int(y)].append((min(x, to_x), max(x, to_x)))
                else:  # aslant, between ports that all but face each other
                    self.add(_line((x, y), (to_x, to_y)))
        # A pixel -> what lines cover of the row, or the column, that begins there.
        self._across = {y: _united(ranges) for y, ranges in across.items()}
        self._down = {x: _united(ranges) for x, ranges in down.items()}

    def add(self, place: Place) -> None:
        """Let this be taken too."""
        for cell in _cells(place):
            self._cells[cell].append(place)

    def free(self, place: Place) -> bool:
        """Whether nothing else is there."""
        rows = range(int(place.y) - 1, int(place.bottom) + 2)
        columns = range(int(place.x) - 1, int(place.right) + 2)
        return not (
            any(_covers(self._across.get(y, ()), place.x, place.right) for y in rows)
            or any(_covers(self._down.get(x, ()), place.y, place.bottom) for x in columns)
            or any(place.meets(each) for cell in _cells(place) for each in self._cells[cell])
        )


def _united(ranges: list[_Range]) -> list[_Range]:
    """The same without overlaps, in order."""
    united: list[_Range] = []
    for low, high in sorted(ranges):
        if united and low <= united[-1][1]:
            united[-1] = united[-1][0], max(high, united[-1][1])
        else:
            united.append((low, high))
    return united


def _covers(ranges: Sequence[_Range], low: float, high: float) -> bool:
    """Whether one of them has a part between the two."""
    place = bisect_left(ranges, (low,))
    return (place < len(ranges) and ranges[place][0] < high) or (
        place > 0 and ranges[place - 1][1] > low
    )


def _cells(place: Place) -> Iterator[tuple[int, int]]:
    rows = range(int(place.y // _CELL), int(place.bottom // _CELL) + 1)
    columns = range(int(place.x // _CELL), int(place.right // _CELL) + 1)
    return ((row, column) for row in rows for column in columns)


def _line(start: Point, end: Point) -> Place:
    x, y = min(start[0], end[0]), min(start[1], end[1])
    return Place(x - 0.7, y - 0.7, abs(start[0] - end[0]) + 1.4, abs(start[1] - end[1]) + 1.4)


def _corners(place: Place) -> list[Point]:
    right, bottom = place.right, place.bottom
    start = (place.x, place.y)
    return [start, (right, place.y), (right, bottom), (place.x, bottom), start]
