"""How wide a text is: Pillow's own font, in which PNG is drawn and by which SVG is spaced."""

from __future__ import annotations

import unicodedata
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from netsurgery.io.terminal import cell, shortened

if TYPE_CHECKING:
    from PIL import ImageFont

__all__ = ["BOLD", "load_font", "shown", "text_width"]

#: A bold text is wider by this, and by a pixel in PNG, which draws it twice.
BOLD = 1.08
#: Widths are those of letters twice as large: hinting rounds them, and PNG draws them so.
_MEASURED = 2


@cache
def load_font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font at `size` pixels, the same on every machine."""
    from PIL import ImageFont

    return ImageFont.load_default(size)


@lru_cache(maxsize=4096)
def text_width(text: str, size: float, bold: bool = False) -> float:
    """The width of a line in pixels, as wide as any of the usual sans-serif fonts needs."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    narrow = (
        text
        if not wide
        else "".join(char for char in text if unicodedata.east_asian_width(char) not in "WF")
    )
    width = load_font(round(size * _MEASURED)).getlength(narrow) / _MEASURED + wide * size
    return width * (BOLD if bold else 1.0)


def shown(text: str, most: int) -> str:
    """A name of the net as a line that can be drawn: escaped, and shortened in the middle."""
    return shortened(cell(text), most)
