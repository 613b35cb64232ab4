"""Where the shapes stand: one for each blob, beside one of its edges, over nothing else."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice, pairwise

from netsurgery.diagram.graph import Edge
from netsurgery.diagram.layout import FRAME_HEAD, Layout, Place, Point
from netsurgery.diagram.typeface import text_width
from netsurgery.io.shape_text import shape_text

__all__ = ["LABEL", "frame_rooms", "labels"]

#: Pixels: a label's letters, its distance from the line beside it, the arrow's head.
LABEL = 10.0
_AWAY, _HEAD = 4.0, 7.0
#: The side of the cells by which boxes that are near are looked up; what a line is thinner than.
_CELL, _THIN = 200.0, 2.0


def labels(edges: Sequence[Edge], layout: Layout, written: Iterable[Place]) -> dict[int, Place]:
    """The place in `edges` of the one that is labelled -> where its label stands.

    written: where other texts stand between the boxes.

    A blob that several boxes read has one label. Where there is room beside none of its edges,
    there is no label: the drawing's text has the shape all the same.
    """
    taken = _Taken(layout)
    for text in written:
        taken.add(text)
    several: dict[tuple[int, str], list[int]] = defaultdict(list)
    for index, edge in enumerate(edges):
        if edge.shape is not None:
            several[edge.source, edge.blob].append(index)
    result: dict[int, Place] = {}
    for indices in several.values():
        shape = edges[indices[0]].shape
        width = text_width(shape_text(shape or ()), LABEL)
        for index, place in _candidates(indices, layout, width):
            if taken.free(place):
                result[index] = place
                taken.add(place)
                break
    return result


def _candidates(
    indices: Sequence[int], layout: Layout, width: float
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
                middle = low + (high - _HEAD - low - height) / 2
                for top in dict.fromkeys((middle, low + 3, high - _HEAD - height)):
                    yield index, Place(left, max(low + 3, top), width, height)
    for index in indices:
        for (x, y), (to_x, to_y) in pairwise(layout.routes[index]):
            if y == to_y and abs(to_x - x) > width:
                yield index, Place((x + to_x - width) / 2, y - height - 1, width, height)


def frame_rooms(layout: Layout) -> list[Place]:
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
    """What stands already: the lines of edges and frames, sorted; boxes and texts, in cells."""

    def __init__(self, layout: Layout) -> None:
        self._cells: dict[tuple[int, int], list[Place]] = defaultdict(list)
        for place in layout.boxes.values():
            self.add(place)
        lines = [_line(*ends) for route in layout.routes for ends in pairwise(route)]
        for frame in layout.frames:
            lines += [_line(*ends) for ends in pairwise(_corners(frame))]
        self._across = sorted((line for line in lines if line.height < _THIN), key=_top)
        self._down = sorted((line for line in lines if line.height >= _THIN), key=_left)

    def add(self, place: Place) -> None:
        for cell in _cells(place):
            self._cells[cell].append(place)

    def free(self, place: Place) -> bool:
        """Whether nothing else is there."""
        across = _between(self._across, place.y, place.bottom, _top)
        down = _between(self._down, place.x, place.right, _left)
        boxes = (each for cell in _cells(place) for each in self._cells[cell])
        return not any(place.meets(taken) for taken in chain(across, down, boxes))


def _top(place: Place) -> float:
    return place.y


def _left(place: Place) -> float:
    return place.x


def _between(
    lines: Sequence[Place], low: float, high: float, key: Callable[[Place], float]
) -> Iterator[Place]:
    """Of lines sorted by `key` those that may be between the two."""
    first = bisect_left(lines, low - _THIN, key=key)
    return islice(lines, first, bisect_right(lines, high, key=key))


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
