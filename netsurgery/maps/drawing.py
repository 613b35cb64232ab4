"""What the pictures have in common: colours of paper, ink and values, the font, lines of text."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
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
    "Colors",
    "Drawing",
    "Font",
    "class_color",
    "color_bar",
    "cut",
    "finite_range",
    "framed",
    "grey_colors",
    "heat_colors",
    "load_font",
    "signed_colors",
    "wrapped",
]

Box = tuple[int, int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Color = tuple[int, int, int]
#: A picture that was drawn: Pillow's.
Drawing = Image.Image
#: Values in 0..1, of any shape -> the colours, that shape x 3.
Colors = Callable[["NDArray[Any]"], "NDArray[np.uint8]"]

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
    sheet: Image.Image,
    at: tuple[int, int],
    height: int,
    scale: tuple[float, float],
    ticks: int = 5,
    colors: Colors | None = None,
) -> None:
    """Colours (default: of heat), `height` pixels from the corner `at` down, and their values.

    scale: the lowest and the highest value, between which `ticks` steps are marked.
    """
    (left, top), (lowest, highest) = at, scale
    pen = ImageDraw.Draw(sheet)
    shades = (colors or heat_colors)(np.linspace(1.0, 0.0, height)[:, np.newaxis])
    sheet.paste(Image.fromarray(shades).resize((_BAR, height)), at)
    framed(pen, (left, top, left + _BAR, top + height))
    for tick in range(ticks + 1):
        share = tick / ticks
        y = round(top + (height - 1) * (1 - share))
        pen.line((left + _BAR, y, left + _BAR + 4, y), fill=PALE)
        text = f"{lowest + share * (highest - lowest):.3g}"
        pen.text((left + _BAR + 8, y), text, fill=PALE, font=load_font(12), anchor="lm")


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

#: From negative to positive, as dark on either side.
_SIGNED: tuple[Color, ...] = (
    (8, 46, 98),
    (40, 112, 178),
    (140, 192, 222),
    (250, 250, 248),
    (244, 166, 130),
    (200, 62, 62),
    (104, 8, 32),
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
    return _between(values, _ANCHORS)


def signed_colors(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Values in 0..1 as colours: blue below the middle, red above it, white at it."""
    return _between(values, _SIGNED)


def grey_colors(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Values in 0..1 as shades from black to white."""
    return _between(values, ((0, 0, 0), (255, 255, 255)))


def _between(values: NDArray[Any], anchors: Sequence[Color]) -> NDArray[np.uint8]:
    """The colours of values in 0..1 (others are clipped) along the anchors, any shape x 3."""
    places = np.clip(values, 0.0, 1.0) * (len(anchors) - 1)
    channels = [
        np.interp(places, range(len(anchors)), [anchor[channel] for anchor in anchors])
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
