"""How wide a text is: as wide as in Pillow's own font.

So a drawing is laid out alike on every machine. A text that this font cannot show has room for
another one, or for its ASCII form.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from netsurgery.io.terminal import cell, shortened

__all__ = ["shown", "text_width"]

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
    from netsurgery.drawing.fonts import FONTS, ascii_form

    common = FONTS.is_common(text)
    plain = text if common else ascii_form(text)
    width = FONTS.length(plain, round(size * _MEASURED)) / _MEASURED
    if not common:
        width = max(width, size * sum(map(_ems, text)))
    return width * (_BOLD if bold else 1.0)


def _ems(char: str) -> float:
    if unicodedata.combining(char):
        return 0.0
    return 1.0 if unicodedata.east_asian_width(char) in "WF" else _LETTER


def shown(text: str, most: int) -> str:
    """A name of the net as a line that can be drawn: escaped, and shortened in the middle."""
    return shortened(cell(text), most)
