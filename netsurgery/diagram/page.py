"""A drawing as a page of HTML that needs nothing else: to zoom, to search, to read the prototxt.

A content security policy allows this one script and these two style sheets, by their hashes, and
nothing from anywhere: what a name might hold cannot run, even if it were taken for markup.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from html import escape
from importlib.resources import files

from netsurgery.diagram.graph import DrawnLayer, NetGraph
from netsurgery.diagram.scene import NetScene
from netsurgery.diagram.svg import style, svg_text
from netsurgery.io.terminal import printable

__all__ = ["page_text"]

_HELP = (
    "Point at a box to read its lines of the prototxt; click, or press Enter, to keep them. "
    "Keys: / search, n and N the next and the one before, + and - zoom, 0 all, 1 full size, "
    "Esc back. Ctrl with the wheel zooms, dragging moves."
)


def page_text(graph: NetGraph, scene: NetScene) -> str:
    """The page of the drawing `scene` of `graph`."""
    sheet, script = (
        files("netsurgery.diagram").joinpath(name).read_text(encoding="utf-8")
        for name in ("page.css", "page.js")
    )
    styles = " ".join(map(_hashed, (sheet, style())))
    policy = (
        f"default-src 'none'; script-src {_hashed(script)}; style-src {styles}; "
        "base-uri 'none'; form-action 'none'"
    )
    title = _text(scene.title or "net")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{sheet}</style>
</head>
<body>
<header>
<h1>{title}</h1>
<form role="search"><label for="search">Search</label>
<input id="search" type="search" placeholder="a layer" autocomplete="off" spellcheck="false">
<output id="count" for="search" aria-live="polite"></output></form>
<div role="group" aria-label="Zoom">
<button type="button" data-zoom="out" aria-label="Zoom out">-</button>
<button type="button" data-zoom="in" aria-label="Zoom in">+</button>
<button type="button" data-zoom="fit">All</button>
<button type="button" data-zoom="whole">100 %</button>
</div>
</header>
<div class="columns">
<main tabindex="0" aria-label="The net">
{svg_text(scene)}</main>
<aside id="about" aria-live="polite" data-empty="{_text(_HELP)}"><p>{_text(_HELP)}</p></aside>
</div>
<div id="lines" hidden>
{chr(10).join(_lines(graph))}
</div>
<script>{script}</script>
</body>
</html>
"""


def _hashed(text: str) -> str:
    """What a policy calls a script or a style sheet by."""
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


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
