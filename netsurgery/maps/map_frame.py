"""One picture of a map: the image in a frame, cells at their places, names, and a colour bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from PIL import Image

from netsurgery.drawing.colors import FRAME, PALE, PAPER
from netsurgery.drawing.scene import Bitmap, Box, CellGrid, Line, Rect, Scene
from netsurgery.maps.box_marks import BoxMarks
from netsurgery.maps.cell_places import cell_places
from netsurgery.maps.color_scale import ColorScale, tick_words
from netsurgery.maps.palette import ink_on
from netsurgery.maps.regions import place_tags

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from netsurgery.maps.boxes import MapBox
    from netsurgery.maps.classmap import ClassMap
    from netsurgery.maps.map_colors import MapColors

__all__ = ["Ground", "MapFrame", "color_bar", "fed_picture"]

#: The image under the cells, in grey or in its own colours.
Ground: TypeAlias = Literal["L", "RGB"]

_TAG, _TAG_RADIUS = 12, 4
#: A tag's name is no longer, in pixels.
_NAME = 150
#: The least size of the numbers in cells.
_READ = 8
_BAR = 14


@dataclass(frozen=True, eq=False)
class MapFrame:
    """The image in `box`, with what of the map is on it.

    ground: the image in grey or in its own colours, or None for paper. boxes: those to be drawn,
    whose names then are the only ones.
    """

    class_map: ClassMap
    box: Box
    ground: Ground | None = "L"
    boxes: Sequence[MapBox] = ()

    def draw(
        self,
        scene: Scene,
        content: MapColors | None = None,
        *,
        smooth: bool = False,
        numbers: bool = False,
    ) -> None:
        """Draw it; numbers: the cells' likeliest classes in them, instead of names."""
        if self.ground is not None:
            picture, mode = self.class_map.picture, self.ground
            scene.add(Bitmap(self.box, lambda size: picture.thumbnail(size, mode), picture.size))
        if content is not None:
            if self.ground is None and content.shown is None:
                content = content.opaque()  # on paper, the colours of the bar beside it
            cells = self._cells(content, smooth)
            scene.add(cells)
            if numbers:
                self._numbers(scene, cells, content)
            elif content.shown is not None and not self.boxes:
                self._tags(scene, cells, content)
            if self.boxes:
                BoxMarks(self.class_map, self.boxes, self.box, content.by_class).draw(scene)
        scene.framed(self.box)

    def _cells(self, content: MapColors, smooth: bool) -> CellGrid:
        x0, y0, x1, y1 = self.box
        height, width = self.class_map.picture.size
        across, down = (x1 - x0) / width, (y1 - y0) / height
        rows, columns = self.class_map.shape
        # Each cell's share of the image, in its pixels: alike in every row, and in every column.
        _, of_row = cell_places(self.class_map, 1, columns)
        _, of_column = cell_places(self.class_map, rows, 1)
        return CellGrid(
            self.box,
            of_row[0][:, [0, 2]] * across,
            of_column[:, 0][:, [1, 3]] * down,
            content.colors,
            None if smooth else content.shown,
            smooth,
        )

    def _tags(self, scene: Scene, cells: CellGrid, content: MapColors) -> None:
        """The names of classes, each inside a region of its class."""
        assert content.shown is not None
        labels, fonts = self.class_map.labels, scene.fonts

        def names(number: int) -> Sequence[str]:
            own = str(self.class_map.class_of(number))
            if labels is None or not fonts.is_native(labels.short(number)):
                return [own]
            return [fonts.cut(labels.short(number), _TAG, _NAME), own]

        def length(words: str) -> float:
            return fonts.length(words, _TAG)

        shown, hidden = content.shown, self._named_background(content)
        if hidden is not None:
            shown = self.class_map.argmax()
        for tag in place_tags(cells, shown, content.scores, names, length, hidden):
            color = content.by_class.get(tag.number)
            x0, y0, x1, y1 = tag.box
            line = FRAME if color is None else None
            scene.add(Rect(tag.box, fill=color or PAPER, line=line, radius=_TAG_RADIUS))
            center = ((x0 + x1) / 2, (y0 + y1) / 2)
            scene.text(center, tag.words, _TAG, ink_on(color or PAPER), "mm")

    def _named_background(self, content: MapColors) -> int | None:
        """The background, where its name says more than that it is the background."""
        number = self.class_map.background if content.is_likeliest else None
        if number is None or "background" in self.class_map.label(number).casefold():
            return None
        return number

    def _numbers(self, scene: Scene, cells: CellGrid, content: MapColors) -> None:
        """Each cell's likeliest class, where there is room for it."""
        numbers = self.class_map.likeliest
        height, width = cells.least_size
        size = int(min(height * 0.5, width * 1.3 / len(str(numbers.max())), 13))
        if size < _READ:
            return
        x0, y0, x1, y1 = self.box
        for row, column in np.ndindex(*numbers.shape):
            x = x0 + float(cells.columns[column].mean())
            y = y0 + float(cells.rows[row].mean())
            if x0 < x < x1 and y0 < y < y1:
                ground = _over_paper(content.colors[row, column])
                ink = PALE if ground == PAPER else ink_on(ground)
                scene.text((x, y), str(numbers[row, column]), size, ink, "mm")


def _over_paper(color: NDArray[Any]) -> tuple[int, int, int]:
    share = float(color[3]) / 255
    red, green, blue = (
        round(share * float(part) + (1 - share) * paper)
        for part, paper in zip(color[:3], PAPER, strict=True)
    )
    return red, green, blue


def color_bar(scene: Scene, box: Box, scale: ColorScale) -> None:
    """Colours from the lowest value, at the foot of a box, to the highest, with round ticks.

    box: the colours are at its left edge.
    """
    x0, y0, _, y1 = box
    right = x0 + _BAR

    def stripes(size: tuple[int, int]) -> Image.Image:
        values = np.linspace(scale.high, scale.low, size[0], dtype=np.float64)
        colors = scale.colors(values)
        return Image.fromarray(np.repeat(colors[:, np.newaxis], size[1], axis=1))

    scene.add(Bitmap((x0, y0, right, y1), stripes))
    scene.framed((x0, y0, right, y1))
    marked = scale.ticks(6 if y1 - y0 >= 90 else 3)
    for tick, words in zip(marked, tick_words(marked), strict=True):
        y = y1 - (y1 - y0) * (tick - scale.low) / (scale.high - scale.low)
        scene.add(Line((right + 1, y), (right + 5, y)))
        scene.text((right + 8, y), words, 12, PALE, "lm")


def fed_picture(class_map: ClassMap, size: tuple[int, int]) -> Image.Image:
    """The image as the net gets it, warped, cropped or padded, in a height and width of pixels."""
    placement = class_map.geometry.placement
    scales = [size[axis] / placement.input[axis] for axis in range(2)]
    placed = [round(placement.resized[axis] * scales[axis]) for axis in range(2)]
    mode: Literal["L", "RGB"] = "L" if class_map.channels == 1 else "RGB"
    image = class_map.picture.thumbnail((max(1, placed[0]), max(1, placed[1])), mode)
    top, left = (round(placement.offset[axis] * scales[axis]) for axis in range(2))
    sheet = Image.new("RGB", (size[1], size[0]), _PADDED)
    sheet.paste(image, (left, top))
    return sheet


#: What is not of the image, where it was padded: the blob has zeros there.
_PADDED = (206, 208, 212)
