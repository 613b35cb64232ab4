"""What the pictures have in common: colours of paper and ink, the font, lines of text."""

from __future__ import annotations

from bisect import bisect_left
from functools import cache

from PIL import ImageFont

__all__ = ["BAND", "FRAME", "INK", "PALE", "PAPER", "Font", "cut", "load_font", "wrapped"]

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

PAPER, INK, PALE, FRAME = (250, 250, 248), (28, 32, 40), (108, 112, 122), (198, 200, 204)
BAND = (232, 234, 238)  # behind a line that is marked


def cut(text: str, font: Font, room: float | None) -> str:
    """A line that can be drawn, ending in three dots where it is wider than `room`."""
    text = "".join(c if c.isprintable() else "?" for c in text[:1000])
    if room is None or font.getlength(text) <= room:
        return text
    fits = bisect_left(range(len(text)), room, key=lambda n: font.getlength(text[:n] + "..."))
    return text[: max(0, fits - 1)] + "..."


def wrapped(text: str, font: Font, room: float, most: int) -> list[str]:
    """Lines no wider than `room`, broken between words, at most `most` of them; at least one."""
    lines, words = [""], cut(text, font, None).split()
    for index, word in enumerate(words):
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= room or not lines[-1]:
            lines[-1] = longer
        elif len(lines) < most:
            lines.append(word)
        else:
            lines[-1] = " ".join([lines[-1], *words[index:]])
            break
    return [cut(line, font, room) for line in lines]


@cache
def load_font(size: int) -> Font:
    """Pillow's own font, so that a picture does not depend on what is installed."""
    return ImageFont.load_default(size)
