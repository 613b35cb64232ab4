"""Colours of classes, distinct for people with colour-blindness too, and of text on them.

The first seven are those of Okabe and Ito; the others lie as far from these as they may, in what
people see who lack a kind of cone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from netsurgery.drawing.colors import Color

__all__ = [
    "CLASS_COLORS",
    "class_color",
    "colors_by_class",
    "contrast",
    "ink_on",
]

#: The most frequent class gets the first, rare ones share the last.
CLASS_COLORS: tuple[Color, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (213, 94, 0),
    (0, 114, 178),
    (204, 121, 167),
    (240, 228, 66),
    (102, 51, 0),
    (51, 34, 136),
    (150, 90, 255),
    (204, 221, 170),
    (90, 90, 90),
)


def class_color(rank: int) -> Color:
    """A class's colour by its frequency; rare ones share the last, a grey."""
    return CLASS_COLORS[min(rank, len(CLASS_COLORS) - 1)]


def colors_by_class(numbers: Sequence[int]) -> Mapping[int, Color]:
    """The classes' colours, the numbers in the order of their ranks."""
    return {number: class_color(rank) for rank, number in enumerate(numbers)}


def contrast(first: Color, second: Color) -> float:
    """The contrast of two colours, 1 to 21, as the W3C's guidelines define it.

    >>> round(contrast((0, 0, 0), (255, 255, 255)))
    21
    """
    dark, light = sorted((_luminance(first), _luminance(second)))
    return (light + 0.05) / (dark + 0.05)


def ink_on(ground: Color) -> Color:
    """The colour of text on a ground: black or white, whichever is read better."""
    return max(((0, 0, 0), (255, 255, 255)), key=lambda ink: contrast(ink, ground))


def _luminance(color: Color) -> float:
    parts = [part / 255 for part in color]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
