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
    counts differ, where either has a NaN, or an infinity that the other has not; relative is
    infinite, too, where a is 0 throughout and b is not. largest: the largest finite |a|.
    """

    shape: Shape
    other_shape: Shape
    absolute: float
    relative: float
    largest: float = 0.0

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
        )


def gap_between(a: Array, b: Array) -> Gap:
    """The gap between two arrays, compared in row-major order."""
    import numpy as np

    one, other = a.reshape(-1).astype(np.float64), b.reshape(-1).astype(np.float64)
    largest = float(np.abs(one[np.isfinite(one)]).max(initial=0.0))
    if a.size != b.size:
        return Gap(a.shape, b.shape, math.inf, math.inf, largest)
    differ = one != other  # NaN differs from everything
    if not differ.any():
        return Gap(a.shape, b.shape, 0.0, 0.0, largest)
    with np.errstate(invalid="ignore"):
        absolute = float(np.abs(one[differ] - other[differ]).max())
    if math.isnan(absolute):
        absolute = math.inf
    relative = absolute / largest if largest else math.inf
    return Gap(a.shape, b.shape, absolute, relative, largest)
