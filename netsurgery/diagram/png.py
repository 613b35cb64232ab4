"""A drawing as PNG, painted by Pillow in the light colours."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from io import BytesIO
from itertools import pairwise
from typing import TYPE_CHECKING

from netsurgery.diagram.arrow import DASH, STROKE, Arrow, towards
from netsurgery.diagram.layout import Point
from netsurgery.diagram.palette import LIGHT
from netsurgery.diagram.scene import NetScene, Rectangle, SceneItem, ScenePart, Writing
from netsurgery.diagram.typeface import drawable
from netsurgery.io.memory import Claim
from netsurgery.io.shape_text import shape_text

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

__all__ = ["png_bytes"]

#: Pixels of the picture for one of the drawing: two where it stays below so many in all.
_FINE, _MANY = 2, 80_000_000


def png_bytes(scene: NetScene) -> bytes:
    """The drawing as a PNG file, in which a pixel of the drawing is 2 x 2, or 1 if it is large.

    Raises MemoryLimitError where the picture is larger than the memory that may be used.
    """
    from PIL import Image, ImageDraw

    scale = _FINE if scene.width * scene.height * _FINE**2 <= _MANY else 1
    size = math.ceil(scene.width * scale), math.ceil(scene.height * scale)
    with Claim(4 * size[0] * size[1], f"the picture of {shape_text(size)} pixels"):
        sheet = Image.new("RGB", size, LIGHT["paper"])
        painter = _Painter(ImageDraw.Draw(sheet), scale)
        for item in scene.items:
            painter.paint(item)
        out = BytesIO()
        sheet.save(out, "PNG", dpi=(96 * scale, 96 * scale))
    return out.getvalue()


class _Painter:
    def __init__(self, pen: ImageDraw, scale: int) -> None:
        self._pen, self._scale = pen, scale

    def paint(self, part: ScenePart) -> None:
        """One part; of an item its parts."""
        if isinstance(part, SceneItem):
            for inner in part.parts:
                self.paint(inner)
        elif isinstance(part, Rectangle):
            self._rectangle(part)
        elif isinstance(part, Arrow):
            self._arrow(part)
        else:
            self._write(part)

    def _at(self, point: Point) -> Point:
        return point[0] * self._scale, point[1] * self._scale

    def _rectangle(self, part: Rectangle) -> None:
        place = part.place
        low, high = self._at((place.x, place.y)), self._at((place.right, place.bottom))
        edge = LIGHT[part.stroke] if part.stroke and not part.dashed else None
        thick = round(part.thick * self._scale) if edge else 0
        radius = min(part.radius, place.height / 2) * self._scale
        self._pen.rounded_rectangle((*low, *high), radius, LIGHT[part.fill], edge, thick)
        if part.dashed:
            corners = [(place.x, place.y), (place.right, place.y), (place.right, place.bottom)]
            corners += [(place.x, place.bottom), (place.x, place.y)]
            self._line(corners, part.stroke, part.thick, dashed=True)

    def _write(self, part: Writing) -> None:
        span = part.span
        ink = LIGHT[span.tone]
        text, font = drawable(span.text, round(span.size * self._scale), span.width * self._scale)
        x, y = self._at((part.x, part.y))
        self._pen.text((x, y), text, ink, font, "ls")
        if span.bold:  # the font has one weight
            self._pen.text((x + self._scale / 2, y), text, ink, font, "ls")

    def _arrow(self, part: Arrow) -> None:
        self._line(list(_rounded(part)), part.tone, STROKE, dashed=part.dashed)
        self._pen.polygon([self._at(corner) for corner in part.head], LIGHT[part.tone])

    def _line(self, points: Sequence[Point], tone: str, thick: float, *, dashed: bool) -> None:
        width = max(1, round(thick * self._scale))
        if not dashed:
            self._pen.line([self._at(point) for point in points], LIGHT[tone], width, "curve")
            return
        for dash in _dashes(points):
            self._pen.line([self._at(point) for point in dash], LIGHT[tone], width)


def _rounded(part: Arrow) -> Iterator[Point]:
    """The points of the line, some along each bend: the curve that SVG draws."""
    yield part.points[0]
    for start, corner, end in part.bends:
        for step in range(5):
            t = step / 4
            yield tuple(  # type: ignore[misc]
                (1 - t) ** 2 * a + 2 * t * (1 - t) * c + t**2 * b
                for a, c, b in zip(start, corner, end, strict=True)
            )
    yield part.points[-1]


def _dashes(points: Sequence[Point]) -> Iterator[tuple[Point, Point]]:
    for start, end in pairwise(points):
        length, done = math.dist(start, end), 0.0
        while done < length:
            yield towards(start, end, done), towards(start, end, min(done + DASH[0], length))
            done += sum(DASH)
