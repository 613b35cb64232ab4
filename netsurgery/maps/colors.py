"""The colours of maps: one scale for values, one list for classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CLASS_COLORS", "class_color", "finite_range", "heat_colors"]

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

#: Told apart on dark and on light ground; the most frequent class gets the first.
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
