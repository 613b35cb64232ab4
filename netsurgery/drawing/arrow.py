"""The line of an edge: where it bends, where its head is, and how it is dashed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from netsurgery.drawing.colors import Color

__all__ = ["DASH", "HEAD", "STROKE", "Arrow", "Point", "towards"]

Point: TypeAlias = tuple[float, float]

#: Pixels: how thick the line is, how long its head, a dash and the space after it.
STROKE, HEAD, DASH = 1.3, 7.0, (5.0, 4.0)
#: Half of how wide the head is, and how far a corner is rounded.
_HALF, _CORNER = 3.2, 5.0


@dataclass(frozen=True)
class Arrow:
    """A line through corners, with a head at its end."""

    points: tuple[Point, ...]
    color: Color
    dashed: bool = False

    @property
    def bends(self) -> Iterator[tuple[Point, Point, Point]]:
        """Of each corner: where the line begins to bend, the corner, where the bend ends.

        >>> list(Arrow(((0, 0), (0, 20), (6, 20)), (0, 0, 0)).bends)
        [((0.0, 15.0), (0, 20), (3.0, 20.0))]
        """
        for (before, corner), (_, after) in pairwise(pairwise(self.points)):
            # Of a line between two bends each has half.
            start, stop = (
                towards(corner, end, min(_CORNER, math.dist(corner, end) / 2))
                for end in (before, after)
            )
            yield start, corner, stop

    @property
    def head(self) -> tuple[Point, Point, Point]:
        """The corners of the head, its tip first.

        >>> Arrow(((0, 0), (0, 20)), (0, 0, 0)).head
        ((0, 20), (-3.2, 13.0), (3.2, 13.0))
        """
        before, tip = self.points[-2:]
        x, y = towards(tip, before, HEAD)
        along, down = ((end - start) * _HALF / HEAD for start, end in zip((x, y), tip, strict=True))
        return tip, (x - down, y + along), (x + down, y - along)


def towards(start: Point, end: Point, length: float) -> Point:
    """The point that is `length` from the start on the way to the end."""
    share = length / (math.dist(start, end) or 1.0)
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share
