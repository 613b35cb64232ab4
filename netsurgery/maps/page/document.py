"""The page as one file: markup, style, script and the parts of its maps.

Of images its policy allows those that are in the file or made by the script.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from netsurgery.io.html_page import html_page
from netsurgery.maps.color_scale import heat_colors, signed_colors
from netsurgery.maps.page.record import as_script_text
from netsurgery.maps.page.selection import FIRST, MOST
from netsurgery.maps.palette import CLASS_COLORS

__all__ = ["SCRIPTS", "page", "script", "style"]

_HERE = Path(__file__).parent
#: The files that make the script, in the order in which they stand in it.
SCRIPTS = ("data", "colors", "view", "cell", "classes", "controls", "export", "main")
#: Colours of the scales of heat and about 0, between which the page interpolates.
_HEATS, _SIGNED = 11, 13


def page(parts: Sequence[bytes]) -> bytes:
    """The file, ASCII. parts: of each picture, as `map_part` makes it."""
    fields = {
        "maps": "\n".join(map(_element, parts)),
        "settings": as_script_text(_settings()).decode("ascii"),
    }
    whole = html_page(
        _read("page.html"), fields, style=style(), script=script(), images="data: blob:"
    )
    return whole.encode("ascii", "xmlcharrefreplace")


def _element(part: bytes) -> str:
    return f'<script type="application/json" class="map">{part.decode("ascii")}</script>'


def _settings() -> dict[str, object]:
    """What the script shares with the pictures that Python draws."""
    return {
        "first": FIRST,
        "most": MOST,
        "classColors": [list(color) for color in CLASS_COLORS],
        "heat": heat_colors(np.linspace(0.0, 1.0, _HEATS)).tolist(),
        "signed": signed_colors(np.linspace(0.0, 1.0, _SIGNED)).tolist(),
    }


@cache
def style() -> str:
    """The page's CSS."""
    return _read("page.css")


@cache
def script() -> str:
    """The page's JavaScript."""
    body = "\n".join(_read(f"script/{name}.js") for name in SCRIPTS)
    return f'(() => {{\n"use strict";\n{body}}})();\n'


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
