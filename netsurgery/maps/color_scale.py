"""Values as colours: where a scale begins and ends, its round ticks, and the colours along it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from netsurgery.drawing.colors import Color
from netsurgery.maps.row_blocks import row_blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "ColorScale",
    "Colors",
    "finite_range",
    "grey_colors",
    "heat_colors",
    "normalized",
    "signed_colors",
    "tick_words",
    "ticks",
]

#: Values in 0..1, of any shape -> the colours, that shape x 3.
Colors = Callable[["NDArray[Any]"], "NDArray[np.uint8]"]

#: From low to high: night blue, violet, red, orange, pale yellow. Lightness rises all the way, so
#: that the order of values survives a grey print.
_ANCHORS: tuple[Color, ...] = (
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


@dataclass(frozen=True)
class ColorScale:
    """The lowest and the highest value, and their colours; values beyond them have the ends'.

    signed: 0 is white, between blue for what is below it and red for what is above, each as dark as
    it is far from 0. shades: other colours than those.
    """

    low: float
    high: float
    signed: bool = False
    shades: Colors | None = None

    @classmethod
    def of(
        cls,
        values: NDArray[Any],
        *,
        probability: bool = False,
        ends: tuple[float, float] | None = None,
    ) -> ColorScale:
        """That of values, or with the `ends` asked for; probabilities go from 0 to 1."""
        low, high = ends or ((0.0, 1.0) if probability else finite_range(values))
        return cls(low, high, signed=low < 0 < high)

    @classmethod
    def around_zero(cls, low: float, high: float) -> ColorScale:
        """As far on one side of 0 as on the other."""
        most = max(abs(low), abs(high)) or 1.0
        return cls(-most, most, signed=True)

    @property
    def is_flat(self) -> bool:
        """Whether there is but one value, so that there is nothing to be compared."""
        return not self.high > self.low

    def shares(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """The values' places among the colours, 0..1; 0 is the middle where they are signed."""
        if not self.signed:
            return normalized(values, self.low, self.high)
        most = max(abs(self.low), abs(self.high))
        return normalized(np.clip(values, self.low, self.high), -most, most)

    def strengths(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """How far the values are on the scale, 0..1: from its lowest, or from 0 if it is signed."""
        shares = self.shares(values)
        strengths: NDArray[np.float32] = np.abs(2 * shares - 1) if self.signed else shares
        return strengths

    def colors(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """The values' colours, their shape x 3."""
        shades = self.shades or (signed_colors if self.signed else heat_colors)
        return shades(self.shares(values))

    def ticks(self, most: int = 6) -> list[float]:
        """Round values on it."""
        return ticks(self.low, self.high, most)


def ticks(low: float, high: float, most: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten from `low` to `high`, at most `most`.

    >>> ticks(-3.7, 21.9, 6), ticks(0, 1, 6)
    ([0.0, 5.0, 10.0, 15.0, 20.0], [0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    """
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return [low]
    power = math.floor(math.log10(span / most))
    for step in (factor * 10.0 ** (power + up) for up in (0, 1, 2) for factor in (1, 2, 5)):
        slack = 1e-9 * span
        first, last = math.ceil((low - slack) / step), math.floor((high + slack) / step)
        if step > 0 and last - first + 1 <= most:
            return [float(f"{number * step:.12g}") for number in range(first, last + 1)]
    return [low]


def tick_words(ticks: Sequence[float]) -> list[str]:
    """The ticks of a scale as they are written: in six digits, or more where six are not all.

    >>> tick_words([-0.5, 0.0, 0.5]), tick_words([100000.2, 100000.4])
    (['-0.5', '0', '0.5'], ['100000.2', '100000.4'])
    """
    short = [f"{tick:.6g}" for tick in ticks]
    exact = all(float(words) == tick for words, tick in zip(short, ticks, strict=True))
    return short if exact else [f"{tick:.12g}" for tick in ticks]


def normalized(values: NDArray[Any], low: float, high: float) -> NDArray[np.float32]:
    """The values with `low` brought to 0 and `high` to 1; others are clipped, NaN stays."""
    span = high - low if high > low else 1.0
    shares: NDArray[np.float32] = np.clip((values.astype(np.float64) - low) / span, 0, 1).astype(
        np.float32
    )
    return shares


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
    parts = [values]
    if values.ndim == 3:  # C x H x W, which may lie in a file
        parts = [values[:, rows] for rows in row_blocks(values.shape)]
    ends = [
        (float(finite.min()), float(finite.max()))
        for part in parts
        if (finite := part[np.isfinite(part)]).size
    ]
    if not ends:
        return (0.0, 1.0)
    return min(low for low, _ in ends), max(high for _, high in ends)
