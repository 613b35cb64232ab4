"""Colours of a terminal: how many it has, and text painted in the nearest of them.

NO_COLOR (set to anything) and TERM=dumb mean none. 24-bit colours are sent only where COLORTERM
says so, since a terminal that does not know them shows others, or blinks.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import cache
from typing import TextIO

__all__ = [
    "BAD",
    "DOUBTFUL",
    "GOOD",
    "PLACE",
    "Color",
    "bold",
    "color_count",
    "kept_apart",
    "mark",
    "paint",
]

#: Red, green, blue, each 0..255.
Color = tuple[int, int, int]

_TRUE, _MANY, _FEW = 1 << 24, 256, 16

#: The sixteen that every terminal has, as xterm shows them.
_BASIC: tuple[Color, ...] = (
    (0, 0, 0), (205, 0, 0), (0, 205, 0), (205, 205, 0),
    (0, 0, 238), (205, 0, 205), (0, 205, 205), (229, 229, 229),
    (127, 127, 127), (255, 0, 0), (0, 255, 0), (255, 255, 0),
    (92, 92, 255), (255, 0, 255), (0, 255, 255), (255, 255, 255),
)  # fmt: skip
#: What messages are marked with; shown as the terminal's own red, green, yellow and cyan.
BAD, GOOD, DOUBTFUL, PLACE = _BASIC[1], _BASIC[2], _BASIC[3], _BASIC[6]

#: Those of them that may be the colour of the terminal itself.
_GROUNDS = (0, 7, 15)

#: Where the codes of colours begin, of text and behind it.
_FRONT, _BACK = 30, 40
#: The sides of xterm's cube of colours.
_STEPS = (0, 95, 135, 175, 215, 255)


def color_count(stream: TextIO | None = None) -> int:
    """How many colours the stream (standard output) has: 0, 16, 256 or 2^24."""
    stream = sys.stdout if stream is None else stream
    term = os.environ.get("TERM", "")
    if stream is None or not stream.isatty() or os.environ.get("NO_COLOR") or term == "dumb":
        return 0
    if os.environ.get("COLORTERM", "").lower() in ("truecolor", "24bit") or "direct" in term:
        return _TRUE
    return _MANY if "256color" in term else _FEW


def paint(text: str, color: Color | None, count: int, behind: Color | None = None) -> str:
    """`text` in a colour, before another one, on a terminal of `count` colours."""
    layers = ((color, _FRONT), (behind, _BACK)) if count else ()
    codes = [_code(layer, count, base) for layer, base in layers if layer is not None]
    return f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if codes else text


def kept_apart(colors: Sequence[Color], count: int) -> list[Color]:
    """The colours as a terminal of `count` has them, no two alike, and none that is its ground.

    Of sixteen each gets one of its own, those that are nearest first; where none is left, the
    nearest.

    >>> kept_apart([(0, 114, 178), (0, 158, 115)], 16)
    [(0, 205, 205), (0, 205, 0)]
    """
    if count != _FEW:
        return list(colors)
    fit = [color for number, color in enumerate(_BASIC) if number not in _GROUNDS]
    chosen = [min(fit, key=lambda each: _distance(color, each)) for color in colors]
    pairs = [
        (_distance(color, each), place, each) for place, color in enumerate(colors) for each in fit
    ]
    own: dict[int, Color] = {}
    for _, place, each in sorted(pairs):
        if place not in own and each not in own.values():
            own[place] = each
    return [own.get(place, each) for place, each in enumerate(chosen)]


def mark(text: str, color: Color | None, stream: TextIO | None = None) -> str:
    """`text` in one of the terminal's own sixteen colours, as its user has chosen them."""
    return paint(text, color, min(color_count(stream), _FEW))


def bold(text: str, stream: TextIO | None = None) -> str:
    """`text` in bold where there are colours."""
    return f"\x1b[1m{text}\x1b[0m" if color_count(stream) else text


@cache
def _code(color: Color, count: int, base: int) -> str:
    if count >= _TRUE:
        return f"{base + 8};2;{color[0]};{color[1]};{color[2]}"
    if count >= _MANY:
        return f"{base + 8};5;{_nearest_of_many(color)}"
    number = min(range(_FEW), key=lambda index: _distance(color, _BASIC[index]))
    # The bright eight have codes of their own, 60 further on.
    return str(base + number if number < 8 else base + 60 + number - 8)


def _nearest_of_many(color: Color) -> int:
    """Of xterm's 256: a cube of 6 x 6 x 6, and 24 greys."""
    red, green, blue = (min(range(6), key=lambda step: abs(_STEPS[step] - part)) for part in color)
    cube = (_STEPS[red], _STEPS[green], _STEPS[blue])
    # xterm's greys are 8, 18, ... 238: numbers 232 to 255.
    grey = max(0, min(23, round((sum(color) / 3 - 8) / 10)))
    if _distance(color, (8 + 10 * grey,) * 3) < _distance(color, cube):
        return 232 + grey
    return 16 + 36 * red + 6 * green + blue


def _distance(first: Color, second: Color) -> int:
    return sum((a - b) ** 2 for a, b in zip(first, second, strict=True))
