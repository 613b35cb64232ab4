"""A scene as SVG: text as text, boxes as boxes, and images embedded.

There is no script in it, no link and no id, so that it can stand in any page, several times.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING

from netsurgery.drawing.arrow import DASH, STROKE, Arrow, Point
from netsurgery.drawing.colors import Color, Tone, hex_color
from netsurgery.drawing.fonts import UNSEEN
from netsurgery.drawing.scene import Bitmap, Box, CellGrid, Item, ItemGroup, Line, Rect, Scene, Text
from netsurgery.io.terminal import printable

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["dark_style", "to_svg"]

#: Cells of a map that are drawn as boxes; more are an image.
_BOXES = 20_000
#: Pixels of an embedded image for each unit, so that it is sharp where it is enlarged.
_FINE = 2.0

#: The class of a drawing with tones.
_TONED = "netsurgery-net"
_ANCHORS = {"l": "start", "m": "middle", "r": "end"}
#: From where text is hung to its baseline, in its sizes: Pillow's second letters.
_BASELINES = {"a": 0.94, "m": 0.35, "s": 0.0}


def to_svg(scene: Scene) -> str:
    """The scene as the text of an SVG file; every string in it is text, none is markup.

    It is light by its attributes, and dark by a rule where it has tones and the reader prefers
    that.
    """
    scale, width, height = scene.scale, scene.width, scene.height
    toned = f'class="{_TONED}" ' if scene.tones else ""
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {toned}width="{_n(width * scale)}" '
        f'height="{_n(height * scale)}" '
        f'viewBox="0 0 {_n(width)} {_n(height)}" role="img" '
        "font-family=\"Aileron, 'DejaVu Sans', 'Noto Sans', Arial, sans-serif\">",
    ]
    if scene.title:
        lines.append(f"<title>{_text(scene.title)}</title>")
    if scene.tones:
        lines.append(f"<style>{dark_style(scene.tones)}</style>")
    lines.append(_box((0, 0, width, height), _look(scene.paper)))
    for item in scene.items:
        lines += _item(scene, item)
    return "\n".join([*lines, "</svg>", ""])


def dark_style(tones: Sequence[Tone]) -> str:
    """The rules for those who prefer dark: two classes for each tone, to fill and to draw with."""
    rules = "".join(
        f".{_TONED} .{key}-{tone.name}{{{what}:{tone.dark}}}"
        for tone in tones
        for key, what in (("f", "fill"), ("s", "stroke"))
    )
    return f"@media (prefers-color-scheme:dark){{{rules}}}"


def _item(scene: Scene, item: Item) -> Iterator[str]:
    if isinstance(item, ItemGroup):
        yield from _group(scene, item)
    elif isinstance(item, Rect):
        yield _rect(item)
    elif isinstance(item, Line):
        (x0, y0), (x1, y1) = item.start, item.end
        ends = f'x1="{_n(x0)}" y1="{_n(y0)}" x2="{_n(x1)}" y2="{_n(y1)}"'
        yield f"<line {ends} {_look(None, item.color)}/>"
    elif isinstance(item, Arrow):
        yield from _arrow(item)
    elif isinstance(item, Text):
        yield _written(scene, item)
    elif isinstance(item, Bitmap):
        x0, y0, x1, y1 = item.box
        size = max(1, round((y1 - y0) * _FINE)), max(1, round((x1 - x0) * _FINE))
        if item.own is not None:
            size = min(size, item.own)
        yield _embedded(item.pixels(size), item.box)
    else:
        yield from _cells(item, scene.scale)


def _group(scene: Scene, item: ItemGroup) -> Iterator[str]:
    data = "".join(f' data-{name}="{_text(value)}"' for name, value in item.data.items())
    yield f'<g class="{item.name}"{data}>'
    if item.title:
        yield f"<title>{_text(item.title)}</title>"
    for inner in item.items:
        yield from _item(scene, inner)
    yield "</g>"


def _look(
    fill: Color | None,
    line: Color | None = None,
    thick: float = 1,
    dashed: bool = False,
) -> str:
    """The colours, of tones the classes, too; and the line."""
    tones = [
        f"{key}-{tone.name}" for key, tone in (("f", fill), ("s", line)) if isinstance(tone, Tone)
    ]
    parts = [f'class="{" ".join(tones)}"'] if tones else []
    parts.append(f'fill="{"none" if fill is None else hex_color(fill)}"')
    if line is not None:
        parts.append(f'stroke="{hex_color(line)}"')
        parts += [f'stroke-width="{_n(thick)}"'] if thick != 1 else []
        parts += [f'stroke-dasharray="{_n(DASH[0])} {_n(DASH[1])}"'] if dashed else []
    return " ".join(parts)


def _rect(item: Rect) -> str:
    inset = item.thick / 2 if item.line is not None else 0
    x0, y0, x1, y1 = item.box
    look = _look(item.fill, item.line, item.thick, item.dashed)
    if item.radius:
        look += f' rx="{_n(item.radius)}"'
    return _box((x0 + inset, y0 + inset, x1 - inset, y1 - inset), look)


def _written(scene: Scene, item: Text) -> str:
    """As wide as it was laid out, whatever font it is shown in.

    But a text that the first font does not have was given room for the widest one: letters of
    another font would be drawn apart to fill it.
    """
    x, y = item.at
    y += _BASELINES[item.anchor[1]] * item.size
    fonts, fill = scene.fonts, ""
    if item.width is None or fonts.is_common(item.words):
        width = fonts.length(item.words, item.size) if item.width is None else item.width
        fill = f'textLength="{_n(width)}" lengthAdjust="spacingAndGlyphs" '
    weight = 'font-weight="bold" ' if item.bold else ""
    return (
        f'<text {_look(item.color)} x="{_n(x)}" y="{_n(y)}" font-size="{_n(item.size)}" '
        f'{weight}text-anchor="{_ANCHORS[item.anchor[0]]}" {fill}xml:space="preserve">'
        f"{_text(item.words)}</text>"
    )


def _arrow(item: Arrow) -> Iterator[str]:
    """A line straight from corner to corner, each of them rounded, and its head."""
    bends = (f"L{_point(a)}Q{_point(corner)} {_point(b)}" for a, corner, b in item.bends)
    path = f"M{_point(item.points[0])}{''.join(bends)}L{_point(item.points[-1])}"
    yield f'<path d="{path}" {_look(None, item.color, STROKE, item.dashed)}/>'
    tip, left, right = map(_point, item.head)
    yield f'<path d="M{tip}L{left}L{right}Z" {_look(item.color)}/>'


def _cells(cells: CellGrid, scale: float) -> Iterator[str]:
    """A box for each run of cells of one colour in a row, and the lines around regions."""
    import numpy as np

    from netsurgery.drawing.cells import cells_image

    if cells.smooth or cells.colors.shape[0] * cells.colors.shape[1] > _BOXES:
        yield _embedded(cells_image(cells, _FINE), cells.box)
        return
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
                look = f'{_look(tuple(color[:3]))} fill-opacity="{color[3] / 255:.3g}"'
                yield _box((left, top, right, bottom), look)
    yield "</g>"
    width = cells.line_width(scale)
    if cells.regions is not None and width:
        yield from _region_lines(cells, columns.tolist(), rows.tolist(), width)


def _region_lines(
    cells: CellGrid, columns: list[list[float]], rows: list[list[float]], line: int
) -> Iterator[str]:
    """Within the edges of the regions, in their colours."""
    import numpy as np

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
            color = hex_color(tuple(cells.colors[row, column, :3].tolist()))
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
        f'preserveAspectRatio="none" href="data:image/png;base64,{data}"/>'
    )


def _box(box: Box, look: str) -> str:
    x0, y0, x1, y1 = box
    return f'<rect x="{_n(x0)}" y="{_n(y0)}" width="{_n(x1 - x0)}" height="{_n(y1 - y0)}" {look}/>'


def _point(point: Point) -> str:
    return f"{_n(point[0])} {_n(point[1])}"


def _n(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")


def _text(text: str) -> str:
    """Never markup, and nothing that XML cannot hold."""
    plain = re.sub(f"[^{UNSEEN}]+", lambda part: printable(part[0]), text)
    return escape(plain).replace("\n", "&#10;")
