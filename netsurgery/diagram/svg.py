"""A drawing as SVG: light by its attributes, dark by a rule where the reader prefers that.

There is no script in it, no link and no id, so that it can stand in any page, several times.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from itertools import pairwise

from netsurgery.diagram.palette import DARK, LIGHT
from netsurgery.diagram.scene import Arrow, NetScene, Rectangle, SceneItem, ScenePart, Writing
from netsurgery.io.terminal import printable

__all__ = ["FONTS", "style", "svg_text"]

FONTS = "Helvetica Neue, Helvetica, Arial, Liberation Sans, sans-serif"
#: Pixels: of the corners of edges, and of their arrows' heads.
_CORNER, HEAD_LONG, HEAD_WIDE = 5.0, 7.0, 3.2


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
    dashes = ' stroke-dasharray="5 4"' if part.dashed else ""
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
    dashes = ' stroke-dasharray="5 4"' if part.dashed else ""
    yield (
        f'<path class="s-{part.tone}" d="{_path(part)}" fill="none" stroke="{color}" '
        f'stroke-width="1.3"{dashes}/>'
    )
    (before_x, before_y), (x, y) = part.points[-2:]
    across, down = (x > before_x) - (x < before_x), (y > before_y) - (y < before_y)
    back_x, back_y = x - HEAD_LONG * across, y - HEAD_LONG * down
    wide_x, wide_y = HEAD_WIDE * abs(down), HEAD_WIDE * abs(across)
    yield (
        f'<path class="f-{part.tone}" d="M{x:g} {y:g}L{back_x - wide_x:g} {back_y - wide_y:g}'
        f'L{back_x + wide_x:g} {back_y + wide_y:g}Z" fill="{color}"/>'
    )


def _path(part: Arrow) -> str:
    """Straight from corner to corner, each of them rounded."""
    points = part.points
    pieces = [f"M{points[0][0]:g} {points[0][1]:g}"]
    for (before, corner), (_, after) in pairwise(pairwise(points)):
        near, far = (_towards(corner, end) for end in (before, after))
        pieces.append(f"L{near[0]:g} {near[1]:g}Q{corner[0]:g} {corner[1]:g} {far[0]:g} {far[1]:g}")
    pieces.append(f"L{points[-1][0]:g} {points[-1][1]:g}")
    return "".join(pieces)


def _towards(corner: tuple[float, float], end: tuple[float, float]) -> tuple[float, float]:
    """From the corner on the way to the next one, but no further than half of it."""
    x, y = end[0] - corner[0], end[1] - corner[1]
    length = abs(x) + abs(y)
    share = min(_CORNER, length / 2) / length if length else 0.0
    return round(corner[0] + x * share, 2), round(corner[1] + y * share, 2)


def _text(text: str) -> str:
    """Never markup, and nothing that XML cannot hold."""
    return escape(printable(text)).replace("\n", "&#10;")
