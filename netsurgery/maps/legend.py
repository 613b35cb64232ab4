"""The legend of a map's picture: its classes, in one column or in several."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from netsurgery.drawing.colors import FRAME, INK, PALE, Color
from netsurgery.drawing.scene import Box, Line, Rect, Scene
from netsurgery.io.wording import counted
from netsurgery.maps.classmap import ClassCount, ClassMap

__all__ = ["COLUMN", "Entry", "Legend", "class_name", "entries"]

#: Pixels: the heading, an entry of one line and of two, the least width of a column, between two.
_HEAD, _LINE, _LINES, COLUMN, _GAP = 26, 22, 38, 240, 24
_SWATCH, _NUMBER, _LABEL = 16, 54, 64
#: Of an entry of one line: between its name and what is said of its cells, and from there to the
#: column's end; a name that has less room than this stands alone.
_APART, _END, _NAMED = 8, 5, 48
BAND: Color = (232, 234, 238)


@dataclass(frozen=True)
class Entry:
    """A class: its colour on the picture, None for none; whether it is the one drawn as heat, or
    the background, which is not painted. cells: how many of `total` show it; score: its best, in
    words. explained: of a class explained, its score for the whole picture, in words."""

    number: int
    label: str
    cells: int
    total: int
    score: str
    color: Color | None = None
    drawn: bool = False
    background: bool = False
    explained: str = ""

    def words(self, *, short: bool) -> str:
        """What is said of its cells; of a map of one cell the score alone."""
        if self.explained:
            return self.score if short else f"{self.explained}, {self.score}"
        total = counted(self.total, "cell")
        cells = counted(self.cells, "cell") if short else f"{self.cells} of {total}"
        said = f"{cells}, {self.score}" if self.total > 1 else self.score
        return f"not painted: {said}" if self.background and not short else said


def entries(
    class_map: ClassMap,
    by_class: Mapping[int, Color],
    drawn: int | None = None,
    background: int | None = None,
) -> list[Entry]:
    """The background, the class drawn as heat, those with a colour, and the others of the map.

    background: the class that is not painted. Of a map of one cell, its likeliest classes.
    """
    total = math.prod(class_map.shape)
    rows = {row.number: row for row in class_map.summary()}
    first = [number for number in (background, drawn) if number is not None]
    numbers = dict.fromkeys([*first, *by_class, *rows])
    if total == 1:
        numbers |= dict.fromkeys(class_map.top(_OF_ONE)[:, 0, 0].tolist())
    lines = []
    for number in numbers:
        row = rows.get(number)
        explained, score = class_map.facts(number) or ("", _best(class_map, number, row))
        lines.append(
            Entry(
                class_map.class_of(number),
                _name(class_map, number),
                row.cells if row else 0,
                total,
                score,
                by_class.get(number),
                number == drawn,
                number == background,
                explained,
            )
        )
    return lines


def _best(class_map: ClassMap, number: int, row: ClassCount | None) -> str:
    """The highest value of a class, where it is the likeliest if it is anywhere, in words."""
    best = row.best if row else float(class_map.values[number].max())
    if class_map.shape == (1, 1):
        return f"{class_map.scored} {best:.3g}"
    return f"{'best' if row else 'highest'} {best:.3g}"


def class_name(class_map: ClassMap, number: int) -> str:
    """A class in words: its number and its names, without an id."""
    names, own = _name(class_map, number), class_map.class_of(number)
    return f"class {own}: {names}" if names else f"class {own}"


def _name(class_map: ClassMap, number: int) -> str:
    """The names of a class without its id; "" where they are its number."""
    names = "" if class_map.labels is None else class_map.labels.split(number)[1]
    return "" if names == str(class_map.class_of(number)) else names


@dataclass(frozen=True)
class Legend:
    """Entries to be drawn."""

    lines: Sequence[Entry]

    @property
    def _head(self) -> str:
        if any(line.explained for line in self.lines):
            return "class explained" if len(self.lines) == 1 else "classes explained"
        some = any(line.drawn for line in self.lines)
        return "class drawn, and the map's classes" if some else "classes"

    @property
    def _painted(self) -> int:
        """How many entries there are up to the last that has a colour of its own."""
        firsts: dict[Color, int] = {}
        for count, line in enumerate(self.lines, 1):
            if line.color is not None:
                firsts.setdefault(line.color, count)
        return max(firsts.values(), default=0)

    def draw(self, scene: Scene, at: tuple[float, float], width: float, most: float) -> float:
        """Draw it from the corner `at`, as wide as `width` and about `most` high at most.

        It is higher where it would leave out a colour that the picture has. Columns are read
        downwards; entries are of one line where those of two have no room. Returns the y under it.
        """
        left, top = at
        scene.text(at, self._head, 13, INK, room=width)
        top += _HEAD
        count = len(self.lines)
        columns = max(1, min(int((width + _GAP) / (COLUMN + _GAP)), count))
        need = math.ceil(count / columns)
        named = any(line.label for line in self.lines)
        height = _LINES if named and need * _LINES <= most - _HEAD else _LINE
        rows = max(3, int((most - _HEAD) / height))
        if need > rows:
            rows = max(2, rows - 1)  # the last line says how many are left out
        rows = min(need, max(rows, math.ceil(self._painted / columns)))
        pitch = (width + _GAP) / columns
        shown = self.lines[: columns * rows]
        for index, line in enumerate(shown):
            column, row = divmod(index, rows)
            place = (left + column * pitch, top + row * height)
            _entry(scene, place, line, pitch - _GAP, height == _LINES)
        bottom = top + min(rows, len(shown)) * height
        if len(shown) < count:
            self._left_out(scene, (left, bottom), self.lines[len(shown) :])
            bottom += _LINE
        return bottom

    def _left_out(self, scene: Scene, at: tuple[float, float], lines: Sequence[Entry]) -> None:
        """How many classes are not listed, and their colour where it is one that they share."""
        x, y = at
        colors = {line.color for line in lines}
        if len(colors) == 1:
            _swatch(scene, at, colors.pop())
        scene.text((x + _LABEL, y), f"and {len(lines)} more", 12, PALE)


def _entry(
    scene: Scene, at: tuple[float, float], line: Entry, room: float, two_lines: bool
) -> None:
    x, y = at
    if line.drawn:
        height = _LINES if two_lines else _LINE
        scene.add(Rect((x - 6, y - 3, x + room, y + height - 4), fill=BAND, radius=3))
    _swatch(scene, at, line.color)
    if line.background:
        scene.add(Rect(_swatch_box(at), line=FRAME, radius=3))
        scene.add(Line((x + 4, y + _SWATCH - 3), (x + _SWATCH - 4, y + 5), FRAME))
    scene.text((x + _NUMBER, y), str(line.number), 13, INK, "ra")
    said = line.words(short=not two_lines)
    if not two_lines:
        beside = room - _LABEL - _END - _APART - scene.fonts.length(said, 11)
        if beside < min(_NAMED, scene.fonts.length(line.label, 13)):
            said, beside = "", room - _LABEL
        scene.text((x + _LABEL, y), line.label, 13, INK, room=beside)
        scene.text((x + room - _END, y + 1), said, 11, PALE, "ra", room - _LABEL - _END)
        return
    if scene.fonts.length(said, 11) > room - _LABEL and not line.explained:
        said = f"{'not painted: ' if line.background else ''}{line.words(short=True)}"
    scene.text((x + _LABEL, y), line.label, 13, INK, room=room - _LABEL)
    under = y + 17 if line.label else y + 2
    scene.text((x + _LABEL, under), said, 11, PALE, room=room - _LABEL)


def _swatch_box(at: tuple[float, float]) -> Box:
    x, y = at
    return (x, y + 1, x + _SWATCH, y + 1 + _SWATCH)


def _swatch(scene: Scene, at: tuple[float, float], color: Color | None) -> None:
    """The colour of a class before its entry, where it has one."""
    if color is not None:
        scene.add(Rect(_swatch_box(at), fill=color, radius=3))


#: Classes that are listed of a map of one cell.
_OF_ONE = 5
