"""A drawing as a page of HTML that needs nothing else: to zoom, to search, to read the prototxt."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path

from netsurgery.diagram.graph import DrawnLayer, NetGraph
from netsurgery.diagram.palette import TONES
from netsurgery.drawing.scene import Scene
from netsurgery.drawing.svg import dark_style, to_svg
from netsurgery.io.html_page import html_page
from netsurgery.io.terminal import printable

__all__ = ["page_text"]

_HELP = (
    "Point at a box to read its lines of the prototxt; click, or press Enter, to keep them. "
    "Keys: / search, n and N the next and the one before, + and - zoom, 0 all, 1 full size, "
    "Esc back. Ctrl with the wheel zooms, dragging moves."
)


def page_text(graph: NetGraph, scene: Scene) -> str:
    """The page of the drawing `scene` of `graph`."""
    fields = {
        "title": _text(scene.title),
        "net": to_svg(scene),
        "help": _text(_HELP),
        "lines": "\n".join(_lines(graph)),
    }
    return html_page(
        _read("page.html"),
        fields,
        style=_read("page.css"),
        script=_read("page.js"),
        inner_styles=[dark_style(list(TONES.values()))],
    )


def _read(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _lines(graph: NetGraph) -> Iterator[str]:
    """The prototxt's lines of each layer, with the box that it is in or that stands for its own."""
    for key, layer in graph.layers_by_box:
        yield (
            f'<pre data-box="{key}" data-layer="{_text(layer.name)}" data-line="{_place(layer)}">'
            f"{_text(layer.text)}</pre>"
        )


def _place(layer: DrawnLayer) -> str:
    return str(layer.line) if layer.line else ""


def _text(text: str) -> str:
    return escape(printable(text.replace("\r\n", "\n")))
