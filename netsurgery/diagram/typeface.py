"""How wide a text is, and the font that PNG draws it in.

Widths are those of Pillow's own font, so that a drawing is laid out alike on every machine; PNG
takes another font, or an ASCII form, for a text that this one cannot show.
"""

from __future__ import annotations

import unicodedata
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from netsurgery.io.terminal import cell, shortened

if TYPE_CHECKING:
    from netsurgery.drawing.fonts import Font, Glyphs

__all__ = ["drawable", "shown", "text_width"]

#: A bold text is wider by this, and by a pixel in PNG, which draws it twice.
_BOLD = 1.08
#: Widths are those of letters twice as large: hinting rounds them, and PNG draws them so.
_MEASURED = 2
#: How wide a letter is that Pillow's own font does not have, of the letters' height: in DejaVu,
#: the widest of the usual fonts, few of any alphabet are wider.
_LETTER = 0.7


@lru_cache(maxsize=4096)
def text_width(text: str, size: float, bold: bool = False) -> float:
    """The width of a line in pixels, as wide as any of the usual sans-serif fonts needs.

    A text that Pillow's own font does not have has room for its ASCII form, too.
    """
    if _is_common(text):
        width = _length(text, size)
    else:
        from netsurgery.drawing.fonts import ascii_form

        ems = sum(_ems(char) for char in text)
        width = max(ems * size, _length(ascii_form(text), size))
    return width * (_BOLD if bold else 1.0)


def drawable(text: str, size: int, room: float) -> tuple[str, Font]:
    """What PNG writes for a text, and in which font, `size` pixels high.

    The text as it is where some font has it; else in ASCII. room: pixels that it may take, where
    the font is not the one that the drawing was laid out by.
    """
    if _is_common(text):
        return text, _own_glyphs().sized(size)
    from netsurgery.drawing.fonts import FONTS

    return FONTS.cut(text, size, room), FONTS.font(text, size)


def _length(text: str, size: float) -> float:
    return _own_glyphs().sized(round(size * _MEASURED)).getlength(text) / _MEASURED


def _ems(char: str) -> float:
    if unicodedata.combining(char):
        return 0.0
    return 1.0 if unicodedata.east_asian_width(char) in "WF" else _LETTER


@lru_cache(maxsize=4096)
def _is_common(text: str) -> bool:
    """Whether Pillow's own font has all of the text."""
    return text.isascii() or _own_glyphs().has(text)


@cache
def _own_glyphs() -> Glyphs:
    from netsurgery.drawing.fonts import Glyphs

    return Glyphs(None)


def shown(text: str, most: int) -> str:
    """A name of the net as a line that can be drawn: escaped, and shortened in the middle."""
    return shortened(cell(text), most)
