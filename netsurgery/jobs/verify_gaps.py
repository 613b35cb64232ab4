"""How far the numbers of one blob are from those of another."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netsurgery.net.net import Shape

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

__all__ = ["Gap", "gap_between"]


@dataclass(frozen=True)
class Gap:
    """The difference of two arrays, of any shapes.

    absolute: the largest |a - b|. relative: that over the largest |a|. Both are infinite where the
    counts differ, or where one is finite and the other is not, or an infinity of the other sign;
    relative is infinite, too, where a is 0 throughout and b is not. largest: the largest finite
    |a|. not_finite: how many numbers are not finite in both, at the same places: these are neither
    alike nor different.
    """

    shape: Shape
    other_shape: Shape
    absolute: float
    relative: float
    largest: float = 0.0
    not_finite: int = 0

    @property
    def empty(self) -> bool:
        """Whether nothing could be compared: no number is finite in both."""
        return self.not_finite > 0 and self.not_finite == math.prod(self.shape)

    def within(self, tolerance: float) -> bool:
        """Whether the relative difference is at most `tolerance`."""
        return self.relative <= tolerance

    def joined(self, other: Gap) -> Gap:
        """The larger of each, of two samples."""
        return Gap(
            self.shape,
            self.other_shape,
            max(self.absolute, other.absolute),
            max(self.relative, other.relative),
            max(self.largest, other.largest),
            max(self.not_finite, other.not_finite),
        )


def gap_between(a: Array, b: Array) -> Gap:
    """The gap between two arrays, compared in row-major order."""
    import numpy as np

    one, other = a.reshape(-1).astype(np.float64), b.reshape(-1).astype(np.float64)
    largest = float(np.abs(one[np.isfinite(one)]).max(initial=0.0))
    if a.size != b.size:
        return Gap(a.shape, b.shape, math.inf, math.inf, largest)
    with np.errstate(invalid="ignore"):
        # An infinity in one engine may be a NaN in the other, that of the other sign may not.
        opposite = np.isinf(one) & (one == -other)
        broken = ~np.isfinite(one) & ~np.isfinite(other) & ~opposite
        differ = (one != other) & ~broken
        count = int(broken.sum())
        if not differ.any():
            return Gap(a.shape, b.shape, 0.0, 0.0, largest, count)
        absolute = float(np.abs(one[differ] - other[differ]).max())
    if math.isnan(absolute):
        absolute = math.inf
    relative = absolute / largest if largest else math.inf
    return Gap(a.shape, b.shape, absolute, relative, largest, count)
