"""A picture of a class map: the image, the map as heat, and the map laid over the image.

Three panels, each with its title; a colour bar beside the second; and the map's classes, each
with the colour it has in the third. `maps.layout` says where they lie.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw

from netsurgery.errors import NetError
from netsurgery.io.shape_text import shape_text
from netsurgery.maps.classmap import ClassMap
from netsurgery.maps.drawing import (
    INK,
    PALE,
    PAPER,
    class_color,
    color_bar,
    cut,
    finite_range,
    framed,
    heat_colors,
    load_font,
)
from netsurgery.maps.layout import TITLE_LINE, Tag, arrange, panel_size, placed, stretched
from netsurgery.maps.legend import Legend, entries

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

__all__ = ["draw_map", "draw_png"]

Box = tuple[int, int, int, int]

_MARGIN = 32
_NAMED = 40  # classes, at most
_CELLS = 50  # of a class, that its name may stand by
_BORDERED = 3  # pixels of a cell: borders of smaller ones would be all that is seen


@dataclass(frozen=True)
class _Scale:
    """What the heat shows: values of a class (None: of the likeliest), from `low` to `high`."""

    number: int | None
    values: Array
    low: float
    high: float

    @classmethod
    def of(cls, class_map: ClassMap, number: int | None) -> _Scale:
        every = class_map.values
        values = every.max(axis=0) if number is None else every[number]
        if class_map.is_probability:
            return cls(number, values, 0.0, 1.0)
        low, high = finite_range(values)
        return cls(number, values, low, high if high > low else low + 1.0)

    @cached_property
    def heat(self) -> Array:
        """The values brought to 0..1."""
        heat: Array = np.clip((self.values - self.low) / (self.high - self.low), 0.0, 1.0)
        return heat


def draw_png(class_map: ClassMap, number: int | None = None) -> bytes:
    """`draw_map` as the bytes of a PNG file."""
    file = io.BytesIO()
    draw_map(class_map, number).save(file, "PNG", optimize=True)
    return file.getvalue()


def draw_map(class_map: ClassMap, number: int | None = None) -> Image.Image:
    """Draw the map on its picture: the values of class `number`, or of each cell's likeliest.

    Raises NetError where the places of the cells are not known.
    """
    tiles = class_map.geometry.tiles(*class_map.shape)
    if tiles is None:
        raise NetError(
            f"blob {class_map.blob!r}: the net does not say its total stride, so its cells cannot "
            "be placed on the picture"
        )
    sheet = _Sheet(class_map, _Scale.of(class_map, number))
    sheet.head()
    sheet.image_panel()
    sheet.heat_panel()
    sheet.overlay_panel(tiles)
    sheet.legend.draw(sheet.draw, sheet.layout.legend)
    return sheet.canvas


class _Sheet:
    """The canvas, and the places of the panels on it."""

    def __init__(self, class_map: ClassMap, scale: _Scale) -> None:
        picture = class_map.picture
        self.class_map, self.picture, self.scale = class_map, picture, scale
        self.classes, self.numbers = class_map.summary(), class_map.argmax()
        self.size = panel_size(picture.size)
        self.legend = Legend(entries(class_map, self.classes, scale.number))
        note = stretched(picture.size)
        titles = (
            f"image, {note}" if note else "image",
            self.title(),
            "on the image, each cell about its window's centre",
        )
        self.layout = arrange(picture.size, titles, self.legend)
        self.panels = self.layout.panels
        self.canvas = Image.new("RGB", self.layout.canvas, PAPER)
        self.draw = ImageDraw.Draw(self.canvas)

    def text(
        self,
        at: tuple[int, int],
        text: str,
        size: int,
        color: tuple[int, int, int],
        anchor: str = "la",
        room: int | None = None,
    ) -> None:
        """A line of text, cut with three dots where it is wider than `room`."""
        font = load_font(size)
        text = cut(text, font, room)
        self.draw.text(at, text, fill=color, font=font, anchor=anchor)

    def head(self) -> None:
        name = self.picture.shown
        width = self.canvas.width - 2 * _MARGIN
        self.text((_MARGIN, 18), name.replace("\\", "/").split("/")[-1], 22, INK, room=width)
        (rows, columns), put = self.class_map.shape, self.class_map.geometry.placement
        line = (
            f"{shape_text(put.image)} pixels, input {shape_text(put.input)}, "
            f"map {shape_text((rows, columns))} of {self.class_map.blob} (height x width)"
        )
        fed = self.class_map.notes.get("preprocess", "").split(";")[0]
        line = f"{line}; {fed}" if fed else line
        self.text((_MARGIN, 46), line, 13, PALE, room=width)

    def titled(self, number: int) -> Box:
        """A panel's title is written over it."""
        panel, lines = self.panels[number], self.layout.titles[number]
        for above, line in enumerate(reversed(lines)):
            self.text((panel[0], panel[1] - 8 - above * TITLE_LINE), line, 14, INK, "ls")
        return panel

    def image_panel(self) -> None:
        panel = self.titled(0)
        self.canvas.paste(self.picture.thumbnail(self.size), panel[:2])
        framed(self.draw, panel)

    def heat_panel(self) -> None:
        """The map filling its panel, cell by cell, and the colour bar."""
        panel = self.titled(1)
        colors = Image.fromarray(heat_colors(self.scale.heat))
        width, height = panel[2] - panel[0], panel[3] - panel[1]
        self.canvas.paste(colors.resize((width, height), Image.Resampling.NEAREST), panel[:2])
        if self.scale.number is None:  # else they would read as the classes of these values
            self._numbers(panel)
        framed(self.draw, panel)
        scale = (self.scale.low, self.scale.high)
        color_bar(self.canvas, (panel[2] + 12, panel[1]), height, scale)

    def title(self) -> str:
        """What the heat shows."""
        number = self.scale.number
        if number is None:
            return f"highest {self.class_map.scored} of any class"
        label = self.class_map.label(number)
        return f"{self.class_map.scored} of class {number}{f': {label}' if label else ''}"

    def _numbers(self, panel: Box) -> None:
        """Each cell's likeliest class, where there is room for it."""
        rows, columns = self.class_map.shape
        width, height = (panel[2] - panel[0]) / columns, (panel[3] - panel[1]) / rows
        numbers = self.numbers
        size = int(min(height * 0.5, width * 1.3 / len(str(numbers.max())), 16))
        if size < 8:
            return
        for row in range(rows):
            for column in range(columns):
                dark = self.scale.heat[row, column] > 0.6
                center = (
                    round(panel[0] + (column + 0.5) * width),
                    round(panel[1] + (row + 0.5) * height),
                )
                color = INK if dark else (236, 236, 240)
                self.text(center, str(numbers[row, column]), size, color, "mm")

    def overlay_panel(self, tiles: NDArray[np.float64]) -> None:
        """The map over the greyed image, each cell about the centre of its window."""
        panel = self.titled(2)
        height, width = self.size
        grey = self.picture.thumbnail(self.size).convert("L").convert("RGB")
        scale = (width / self.picture.size[1], height / self.picture.size[0])
        # To a millionth first: two cells may have an edge in common that differs in its last bits.
        edges = np.rint(np.round(tiles * [*scale, *scale], 6)).astype(int)
        rows = _cells_at(edges[:, 0, 1], edges[:, 0, 3], height)
        columns = _cells_at(edges[0, :, 0], edges[0, :, 2], width)
        cover = self._tints()[np.ix_(rows, columns)]
        cover[(rows < 0)[:, np.newaxis] | (columns < 0)] = 0
        tinted = Image.alpha_composite(grey.convert("RGBA"), Image.fromarray(cover))
        overlay = tinted.convert("RGB")
        if self.scale.number is None:
            self._borders(ImageDraw.Draw(overlay), edges)
        self.canvas.paste(overlay, panel[:2])
        if self.scale.number is None:
            self._names(panel, edges)
        framed(self.draw, panel)

    def _names(self, panel: Box, edges: NDArray[Any]) -> None:
        """The names of the classes by the cells that show them best, the frequent ones first.

        One that most cells show needs none; nor is one written over another's.
        """
        font, names, tags = load_font(12), {}, []
        for rank, row in enumerate(self.classes[:_NAMED]):
            if 2 * row.cells > self.numbers.size:
                continue
            labels = self.class_map.labels
            name = str(row.number) if labels is None else labels.short(row.number)
            names[rank] = cut(name, font, min(110, self.size[1] * 0.6))
            cells = self._best_cells(row.number, edges)
            tags.append(Tag(rank, round(font.getlength(names[rank])) + 8, cells))
        for rank, (x0, y0, x1, y1) in placed(tags, self.size).items():
            color = class_color(rank)
            left, top = panel[0] + x0, panel[1] + y0
            box = (left, top, panel[0] + x1 - 1, panel[1] + y1 - 1)
            self.draw.rounded_rectangle(box, 5, color)
            center = (left + (x1 - x0) // 2, top + (y1 - y0) // 2)
            self.text(center, names[rank], 12, INK if sum(color) > 330 else PAPER, "mm")

    def _best_cells(self, number: int, edges: NDArray[Any]) -> list[Box]:
        """The boxes of the cells that show a class best, whose centres are in the picture."""
        rows, columns = np.nonzero(self.numbers == number)
        order = np.argsort(-self.scale.heat[rows, columns], kind="stable")[:_CELLS]
        boxes = (edges[rows[i], columns[i]].tolist() for i in order)
        whole = (0, 0, self.size[1], self.size[0])
        return [
            (x0, y0, x1, y1)
            for x0, y0, x1, y1 in boxes
            if _inside(((x0 + x1) // 2, (y0 + y1) // 2), whole)
        ]

    def _tints(self) -> NDArray[np.uint8]:
        """The cells' colours over the image: of their classes, or the heat of the class shown."""
        heat = self.scale.heat.astype(np.float64)
        colors, least = heat_colors(self.scale.heat), 90
        if self.scale.number is None:
            ranks = np.zeros(self.class_map.classes, int)
            ranks[[row.number for row in self.classes]] = range(len(self.classes))
            shades = [class_color(rank) for rank in range(len(self.classes))]
            colors, least = np.array(shades, np.uint8)[ranks[self.numbers]], 70
        return np.dstack([colors, np.rint(least + 110 * heat).astype(np.uint8)])

    def _borders(self, pen: ImageDraw.ImageDraw, edges: NDArray[Any]) -> None:
        """White lines where neighbouring cells are of different classes."""
        numbers = self.numbers
        x0, y0, x1, y1 = (int(v) for v in edges[0, 0])
        if min(x1 - x0, y1 - y0) < _BORDERED:
            return
        width = 2 if min(x1 - x0, y1 - y0) >= 16 else 1
        for row, column in np.ndindex(*self.class_map.shape):
            x0, y0, x1, y1 = (int(v) for v in edges[row, column])
            if column and numbers[row, column] != numbers[row, column - 1]:
                pen.line((x0, y0, x0, y1), fill=(255, 255, 255), width=width)
            if row and numbers[row, column] != numbers[row - 1, column]:
                pen.line((x0, y0, x1, y0), fill=(255, 255, 255), width=width)


def _cells_at(starts: NDArray[Any], ends: NDArray[Any], length: int) -> NDArray[np.intp]:
    """Along one side of a panel, the cell that each pixel shows, -1 for none.

    A cell covers at least the pixel it starts at, and what earlier ones cover there.
    """
    shown = np.full(length, -1, np.intp)
    for cell, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        if start < length and end >= 0:
            shown[max(0, start) : max(start + 1, end)] = cell
    return shown


def _inside(at: tuple[int, int], box: Box) -> bool:
    return box[0] <= at[0] < box[2] and box[1] <= at[1] < box[3]
