"""The boxes found in an image, on its picture: their outlines, and names where there is room."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from netsurgery.drawing.colors import INK, PAPER, Color
from netsurgery.drawing.fonts import before_number
from netsurgery.drawing.scene import Box, ItemGroup, Rect, Scene, Text
from netsurgery.io.wording import counted
from netsurgery.maps.legend import class_name
from netsurgery.maps.palette import ink_on

if TYPE_CHECKING:
    from netsurgery.maps.boxes import MapBox
    from netsurgery.maps.classmap import ClassMap

__all__ = ["MOST_BOXES", "BoxMarks", "drawn_boxes", "found_words"]

#: Boxes on a picture, the surest; of more nothing is seen but lines.
MOST_BOXES = 400
_TEXT, _TAG, _PAD, _RADIUS = 12, 17.0, 4.0, 3
#: A name is no longer, in pixels.
_NAME = 150


def drawn_boxes(
    class_map: ClassMap, numbers: Container[int] | None = None, but: int | None = None
) -> list[MapBox]:
    """The boxes to be drawn, of some classes or of all (None), but for those of one."""
    boxes = (
        each
        for each in class_map.boxes or ()
        if each.number != but and (numbers is None or each.number in numbers)
    )
    return list(islice(boxes, MOST_BOXES))


def found_words(class_map: ClassMap, drawn: int) -> list[str]:
    """A line that says how many boxes were found, and how many of them are `drawn` where that is
    not all; none where none were looked for."""
    if class_map.boxes is None:
        return []
    count = len(class_map.boxes)
    shown = f", {drawn} drawn" if drawn < count else ""
    return [f"{counted(count, 'box')} found{shown}"]


@dataclass(frozen=True, eq=False)
class BoxMarks:
    """Boxes, the surest first, on the image in `frame`; colors: of their classes, by number."""

    class_map: ClassMap
    boxes: Sequence[MapBox]
    frame: Box
    colors: Mapping[int, Color]

    def draw(self, scene: Scene) -> None:
        """The surest over all others, names over all outlines; no name covers that of a surer."""
        tags: list[Box] = []
        groups = []
        for each in self.boxes:
            tag = self._tag(scene, each, tags)
            groups.append((each, tag))
            if tag is not None:
                tags.append(tag)
        for each, _ in reversed(groups):
            scene.add(self._outline(each))
        for each, tag in reversed(groups):
            if tag is not None:
                self._name(scene, each, tag)

    def _outline(self, each: MapBox) -> ItemGroup:
        """In the colour of its class, with paper about it, so that it is seen on any ground."""
        box, color = self._placed(each), self.colors.get(each.number, INK)
        lines = [Rect(box, line=PAPER, thick=4), Rect(_grown(box, -1), line=color, thick=2)]
        name = before_number(class_name(self.class_map, each.number))
        return ItemGroup("box", lines, f"{name}, {_score(self.class_map, each)}")

    def _placed(self, each: MapBox) -> Box:
        """A box's place on the sheet."""
        x0, y0, x1, y1 = self.frame
        height, width = self.class_map.picture.size
        across, down = (x1 - x0) / width, (y1 - y0) / height
        left, top, right, bottom = each.box
        return (x0 + left * across, y0 + top * down, x0 + right * across, y0 + bottom * down)

    def _words(self, scene: Scene, each: MapBox) -> str:
        """Its class and its score; the number of a class whose name no font has."""
        labels, fonts = self.class_map.labels, scene.fonts
        name = str(each.number)
        if labels is not None and fonts.is_native(labels.short(each.number)):
            name = before_number(fonts.cut(labels.short(each.number), _TEXT, _NAME))
        return f"{name} {_score(self.class_map, each)}"

    def _tag(self, scene: Scene, each: MapBox, taken: Sequence[Box]) -> Box | None:
        """Where its name stands in the frame: above it, under it or in it; None for no place."""
        width = scene.fonts.length(self._words(scene, each), _TEXT) + 2 * _PAD
        x0, y0, x1, y1 = self.frame
        left, top, _, bottom = self._placed(each)
        left = max(x0, min(left, x1 - width))
        for y in (top - _TAG + 2, bottom - 2, top):
            tag = (left, y, left + width, y + _TAG)
            inside = y0 <= y and tag[2] <= x1 and tag[3] <= y1
            if inside and not any(_meet(tag, name) for name in taken):
                return tag
        return None

    def _name(self, scene: Scene, each: MapBox, tag: Box) -> None:
        color = self.colors.get(each.number, INK)
        scene.add(Rect(tag, fill=color, radius=_RADIUS))
        center = ((tag[0] + tag[2]) / 2, (tag[1] + tag[3]) / 2)
        scene.add(Text(center, self._words(scene, each), _TEXT, ink_on(color), "mm"))


def _score(class_map: ClassMap, each: MapBox) -> str:
    """Of a probability two decimals: "7 1" would be 71."""
    return f"{each.score:.2f}" if class_map.is_probability else f"{each.score:.3g}"


def _grown(box: Box, by: float) -> Box:
    return box[0] - by, box[1] - by, box[2] + by, box[3] + by


def _meet(first: Box, second: Box) -> bool:
    return (
        first[0] < second[2]
        and second[0] < first[2]
        and first[1] < second[3]
        and second[1] < first[3]
    )
