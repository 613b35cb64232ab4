"""How a map's picture looks: what the options of `--picture` say, but for the classes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from netsurgery.errors import SettingsError
from netsurgery.io.argument_types import checks_arguments
from netsurgery.io.wording import argument

if TYPE_CHECKING:
    from netsurgery.drawing.fonts import Fonts

__all__ = [
    "LEAST_WIDTH",
    "MOST_WIDTH",
    "PICTURE_SUFFIXES",
    "Layout",
    "PictureLook",
    "picture_suffix",
    "value_range",
]

#: The endings of the names of pictures, and with them their kinds; the first where no name has one.
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".svg")

#: overlay: one large picture, the input and the legend beside it. panels: the image, the map on
#: it and the map alone. map: the map alone, in the image's frame.
Layout: TypeAlias = Literal["overlay", "panels", "map"]

#: Pixels of a picture's width.
LEAST_WIDTH, MOST_WIDTH = 240, 8000


@checks_arguments()
@dataclass(frozen=True)
class PictureLook:
    """layout: "overlay", "panels" or "map". width: of the picture in pixels, None for what suits
    the image. alpha: how opaque a cell is at most, 0..1. smooth: colours go over into each other
    between the cells' centers. range: the lowest and the highest value of the scale, None for
    0..1 of probabilities and the map's own of scores. font: a file, before the fonts found.
    upsample: "pixels" for scores interpolated to the image's pixels, or to every few where the
    classes are many, and the classes that these give; None for those of the cells.

    Raises SettingsError for other values.

    >>> PictureLook(layout="map", width=600).alpha
    0.7
    """

    layout: Layout = "overlay"
    width: int | None = None
    alpha: float = 0.7
    smooth: bool = False
    range: tuple[float, float] | None = None
    font: str | Path | None = None
    upsample: Literal["pixels"] | None = None

    def __post_init__(self) -> None:
        layouts = get_args(Layout)
        if self.layout not in layouts:
            raise SettingsError(f"layout {self.layout!r}: expected {', '.join(layouts)}")
        if self.width is not None and not LEAST_WIDTH <= self.width <= MOST_WIDTH:
            raise SettingsError(
                f"{argument(f'--width {self.width}')}: expected {LEAST_WIDTH} to {MOST_WIDTH} "
                "pixels"
            )
        if self.upsample not in (None, "pixels"):
            raise SettingsError(f"upsample {self.upsample!r}: expected None or 'pixels'")
        if not 0 <= self.alpha <= 1:
            raise SettingsError(f"{argument(f'--alpha {self.alpha:g}')}: expected 0 to 1")
        if self.range is not None:
            low, high = self.range
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise SettingsError(
                    f"{argument(f'--range {low:g},{high:g}')}: expected two finite numbers, the "
                    "lower one first"
                )
        if self.font is not None:
            _ = self.fonts  # a file that is no font is refused before any work

    @cached_property
    def fonts(self) -> Fonts:
        """The fonts of its text. Raises SettingsError where `font` is none."""
        from netsurgery.drawing.fonts import FONTS, open_font

        return FONTS if self.font is None else open_font(self.font)


def picture_suffix(paths: Iterable[str | Path]) -> str:
    """The kind of picture that the first of the files is to be, by its ending.

    >>> picture_suffix(["map.SVG"]), picture_suffix(["-"]), picture_suffix([])
    ('.svg', '.png', '.png')
    """
    suffix = next((Path(path).suffix.lower() for path in paths), "")
    return suffix if suffix in PICTURE_SUFFIXES else PICTURE_SUFFIXES[0]


def value_range(text: str) -> tuple[float, float]:
    """``"0,1"`` as two numbers. Raises ValueError.

    >>> value_range("-2.5,10")
    (-2.5, 10.0)
    """
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        raise ValueError(f"{text!r} is not LOW,HIGH") from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"{text!r}: expected two finite numbers, the lower one first")
    return low, high
