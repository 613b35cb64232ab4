"""A scene as SVG: text as text, boxes as boxes, and images embedded."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from netsurgery.drawing.cells import cells_image
from netsurgery.drawing.colors import PAPER, Color
from netsurgery.drawing.scene import Bitmap, Box, CellGrid, Line, Rect, Scene, Text

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["to_svg"]

#: Cells of a map that are drawn as boxes; more are an image.
_BOXES = 20_000
#: Pixels of an embedded image for each unit, so that it is sharp where it is enlarged.
_FINE = 2.0

_ANCHORS = {"l": "start", "m": "middle", "r": "end"}
#: From where text is hung to its baseline, in its sizes: Pillow's second letters.
_BASELINES = {"a": 0.94, "m": 0.35, "s": 0.0}


def to_svg(scene: Scene) -> str:
    """The scene as the text of an SVG file; every string in it is text, none is markup."""
    scale = scene.scale
    width, height = scene.width, scene.height
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_n(width * scale)}" '
        f'height="{_n(height * scale)}" viewBox="0 0 {_n(width)} {_n(height)}" '
        "font-family=\"Aileron, 'DejaVu Sans', 'Noto Sans', Arial, sans-serif\">",
        _box((0, 0, width, height), f'fill="{_hex(PAPER)}"'),
    ]
    for item in scene.items:
        parts += _text(item, scene) if isinstance(item, Text) else _item(item, scale)
    return "\n".join([*parts, "</svg>", ""])


def _text(item: Text, scene: Scene) -> list[str]:
    """As wide as it was laid out, whatever font it is shown in."""
    x, y = item.at
    y += _BASELINES[item.anchor[1]] * item.size
    width = scene.fonts.length(item.words, item.size)
    fitted = f'textLength="{_n(width)}" lengthAdjust="spacingAndGlyphs" ' if width else ""
    return [
        f'<text x="{_n(x)}" y="{_n(y)}" font-size="{item.size}" fill="{_hex(item.color)}" '
        f'text-anchor="{_ANCHORS[item.anchor[0]]}" {fitted}xml:space="preserve">'
        f"{escape(_xml(item.words))}</text>"
    ]


def _item(item: Rect | Line | Bitmap | CellGrid, scale: float) -> Iterator[str]:
    if isinstance(item, Rect):
        yield _rect(item)
    elif isinstance(item, Line):
        (x0, y0), (x1, y1) = item.start, item.end
        yield (
            f'<line x1="{_n(x0)}" y1="{_n(y0)}" x2="{_n(x1)}" y2="{_n(y1)}" '
            f'stroke="{_hex(item.color)}"/>'
        )
    elif isinstance(item, Bitmap):
        x0, y0, x1, y1 = item.box
        size = max(1, round((y1 - y0) * _FINE)), max(1, round((x1 - x0) * _FINE))
        if item.own is not None:
            size = min(size, item.own)
        yield _embedded(item.pixels(size), item.box)
    elif item.smooth or item.colors.shape[0] * item.colors.shape[1] > _BOXES:
        yield _embedded(cells_image(item, _FINE), item.box)
    else:
        yield from _cells(item, item.line_width(scale))


def _rect(item: Rect) -> str:
    inset = 0.5 if item.line is not None else 0
    x0, y0, x1, y1 = item.box
    look = f'fill="{"none" if item.fill is None else _hex(item.fill)}"'
    if item.line is not None:
        look += f' stroke="{_hex(item.line)}"'
    if item.radius:
        look += f' rx="{_n(item.radius)}"'
    return _box((x0 + inset, y0 + inset, x1 - inset, y1 - inset), look)


def _cells(cells: CellGrid, width: int) -> Iterator[str]:
    """A box for each run of cells of one colour in a row, and lines around regions, so wide."""
    x0, y0, x1, y1 = cells.box
    columns = np.clip(cells.columns + x0, x0, x1)
    rows = np.clip(cells.rows + y0, y0, y1)
    yield '<g shape-rendering="crispEdges">'
    for (top, bottom), colors in zip(rows.tolist(), cells.colors.tolist(), strict=True):
        at = 0
        for color, run in groupby(colors):
            count = len(list(run))
            left, right = columns[at, 0], columns[at + count - 1, 1]
            at += count
            if color[3] and bottom > top and right > left:
                look = f'fill="{_hex(color[:3])}" fill-opacity="{color[3] / 255:.3g}"'
                yield _box((left, top, right, bottom), look)
    yield "</g>"
    if cells.regions is not None and width:
        yield from _lines(cells, columns.tolist(), rows.tolist(), width)


def _lines(
    cells: CellGrid, columns: list[list[float]], rows: list[list[float]], line: int
) -> Iterator[str]:
    """Within the edges of the regions, in their colours."""
    assert cells.regions is not None
    padded = np.pad(cells.regions, 1, constant_values=-2)
    inside = padded[1:-1, 1:-1]
    height, width = inside.shape
    paths: dict[str, list[str]] = {}
    for dy, dx in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        beside = padded[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]
        for row, column in np.argwhere((inside != beside) & (inside >= 0)).tolist():
            (x0, x1), (y0, y1) = columns[column], rows[row]
            # The line on that side, by half its width inside.
            if dx:
                x0 = x1 = x1 - line / 2 if dx > 0 else x0 + line / 2
            else:
                y0 = y1 = y1 - line / 2 if dy > 0 else y0 + line / 2
            color = _hex(cells.colors[row, column, :3].tolist())
            paths.setdefault(color, []).append(f"M{_n(x0)} {_n(y0)}L{_n(x1)} {_n(y1)}")
    for color, moves in paths.items():
        yield f'<path d="{"".join(moves)}" stroke="{color}" stroke-width="{line}" fill="none"/>'


def _embedded(image: Image.Image, box: Box) -> str:
    x0, y0, x1, y1 = box
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=6)
    data = base64.b64encode(file.getvalue()).decode("ascii")
    return (
        f'<image x="{_n(x0)}" y="{_n(y0)}" width="{_n(x1 - x0)}" height="{_n(y1 - y0)}" '
        f'preserveAspectRatio="none" href={quoteattr(f"data:image/png;base64,{data}")}/>'
    )


def _box(box: Box, look: str) -> str:
    x0, y0, x1, y1 = box
    return f'<rect x="{_n(x0)}" y="{_n(y0)}" width="{_n(x1 - x0)}" height="{_n(y1 - y0)}" {look}/>'


def _hex(color: Color | list[int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)


def _n(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")


def _xml(text: str) -> str:
    """Without what XML cannot hold."""
    return "".join(c if c.isprintable() or c in "\u200c\u200d" else "?" for c in text)
