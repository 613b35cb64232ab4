"""The legend of a map's picture: its classes, in as many columns as there is room for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import ImageDraw

from netsurgery.io.wording import counted
from netsurgery.maps.classmap import ClassCount, ClassMap
from netsurgery.maps.drawing import BAND, INK, PALE, class_color, cut, load_font

__all__ = ["Entry", "Legend", "entries"]

_HEAD, _LINE = 30, 24  # heights in pixels
_SHARE, _GAP = 84, 28  # where the cells' number begins; between two columns
_LABEL = 300  # a longer label does not cost a column
_COLUMNS, _SHORT = 4, 4  # at most; a column has at least this many lines before there is another


@dataclass(frozen=True)
class Entry:
    """A line: its colour over the image, None where the picture shows one class; whether it is
    that class."""

    number: int
    label: str
    share: str
    color: tuple[int, int, int] | None
    drawn: bool = False


def entries(class_map: ClassMap, classes: Sequence[ClassCount], number: int | None) -> list[Entry]:
    """A line for each of `classes`; the class drawn, `number`, comes first, in a cell or not."""
    cells = math.prod(class_map.shape)
    lines = [
        Entry(
            row.number,
            row.label,
            f"{row.cells} of {counted(cells, 'cell')}, best {row.best:.3g}",
            class_color(rank) if number is None else None,
            row.number == number,
        )
        for rank, row in enumerate(classes)
    ]
    if number is not None and not any(entry.drawn for entry in lines):
        share = (
            f"0 of {counted(cells, 'cell')}, highest {float(class_map.values[number].max()):.3g}"
        )
        lines.append(Entry(number, class_map.label(number), share, None, True))
    return sorted(lines, key=lambda entry: not entry.drawn)


class Legend:
    """Lines to be drawn; `columns`, `rows` and `left` (lines left out) are known once it is laid.

    width: pixels a column needs.
    """

    def __init__(self, lines: Sequence[Entry]) -> None:
        font = load_font(14)
        self.lines = lines
        share = max(font.getlength(line.share) for line in lines)
        label = max(font.getlength(cut(line.label, font, _LABEL)) for line in lines)
        self.label = _SHARE + round(share) + 22  # where the labels begin
        self.width = self.label + round(label)
        self.room, self.columns, self.rows = self.width, 1, len(lines)

    def lay(self, room: int, most: int) -> int:
        """Take columns of at most `most` lines in `room` pixels; the height that this needs."""
        fits = (room + _GAP) // (self.width + _GAP)
        self.columns = max(1, min(fits, _COLUMNS, math.ceil(len(self.lines) / _SHORT)))
        self.rows = min(most, math.ceil(len(self.lines) / self.columns))
        self.room = room
        return _HEAD + _LINE * (self.rows + (self.left > 0))

    @property
    def left(self) -> int:
        """How many lines there is no room for."""
        return max(0, len(self.lines) - self.columns * self.rows)

    def draw(self, pen: ImageDraw.ImageDraw, at: tuple[int, int]) -> None:
        """Draw it, its top left corner `at`; columns are read downwards."""
        font, (left, top) = load_font(14), at
        some = any(line.drawn for line in self.lines)
        head = "class drawn, then the map's classes" if some else "classes of the map"
        pen.text(at, cut(head, font, self.room), fill=INK, font=font)
        pitch = (self.room + _GAP) // self.columns
        for index, line in enumerate(self.lines[: self.columns * self.rows]):
            column, row = divmod(index, self.rows)
            place = (left + column * pitch, top + _HEAD + row * _LINE)
            self._line(pen, place, line, pitch - _GAP)
        if self.left:
            y = top + _HEAD + self.rows * _LINE
            pen.text((left + 26, y), f"and {self.left} more", fill=PALE, font=load_font(13))

    def _line(self, pen: ImageDraw.ImageDraw, at: tuple[int, int], line: Entry, room: int) -> None:
        (x, y), font = at, load_font(14)
        label = cut(line.label, font, room - self.label)
        if line.drawn:
            need = max(self.width, self.label + round(font.getlength(label)))
            right = x + min(room, need) + 6
            pen.rectangle((x - 6, y - 3, right, y + 20), fill=BAND)
            pen.polygon([(x + 2, y + 2), (x + 2, y + 14), (x + 12, y + 8)], fill=INK)
        elif line.color is not None:
            pen.rectangle((x, y + 1, x + 15, y + 15), fill=line.color)
        pen.text((x + 70, y), str(line.number), fill=INK, font=font, anchor="ra")
        pen.text((x + _SHARE, y), line.share, fill=PALE, font=font)
        pen.text((x + self.label, y), label, fill=INK, font=font)
