"""A drawing as SVG: light by its attributes, dark by a rule where the reader prefers that.

There is no script in it, no link and no id, so that it can stand in any page, several times.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from netsurgery.diagram.arrow import DASH, STROKE, Arrow
from netsurgery.diagram.layout import Point
from netsurgery.diagram.palette import DARK, LIGHT
from netsurgery.diagram.scene import NetScene, Rectangle, SceneItem, ScenePart, Writing
from netsurgery.io.terminal import printable

__all__ = ["FONTS", "style", "svg_text"]

FONTS = "Helvetica Neue, Helvetica, Arial, Liberation Sans, sans-serif"
_DASHES = f' stroke-dasharray="{DASH[0]:g} {DASH[1]:g}"'


def svg_text(scene: NetScene) -> str:
    """The drawing as an SVG document, or to stand in HTML."""
    width, height = f"{scene.width:g}", f"{scene.height:g}"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="netsurgery-net" width="{width}" '
        f'height="{height}" viewBox="0 0 {width} {height}" role="img" font-family="{FONTS}">',
        f"<title>{_text(scene.title)}</title>",
        f"<style>{style()}</style>",
        f'<rect class="f-paper" width="{width}" height="{height}" fill="{LIGHT["paper"]}"/>',
    ]
    for item in scene.items:
        lines += _item(item)
    return "\n".join([*lines, "</svg>", ""])


def style() -> str:
    """The rules for a dark theme: a class for each tone, of what is filled and of what is drawn."""
    rules = "".join(
        f".netsurgery-net .f-{tone}{{fill:{color}}}.netsurgery-net .s-{tone}{{stroke:{color}}}"
        for tone, color in DARK.items()
    )
    return f"@media (prefers-color-scheme:dark){{{rules}}}"


def _item(item: SceneItem) -> Iterator[str]:
    data = "".join(f' data-{name}="{_text(value)}"' for name, value in item.data.items())
    yield f'<g class="{item.name}"{data}>'
    if item.title:
        yield f"<title>{_text(item.title)}</title>"
    for part in item.parts:
        yield from _part(part)
    yield "</g>"


def _part(part: ScenePart) -> Iterator[str]:
    if isinstance(part, SceneItem):
        yield from _item(part)
    elif isinstance(part, Rectangle):
        yield _rectangle(part)
    elif isinstance(part, Arrow):
        yield from _arrow(part)
    else:
        yield _writing(part)


def _rectangle(part: Rectangle) -> str:
    place = part.place
    classes = f"f-{part.fill}" + (f" s-{part.stroke}" if part.stroke else "")
    drawn = f' stroke="{LIGHT[part.stroke]}" stroke-width="{part.thick:g}"' if part.stroke else ""
    dashes = _DASHES if part.dashed else ""
    radius = f' rx="{part.radius:g}"' if part.radius else ""
    return (
        f'<rect class="{classes}" x="{place.x:g}" y="{place.y:g}" width="{place.width:g}" '
        f'height="{place.height:g}"{radius} fill="{LIGHT[part.fill]}"{drawn}{dashes}/>'
    )


def _writing(part: Writing) -> str:
    span = part.span
    weight = ' font-weight="bold"' if span.bold else ""
    return (
        f'<text class="f-{span.tone}" x="{part.x:g}" y="{part.y:.5g}" font-size="{span.size:g}"'
        f'{weight} fill="{LIGHT[span.tone]}" textLength="{part.width:.5g}" '
        f'lengthAdjust="spacingAndGlyphs" xml:space="preserve">{_text(span.text)}</text>'
    )


def _arrow(part: Arrow) -> Iterator[str]:
    color = LIGHT[part.tone]
    dashes = _DASHES if part.dashed else ""
    yield (
        f'<path class="s-{part.tone}" d="{_path(part)}" fill="none" stroke="{color}" '
        f'stroke-width="{STROKE:g}"{dashes}/>'
    )
    tip, left, right = (_point(point) for point in part.head)
    yield f'<path class="f-{part.tone}" d="M{tip}L{left}L{right}Z" fill="{color}"/>'


def _path(part: Arrow) -> str:
    """Straight from corner to corner, each of them rounded."""
    bends = (f"L{_point(a)}Q{_point(corner)} {_point(b)}" for a, corner, b in part.bends)
    return f"M{_point(part.points[0])}{''.join(bends)}L{_point(part.points[-1])}"


def _point(point: Point) -> str:
    return f"{point[0]:g} {point[1]:g}"


def _text(text: str) -> str:
    """Never markup, and nothing that XML cannot hold."""
    return escape(printable(text)).replace("\n", "&#10;")
