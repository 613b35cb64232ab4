"""What the pictures have in common: colours of paper, ink and values, the font, lines of text."""

from __future__ import annotations

from bisect import bisect_left
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "BAND",
    "CLASS_COLORS",
    "INK",
    "PALE",
    "PAPER",
    "Font",
    "class_color",
    "color_bar",
    "cut",
    "finite_range",
    "framed",
    "heat_colors",
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
    sheet: Image.Image, at: tuple[int, int], height: int, scale: tuple[float, float], ticks: int = 5
) -> None:
    """The colours of heat, `height` pixels from the corner `at` down, and the values they mean.

    scale: the lowest and the highest value, between which `ticks` steps are marked.
    """
    (left, top), (lowest, highest) = at, scale
    pen = ImageDraw.Draw(sheet)
    shades = heat_colors(np.linspace(1.0, 0.0, height)[:, np.newaxis])
    sheet.paste(Image.fromarray(shades).resize((_BAR, height)), at)
    framed(pen, (left, top, left + _BAR, top + height))
    for tick in range(ticks + 1):
        share = tick / ticks
        y = round(top + (height - 1) * (1 - share))
        pen.line((left + _BAR, y, left + _BAR + 4, y), fill=PALE)
        text = f"{lowest + share * (highest - lowest):.3g}"
        pen.text((left + _BAR + 8, y), text, fill=PALE, font=load_font(12), anchor="lm")


Color = tuple[int, int, int]

#: From low to high: night blue, violet, red, orange, pale yellow. Lightness rises all the way, so
#: that the order of values survives a grey print.
_ANCHORS = (
    (13, 16, 48),
    (72, 24, 116),
    (158, 42, 104),
    (224, 86, 62),
    (249, 164, 62),
    (253, 240, 177),
)

#: Distinct on dark and on light ground; the most frequent class gets the first.
CLASS_COLORS: tuple[Color, ...] = (
    (96, 148, 204),
    (240, 142, 48),
    (92, 176, 92),
    (222, 84, 92),
    (160, 120, 200),
    (190, 150, 110),
    (232, 132, 192),
    (176, 180, 52),
    (64, 188, 196),
    (120, 96, 64),
    (56, 96, 72),
    (150, 150, 150),
)


def heat_colors(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Values in 0..1 (others are clipped) as colours, any shape x 3."""
    places = np.clip(values, 0.0, 1.0) * (len(_ANCHORS) - 1)
    channels = [
        np.interp(places, range(len(_ANCHORS)), [anchor[channel] for anchor in _ANCHORS])
        for channel in range(3)
    ]
    colors: NDArray[np.uint8] = np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
    return colors


def finite_range(values: NDArray[Any]) -> tuple[float, float]:
    """The lowest and the highest of the finite values; 0 and 1 where there is none."""
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)


def class_color(rank: int) -> Color:
    """A class's colour by its frequency; rare ones share the last, a grey."""
    return CLASS_COLORS[min(rank, len(CLASS_COLORS) - 1)]
