"""A picture of a class map: what is where in an image.

One large picture, the image in grey with the map on it, each cell about the center of its window;
beside it the image as it is fed to the net, and the classes. Or the image, the map and both in a
row; or the map alone; or a picture for each class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING

from netsurgery.drawing.colors import PALE
from netsurgery.drawing.fonts import before_number
from netsurgery.drawing.pixels import to_pixels
from netsurgery.drawing.scene import Bitmap, Box, Scene
from netsurgery.io.shape_text import shape_text
from netsurgery.io.wording import counted
from netsurgery.maps import map_colors
from netsurgery.maps.box_marks import drawn_boxes, found_words
from netsurgery.maps.cell_places import cell_places
from netsurgery.maps.class_names import EACH, LIKELIEST
from netsurgery.maps.classmap import ClassCount, ClassMap
from netsurgery.maps.color_scale import ColorScale
from netsurgery.maps.layout import (
    BAR_SPACE,
    GAP,
    MARGIN,
    Sheet,
    fitted,
    grid_sheet,
    one_sheet,
    stretched,
)
from netsurgery.maps.legend import COLUMN, Legend, class_name, entries
from netsurgery.maps.map_colors import MapColors
from netsurgery.maps.map_frame import Ground, MapFrame, color_bar, fed_picture
from netsurgery.maps.picture_look import PictureLook
from netsurgery.maps.pixel_map import pixel_map
from netsurgery.maps.row_blocks import claim_more
from netsurgery.maps.scales import scales_words
from netsurgery.maps.thinned_map import thinned_map, thinned_words
from netsurgery.maps.transformer import squeeze_words

if TYPE_CHECKING:
    from PIL import Image

    from netsurgery.maps.boxes import MapBox

__all__ = ["draw_map", "map_scene"]

#: Classes that have a picture each, the most common first.
_MULTIPLES = 24
#: The input beside or under the large picture: at most so high and wide.
_INPUT = (210, 292)
#: Bytes that a cell takes in what is drawn.
_CELL = 160
_PLAIN = PictureLook()


def draw_map(
    class_map: ClassMap, classes: int | str | None = None, look: PictureLook = _PLAIN
) -> Image.Image:
    """Draw the map on its picture, as `map_scene` lays it out."""
    return to_pixels(map_scene(class_map, classes, look))


def map_scene(
    class_map: ClassMap, classes: int | str | None = None, look: PictureLook = _PLAIN
) -> Scene:
    """What stands where in the picture of a map.

    classes: "max" (None) for the likeliest class of each cell, a class or several, by numbers or
    labels with commas between, or "each" for a picture of each class found. Raises NetError where
    the places of the cells are not known or there is no such class, FormatError for no label.
    """
    named = class_map.drawn(LIKELIEST if classes is None else str(classes))
    shown = thinned_map(pixel_map(class_map) if look.upsample else class_map)
    cell_places(shown, 1, 1)
    claim_more(class_map, _CELL * prod(shown.shape), "a picture of its map")
    picture = _MapPicture(class_map, shown, look)
    numbers = class_map.names.find_several(named)
    if named.strip().casefold() == EACH:
        return picture.each()
    if numbers is not None and len(numbers) == 1:
        return picture.of(map_colors.heat(shown, numbers[0], look), numbers[0])
    if numbers is not None:
        return picture.of(map_colors.selected(shown, numbers, look))
    return picture.of(
        map_colors.likeliest(shown, look, [row.number for row in class_map.foreground()])
    )


@dataclass(frozen=True, eq=False)
class _MapPicture:
    """class_map: what is said of. shown: the one that is drawn, which may be a finer one of it, or
    one with fewer cells."""

    class_map: ClassMap
    shown: ClassMap
    look: PictureLook

    @cached_property
    def image(self) -> tuple[int, int]:
        return self.class_map.picture.size

    def of(self, content: MapColors, drawn: int | None = None) -> Scene:
        """The picture of the classes, or of the class drawn as heat, in the layout asked for."""
        if self.look.layout == "panels":
            return self._panels(content, drawn)
        bar = content.scale is not None
        sheet = one_sheet(self.image, self.look.width, bar)
        scene = self._scene(sheet, content.title)
        hidden = self._background("painted") if content.is_likeliest else []
        boxes = self._boxes(content, drawn)
        counts = found_words(self.class_map, len(boxes))
        top = self._head(scene, [content.title, *hidden, *counts], sheet)
        height, width = sheet.picture
        box = (MARGIN, top, MARGIN + width, top + height)
        whole = self.look.layout == "overlay"
        frame = MapFrame(self.shown, box, "L" if whole else None, boxes)
        frame.draw(
            scene, content, smooth=self.look.smooth, numbers=content.is_likeliest and not whole
        )
        if content.scale is not None:
            _bar_beside(scene, [box], content.scale)
        self._beside(scene, sheet, box, content, drawn)
        return scene

    def _beside(
        self,
        scene: Scene,
        sheet: Sheet,
        box: Box,
        content: MapColors,
        drawn: int | None,
    ) -> None:
        """The input and the legend, beside the picture or under it."""
        legend = self._legend(content, drawn)
        if sheet.side:
            left = sheet.width - MARGIN - sheet.side
            _, under = self._input(scene, (left, box[1]), min(sheet.side, _INPUT[1]))
            most = max(box[3] - under - 18, 190)
            bottom = legend.draw(scene, (left, under + 18), sheet.side, most)
        else:
            inner, top = sheet.width - 2 * MARGIN, box[3] + 20
            right, under = self._input(scene, (MARGIN, top), min(inner / 3, _INPUT[1]))
            room = sheet.width - MARGIN - right - GAP
            place = (right + GAP, top) if room >= COLUMN else (MARGIN, under + 18)
            width = sheet.width - MARGIN - place[0]
            bottom = max(under, legend.draw(scene, place, width, max(under - top, 210)))
        scene.height = max(box[3], bottom) + MARGIN

    def _legend(self, content: MapColors, drawn: int | None) -> Legend:
        hidden = self.class_map.background if content.is_likeliest else None
        return Legend(entries(self.class_map, content.by_class, drawn, hidden))

    def _input(self, scene: Scene, at: tuple[float, float], width: float) -> tuple[float, float]:
        """The image as the net gets it, under its title; the right and the lower end of both."""
        placement = self.class_map.geometry.placement
        size = fitted(placement.input, (_INPUT[0], int(width)))
        x, y = at
        words = f"as the net gets it, {shape_text(placement.input)}"
        squeezed = squeeze_words(placement)
        y = scene.paragraph(at, f"{words}, {squeezed}" if squeezed else words, 13, room=width)
        y += 6
        box = (x, y, x + size[1], y + size[0])
        scene.add(Bitmap(box, lambda size: fed_picture(self.class_map, size)))
        scene.framed(box)
        return x + width, box[3]

    def _panels(self, content: MapColors, drawn: int | None) -> Scene:
        """The image, the map on it, and the map alone, beside which its scale is."""
        heat = content
        if content.is_likeliest:
            heat = map_colors.highest(self.shown, self.look)
        bar = heat.scale is not None
        sheet = grid_sheet(self.image, 3, self.look.width, bar)
        scene = self._scene(sheet, content.title)
        hidden = self._background("painted") if content.is_likeliest else []
        marked = self._boxes(content, drawn)
        top = self._head(scene, [*hidden, *found_words(self.class_map, len(marked))], sheet)
        parts: tuple[tuple[str, Ground | None, MapColors | None, bool], ...] = (
            ("image", "RGB", None, False),
            ("on the image" if heat is content else content.title, "L", content, False),
            (heat.title, None, heat, content.is_likeliest),
        )
        titles = [title for title, *_ in parts]
        boxes = self._grid(scene, sheet, top, titles)
        for box, (_, ground, shown, numbers) in zip(boxes, parts, strict=True):
            frame = MapFrame(self.shown, box, ground, marked if ground == "L" else ())
            frame.draw(scene, shown, smooth=self.look.smooth, numbers=numbers)
        if heat.scale is not None:
            _bar_beside(scene, boxes, heat.scale)
        legend = self._legend(content, drawn)
        under = boxes[-1][3] + 20
        bottom = legend.draw(scene, (MARGIN, under), sheet.width - 2 * MARGIN, 420)
        scene.height = bottom + MARGIN
        return scene

    def each(self) -> Scene:
        """A picture of each class found, all on one scale."""
        class_map = self.class_map
        rows = class_map.foreground() or class_map.summary()
        left_out, rows = len(rows) - _MULTIPLES, rows[:_MULTIPLES]
        fewer = min(class_map, self.shown, key=lambda each: prod(each.shape))
        values = fewer.values[[row.number for row in rows]]
        scale = ColorScale.of(values, probability=class_map.is_probability, ends=self.look.range)
        sheet = grid_sheet(self.image, len(rows), self.look.width, not scale.is_flat)
        title = f"{class_map.scored} of each class {class_map.listed_as}, all on one scale"
        more = f"; not drawn: {counted(left_out, 'more class')}" if left_out > 0 else ""
        scene = self._scene(sheet, title + more)
        marked = [drawn_boxes(class_map, [row.number]) for row in rows]
        counts = found_words(class_map, sum(map(len, marked)))
        top = self._head(scene, [title + more, *self._background("drawn"), *counts], sheet)
        titles = [
            f"{before_number(class_name(class_map, row.number))}, {_said(class_map, row)}"
            for row in rows
        ]
        boxes = self._grid(scene, sheet, top, titles, most=3)
        for box, row, own in zip(boxes, rows, marked, strict=True):
            content = map_colors.heat(self.shown, row.number, self.look, scale)
            frame = MapFrame(self.shown, box, boxes=own)
            frame.draw(scene, content, smooth=self.look.smooth)
        if not scale.is_flat:
            _bar_beside(scene, boxes, scale)
        scene.height = boxes[-1][3] + MARGIN
        return scene

    def _grid(
        self,
        scene: Scene,
        sheet: Sheet,
        top: float,
        titles: Sequence[str],
        most: int = 5,
    ) -> list[Box]:
        """Boxes for as many pictures as there are titles, which stand over them."""
        height, width = sheet.picture
        room = max(width, sheet.pitch - GAP)
        boxes = []
        for start in range(0, len(titles), sheet.columns):
            row = titles[start : start + sheet.columns]
            lines = [scene.fonts.wrapped(title, 13, room, most) for title in row]
            under = top + 18 * max(map(len, lines)) + 2
            for column, each in enumerate(lines):
                x = MARGIN + column * sheet.pitch
                for number, line in enumerate(each):
                    scene.text((x, under - 2 - 18 * (len(each) - number)), line, 13)
                boxes.append((x, under, x + width, under + height))
            top = under + height + 16
        return boxes

    def _boxes(self, content: MapColors, drawn: int | None) -> list[MapBox]:
        """The boxes of the classes that are shown: as its cells are, the background is not."""
        if content.is_likeliest:
            return drawn_boxes(self.class_map, but=self.class_map.background)
        return drawn_boxes(self.class_map, [drawn] if drawn is not None else [*content.by_class])

    def _scene(self, sheet: Sheet, what: str) -> Scene:
        title = f"{self.class_map.picture.title}: {what}"
        return Scene(sheet.width, fonts=self.look.fonts, scale=sheet.scale, title=title)

    def _head(self, scene: Scene, lines: Sequence[str], sheet: Sheet) -> float:
        """The image's name, what is shown, and of what; the y under it."""
        room = scene.width - 2 * MARGIN
        scene.text((MARGIN, 20), self.class_map.picture.title, 20, room=room)
        y = 50.0
        if self.look.smooth and lines:
            lines = [f"{lines[0]}; smoothed between cells", *lines[1:]]
        if self.look.upsample and lines:
            lines = [f"{lines[0]}; scores interpolated to pixels", *lines[1:]]
        for line in lines:
            y = scene.paragraph((MARGIN, y), line, 14, room=room) + 2
        y = scene.paragraph((MARGIN, y), self._facts(sheet), 12, PALE, room=room)
        return y + 12

    def _facts(self, sheet: Sheet) -> str:
        put = self.class_map.geometry.placement
        facts = [
            f"{shape_text(put.image)} pixels, input {shape_text(put.input)}, "
            f"map {shape_text(self.class_map.shape)} of {self.class_map.blob} (height x width)",
            thinned_words(self.class_map, self.shown),
            "" if self.class_map.scales is None else scales_words(self.class_map.scales),
            stretched(self.image, sheet.picture),
            self.class_map.notes.get("preprocess", "").split(";")[0],
        ]
        return "; ".join(fact for fact in facts if fact)

    def _background(self, painted: str) -> list[str]:
        """A line that says what is not painted, and why; none without a background."""
        number = self.class_map.background
        if number is None:
            return []
        name = before_number(class_name(self.class_map, number))
        cells = sum(row.cells for row in self.class_map.summary() if row.number == number)
        total = self.class_map.shape[0] * self.class_map.shape[1]
        return [f"not {painted}: the background, {name}, {cells} of {counted(total, 'cell')}"]


def _said(class_map: ClassMap, row: ClassCount) -> str:
    """What is said of a class that has a picture to itself."""
    facts = class_map.facts(row.number)
    return counted(row.cells, "cell") if facts is None else ", ".join(facts)


def _bar_beside(scene: Scene, boxes: Sequence[Box], scale: ColorScale) -> None:
    """The scale, beside the first row of pictures."""
    right, top = max(box[2] for box in boxes), boxes[0][1]
    foot = max(boxes[0][3], top + 60)
    color_bar(scene, (right + 14, top, right + BAR_SPACE, foot), scale)
