"""A picture before it is drawn: what stands where on a sheet of paper.

`pixels` makes an image of a scene and `svg` an SVG, from the same items in the same order, so that
a layout is worked out once. Lengths are pixels at a scale of 1; boxes are x0, y0, x1, y1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from netsurgery.drawing.arrow import Arrow, Point
from netsurgery.drawing.colors import FRAME, INK, PALE, PAPER, Color, Tone
from netsurgery.drawing.fonts import FONTS, Fonts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

__all__ = [
    "Bitmap",
    "Box",
    "CellGrid",
    "Item",
    "ItemGroup",
    "Line",
    "Rect",
    "Scene",
    "Text",
    "pixel_box",
]

Box: TypeAlias = tuple[float, float, float, float]


@dataclass(frozen=True)
class Rect:
    """A box, filled, with a line along its inner edge, or both."""

    box: Box
    fill: Color | None = None
    line: Color | None = None
    radius: float = 0
    thick: float = 1
    dashed: bool = False


@dataclass(frozen=True)
class Line:
    """A straight line."""

    start: Point
    end: Point
    color: Color = PALE


@dataclass(frozen=True)
class Text:
    """A line of text; anchor: which point of it is `at`, in Pillow's two letters.

    width: what it was laid out to take, in whatever font; None: what the scene's fonts need.
    """

    at: Point
    words: str
    size: float
    color: Color = INK
    anchor: str = "la"
    bold: bool = False
    width: float | None = None


@dataclass(frozen=True, eq=False)
class Bitmap:
    """An image filling a box.

    pixels: makes it, RGB or L, in a height and width of pixels. own: its own height and width, so
    that it is not embedded larger; None where it has any.
    """

    box: Box
    pixels: Callable[[tuple[int, int]], Image.Image]
    own: tuple[int, int] | None = None


#: Pixels of a cell that has lines around its region, and units of one that has wide ones; in
#: smaller cells the lines would be all that is seen.
_LINED, _WIDE = 4, 12


@dataclass(frozen=True, eq=False)
class CellGrid:
    """The cells of a map over the picture in `box`, which cuts off what passes its edges.

    columns, rows: where the cells begin and end along each side, N x 2, from the box's corner.
    colors: uint8, rows x columns x 4, the last how opaque they are. regions: rows x columns, the
    cells that are one thing have one number, -1 for none; lines are drawn within the edges of each.
    None for no lines. smooth: the colours go over into each other between the cells' centers.
    """

    box: Box
    columns: NDArray[np.float64]
    rows: NDArray[np.float64]
    colors: NDArray[np.uint8]
    regions: NDArray[Any] | None = None
    smooth: bool = False

    @property
    def least_size(self) -> tuple[float, float]:
        """The height of the lowest cells, and the width of the narrowest."""
        sides = self.rows, self.columns
        height, width = (float((side[:, 1] - side[:, 0]).min()) for side in sides)
        return height, width

    def line_width(self, scale: float) -> int:
        """How wide the lines are, before they are scaled; 0 for none."""
        side = round(min(self.least_size), 6)  # those of equal cells differ in their last bits
        return 0 if side * scale < _LINED else 2 if side >= _WIDE else 1


@dataclass(frozen=True)
class ItemGroup:
    """Items that belong together, for who reads the SVG.

    name: what it is, its class there. title: the text that is shown where a pointer rests on it.
    data: what it is about.
    """

    name: str
    items: Sequence[Item]
    title: str = ""
    data: Mapping[str, str] = field(default_factory=dict)


Item: TypeAlias = "Rect | Line | Arrow | Text | Bitmap | CellGrid | ItemGroup"


def pixel_box(box: Box, scale: float) -> tuple[int, int, int, int]:
    """The box in whole pixels, at least one each way."""
    x0, y0, x1, y1 = (round(value * scale) for value in box)
    return x0, y0, max(x0 + 1, x1), max(y0 + 1, y1)


@dataclass(eq=False)
class Scene:
    """A sheet of `width` x `height`, and what is on it, from back to front.

    scale: pixels of an image, for each of its units. title: what it shows, for those who do not see
    an SVG. tones: those of its colours that have another one in the dark.
    """

    width: float
    height: float = 0
    fonts: Fonts = field(default_factory=lambda: FONTS)
    scale: float = 1.0
    items: list[Item] = field(default_factory=list)
    title: str = ""
    tones: Sequence[Tone] = ()
    paper: Color = PAPER

    def add(self, item: Item) -> None:
        """Put an item over those that are there."""
        self.items.append(item)

    def text(
        self,
        at: Point,
        words: str,
        size: int,
        color: Color = INK,
        anchor: str = "la",
        room: float | None = None,
    ) -> None:
        """A line of text, in ASCII where no font has its script; cut where it passes `room`."""
        if words:
            self.add(Text(at, self.fonts.cut(words, size, room), size, color, anchor))

    def paragraph(
        self, at: Point, words: str, size: int, color: Color = INK, *, room: float
    ) -> float:
        """At most three lines of text from `at` down, no wider than `room`; the y under them."""
        x, y = at
        for line in self.fonts.wrapped(words, size, room, 3):
            self.add(Text((x, y), line, size, color))
            y += round(size * 1.35)
        return y

    def framed(self, box: Box) -> None:
        """A thin line around a box."""
        self.add(Rect((box[0] - 1, box[1] - 1, box[2] + 1, box[3] + 1), line=FRAME))
