"""What the pictures have in common: colours of paper and ink, the font, lines of text."""

from __future__ import annotations

from bisect import bisect_left
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from netsurgery.maps.colors import heat_colors

__all__ = [
    "BAND",
    "INK",
    "PALE",
    "PAPER",
    "Font",
    "color_bar",
    "cut",
    "framed",
    "load_font",
    "wrapped",
]

Box = tuple[int, int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

PAPER, INK, PALE, FRAME = (250, 250, 248), (28, 32, 40), (108, 112, 122), (198, 200, 204)
_BAR = 16  # width of a colour bar, in pixels
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


def framed(pen: ImageDraw.ImageDraw, box: Box) -> None:
    """A thin line around a box."""
    pen.rectangle((box[0] - 1, box[1] - 1, box[2], box[3]), outline=FRAME, width=1)


def color_bar(
    sheet: Image.Image, at: tuple[int, int], high: int, scale: tuple[float, float], ticks: int = 5
) -> None:
    """The colours of heat, `high` pixels from the corner `at` down, and the values they mean.

    scale: the lowest and the highest value, between which `ticks` steps are marked.
    """
    (left, top), (lowest, highest) = at, scale
    pen = ImageDraw.Draw(sheet)
    shades = heat_colors(np.linspace(1.0, 0.0, high)[:, np.newaxis])
    sheet.paste(Image.fromarray(shades).resize((_BAR, high)), at)
    framed(pen, (left, top, left + _BAR, top + high))
    for tick in range(ticks + 1):
        share = tick / ticks
        y = round(top + (high - 1) * (1 - share))
        pen.line((left + _BAR, y, left + _BAR + 4, y), fill=PALE)
        text = f"{lowest + share * (highest - lowest):.3g}"
        pen.text((left + _BAR + 8, y), text, fill=PALE, font=load_font(12), anchor="lm")
