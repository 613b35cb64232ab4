"""How far the numbers of one array are from those of another."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netsurgery.io.memory import Claim
from netsurgery.io.shape_text import shape_text
from netsurgery.net.net import Shape

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

__all__ = ["Difference", "difference_between"]

#: Bytes that comparing a number of each takes: both in float64, their magnitudes, the difference.
_WIDE = 64


@dataclass(frozen=True)
class Difference:
    """The difference of two arrays, of any shapes.

    absolute: the largest |a - b|. relative: that over the largest |a|. Both are infinite where the
    counts differ, or where one is finite and the other is not, or an infinity of the other sign;
    relative is infinite, too, where a is 0 throughout and b is not. largest: the largest finite
    |a|. not_finite: how many numbers are not finite in both, at the same places: these are neither
    alike nor different.
    """

    shape: Shape
    new_shape: Shape
    absolute: float
    relative: float
    largest: float = 0.0
    not_finite: int = 0

    @property
    def empty(self) -> bool:
        """Whether nothing could be compared: no number is finite in both."""
        return self.not_finite > 0 and self.not_finite == math.prod(self.shape)

    @property
    def paired(self) -> bool:
        """Whether each number of one has a partner in the other."""
        return math.prod(self.shape) == math.prod(self.new_shape)

    @property
    def why_infinite(self) -> str:
        """Why there is no number for how far they are apart; "" where there is one."""
        if not self.paired:
            return f"{shape_text(self.shape)} in A, {shape_text(self.new_shape)} in B"
        return "" if math.isfinite(self.absolute) else "numbers that are finite in one net only"

    def within(self, tolerance: float) -> bool:
        """Whether the relative difference is at most `tolerance`."""
        return self.relative <= tolerance

    def to_json(self) -> dict[str, float | None]:
        """How far apart, as plain values; None for what is infinite."""
        # JSON has no infinity.
        values = {"absolute": self.absolute, "relative": self.relative}
        return {name: value if math.isfinite(value) else None for name, value in values.items()}

    def joined(self, second: Difference) -> Difference:
        """The larger of each, of two samples."""
        # Samples of one pair of blobs have the same shapes.
        return Difference(
            self.shape,
            self.new_shape,
            max(self.absolute, second.absolute),
            max(self.relative, second.relative),
            max(self.largest, second.largest),
            max(self.not_finite, second.not_finite),
        )


def difference_between(a: Array, b: Array) -> Difference:
    """The difference between two float32 arrays, compared in row-major order.

    >>> import numpy as np
    >>> difference_between(np.float32([1, -4]), np.float32([1, -3])).relative
    0.25
    """
    with Claim(_WIDE * max(a.size, b.size), f"comparing two arrays of {shape_text(a.shape)}"):
        return _difference(a, b)


def _difference(a: Array, b: Array) -> Difference:
    import numpy as np

    # The difference of two float32 may be beyond float32.
    x, y = a.reshape(-1).astype(np.float64), b.reshape(-1).astype(np.float64)
    largest = float(np.abs(x[np.isfinite(x)]).max(initial=0.0))
    if a.size != b.size:
        return Difference(a.shape, b.shape, math.inf, math.inf, largest)
    with np.errstate(invalid="ignore"):
        # An infinity in one engine may be a NaN in the other, that of the other sign may not.
        opposite = np.isinf(x) & (x == -y)
        broken = ~np.isfinite(x) & ~np.isfinite(y) & ~opposite
        differ = (x != y) & ~broken
        count = int(broken.sum())
        if not differ.any():
            return Difference(a.shape, b.shape, 0.0, 0.0, largest, count)
        absolute = float(np.abs(x[differ] - y[differ]).max())
    if math.isnan(absolute):  # a NaN meets a number
        absolute = math.inf
    # Relative to the blob's largest number, not number by number: rounding errors are of that
    # magnitude, and would dwarf a number near 0.
    relative = absolute / largest if largest else math.inf
    return Difference(a.shape, b.shape, absolute, relative, largest, count)
