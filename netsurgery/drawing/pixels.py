"""A scene as pixels, in its light colours."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from PIL import Image, ImageDraw

from netsurgery.drawing.arrow import DASH, STROKE, Arrow, Point, towards
from netsurgery.drawing.colors import Color
from netsurgery.drawing.scene import (
    Bitmap,
    CellGrid,
    Item,
    ItemGroup,
    Line,
    Rect,
    Scene,
    Text,
    pixel_box,
)
from netsurgery.io.memory import Claim
from netsurgery.io.shape_text import shape_text

__all__ = ["Drawing", "to_pixels"]

#: A picture that was drawn: Pillow's.
Drawing = Image.Image

#: What a pixel takes: Pillow's own; that of an image on it, and of the cells over that.
_PIXEL, _COVERED = 4, 16


def to_pixels(scene: Scene) -> Image.Image:
    """The scene as an RGB image of its width and height times its scale.

    Raises MemoryLimitError.
    """
    width, height = (max(1, round(side * scene.scale)) for side in (scene.width, scene.height))
    covered = any(isinstance(item, Bitmap | CellGrid) for item in scene.items)
    needed = (_PIXEL + (_COVERED if covered else 0)) * width * height
    with Claim(needed, f"a picture of {shape_text((height, width))} pixels"):
        canvas = Image.new("RGB", (width, height), scene.paper)
        _Painter(scene, canvas).paint(scene.items)
    return canvas


class _Painter:
    def __init__(self, scene: Scene, canvas: Image.Image) -> None:
        self._scene, self._scale = scene, scene.scale
        self._canvas, self._pen = canvas, ImageDraw.Draw(canvas)

    def paint(self, items: Sequence[Item]) -> None:
        """Those of groups, too."""
        for item in items:
            if isinstance(item, ItemGroup):
                self.paint(item.items)
            elif isinstance(item, Rect):
                self._rect(item)
            elif isinstance(item, Line):
                self._line((item.start, item.end), item.color)
            elif isinstance(item, Arrow):
                self._arrow(item)
            elif isinstance(item, Text):
                self._text(item)
            elif isinstance(item, Bitmap):
                x0, y0, x1, y1 = pixel_box(item.box, self._scale)
                self._canvas.paste(item.pixels((y1 - y0, x1 - x0)), (x0, y0))
            else:
                self._cells(item)

    def _rect(self, item: Rect) -> None:
        x0, y0, x1, y1 = pixel_box(item.box, self._scale)
        solid = None if item.dashed else item.line
        self._pen.rounded_rectangle(
            (x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)),
            item.radius * self._scale,
            item.fill,
            solid,
            0 if solid is None else max(1, round(item.thick * self._scale)),
        )
        if item.dashed and item.line is not None:
            (left, top, right, bottom), inset = item.box, item.thick / 2
            left, top, right, bottom = left + inset, top + inset, right - inset, bottom - inset
            corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
            self._line(corners, item.line, item.thick, dashed=True)

    def _line(
        self, points: Sequence[Point], color: Color, thick: float = 1, *, dashed: bool = False
    ) -> None:
        width = max(1, round(thick * self._scale))
        for part in _dashes(points) if dashed else [points]:
            places = [(round(x * self._scale), round(y * self._scale)) for x, y in part]
            self._pen.line(places, color, width)

    def _arrow(self, item: Arrow) -> None:
        self._line(list(_rounded(item)), item.color, STROKE, dashed=item.dashed)
        self._pen.polygon([(x * self._scale, y * self._scale) for x, y in item.head], item.color)

    def _text(self, item: Text) -> None:
        size, fonts = max(1, round(item.size * self._scale)), self._scene.fonts
        room = None if item.width is None else item.width * self._scale
        words = fonts.fitted(item.words, size, room)
        lettering = fonts.lettering(words, size, item.anchor)
        x, y = (round(place * self._scale) for place in item.at)
        # The font has one weight: what is bold is written twice.
        for left in (x, x + max(1, round(self._scale / 2))) if item.bold else (x,):
            if lettering is None:
                font = fonts.font(words, size)
                self._pen.text((left, y), words, item.color, font, item.anchor)
            else:
                self._canvas.paste(
                    item.color, (left + lettering.left, y + lettering.top), lettering.ink
                )

    def _cells(self, item: CellGrid) -> None:
        from netsurgery.drawing.cells import cells_image

        cover = cells_image(item, self._scale)
        painted = cover.getbbox()
        if painted is not None:  # what is not painted, often the background, costs nothing
            x, y, _, _ = pixel_box(item.box, self._scale)
            cover = cover.crop(painted)
            self._canvas.paste(cover, (x + painted[0], y + painted[1]), cover)


def _rounded(item: Arrow) -> Iterator[Point]:
    """The points of the line, some along each bend: the curve that SVG draws."""
    yield item.points[0]
    for start, corner, end in item.bends:
        for step in range(5):
            t = step / 4
            x, y = (
                (1 - t) ** 2 * a + 2 * t * (1 - t) * c + t**2 * b
                for a, c, b in zip(start, corner, end, strict=True)
            )
            yield x, y
    yield item.points[-1]


def _dashes(points: Sequence[Point]) -> Iterator[tuple[Point, Point]]:
    for start, end in pairwise(points):
        length, done = math.dist(start, end), 0.0
        while done < length:
            yield towards(start, end, done), towards(start, end, min(done + DASH[0], length))
            done += sum(DASH)
