"""Scores between the cells of a map, by straight lines between the middles of their windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from netsurgery.maps.cell_geometry import Geometry

    Array = NDArray[np.float32]
    Places = NDArray[np.float64]

__all__ = ["Between", "cell_middles"]

#: Places are worked out in another order than cells': half a stride may come out a little larger.
_CLOSE = 1e-6


def cell_middles(geometry: Geometry, shape: tuple[int, ...]) -> tuple[Places, Places]:
    """The middles of the windows of a C x H x W map, down and across, in pixels of the picture.

    The caller has seen that it is known where the cells lie.
    """
    stride, window = geometry.stride, geometry.window
    assert stride is not None
    assert window is not None
    down, across = (
        geometry.placement.to_image(
            geometry.start[axis]
            + window[axis] / 2
            + stride[axis] * np.arange(shape[1 + axis], dtype=np.float64),
            axis,
        )
        for axis in range(2)
    )
    return down, across


@dataclass(frozen=True, eq=False)
class Between:
    """Where places along an axis lie between a map's cells.

    low, high: the cells before and behind; share: of the one behind. near: whether the place is
    within half a stride of a cell; beyond the outermost cell's middle that one is taken.
    """

    low: NDArray[np.intp]
    high: NDArray[np.intp]
    share: Array
    near: NDArray[np.bool_]

    @classmethod
    def of(cls, places: Places, middles: Places) -> Between:
        """That of `places` among the `middles` of cells, both in pixels along the axis.

        Middles ascend by one stride, or all are one where cells do not move.
        """
        last = len(middles) - 1
        stride = middles[-1] - middles[0] if last else 0.0
        at = (places - middles[0]) * (last / stride) if stride > 0 else np.zeros(len(places))
        near = (at >= -0.5 - _CLOSE) & (at <= last + 0.5 + _CLOSE)
        at = np.clip(at, 0, last)
        low = np.minimum(at.astype(np.intp), max(last - 1, 0))
        high = np.minimum(low + 1, last)
        return cls(low, high, (at - low).astype(np.float32), near)

    def part(self, rows: slice) -> Between:
        """The same of some of the places."""
        return Between(self.low[rows], self.high[rows], self.share[rows], self.near[rows])

    def rows(self, values: Array) -> Array:
        """C x H x W values at these places down: C x places x W."""
        first, second = values[:, self.low], values[:, self.high]
        return first + (second - first) * self.share[:, np.newaxis]

    def columns(self, values: Array) -> Array:
        """C x H x W values at these places across: C x H x places."""
        first, second = values[:, :, self.low], values[:, :, self.high]
        return first + (second - first) * self.share
