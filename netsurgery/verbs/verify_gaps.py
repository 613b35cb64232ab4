"""How far the numbers of one blob are from those of another; whether order alone differs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from netsurgery.io.memory import Claim
from netsurgery.net.net import Shape
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.order import Order, as_map, lie_alike
from netsurgery.net.shapes import describe
from netsurgery.surgery.columns import gathered, to_order
from netsurgery.surgery.transplant.params import ModelParams, TransplantLayer
from netsurgery.verbs.diff import ParamDifference

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

__all__ = ["Difference", "gap_between", "order_notes", "settle_order"]

#: What comparing a number of each takes: both in float64, their magnitudes, the difference.
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

    def joined(self, other: Difference) -> Difference:
        """The larger of each, of two samples."""
        return Difference(
            self.shape,
            self.other_shape,
            max(self.absolute, other.absolute),
            max(self.relative, other.relative),
            max(self.largest, other.largest),
            max(self.not_finite, other.not_finite),
        )


def gap_between(a: Array, b: Array) -> Difference:
    """The gap between two arrays, compared in row-major order."""
    with Claim(_WIDE * max(a.size, b.size), f"comparing two arrays of {describe(a.shape)}"):
        return _gap(a, b)


def _gap(a: Array, b: Array) -> Difference:
    import numpy as np

    one, other = a.reshape(-1).astype(np.float64), b.reshape(-1).astype(np.float64)
    largest = float(np.abs(one[np.isfinite(one)]).max(initial=0.0))
    if a.size != b.size:
        return Difference(a.shape, b.shape, math.inf, math.inf, largest)
    with np.errstate(invalid="ignore"):
        # An infinity in one engine may be a NaN in the other, that of the other sign may not.
        opposite = np.isinf(one) & (one == -other)
        broken = ~np.isfinite(one) & ~np.isfinite(other) & ~opposite
        differ = (one != other) & ~broken
        count = int(broken.sum())
        if not differ.any():
            return Difference(a.shape, b.shape, 0.0, 0.0, largest, count)
        absolute = float(np.abs(one[differ] - other[differ]).max())
    if math.isnan(absolute):
        absolute = math.inf
    relative = absolute / largest if largest else math.inf
    return Difference(a.shape, b.shape, absolute, relative, largest, count)


REORDERED = "reordered"


def settle_order(
    models: tuple[NetWithWeights, NetWithWeights], params: Sequence[ParamDifference]
) -> tuple[ParamDifference, ...]:
    """`params`, those whose columns lie as each net reads them and are otherwise equal so named.

    Behind a Permute an InnerProduct reads a map H, W, C; another net reads the same C, H, W.
    """
    if not any(one.status == "different" and one.index == 0 for one in params):
        return tuple(params)
    sides = [ModelParams.of(model).layers for model in models]
    found = []
    for one in params:
        old, new = sides[0].get(one.layer), sides[1].get(one.new_layer)
        weight = one.index == 0 and one.status == "different"
        if weight and old and new and _equal_in_order(old, new):
            found.append(replace(one, status=REORDERED, distance=None))
        else:
            found.append(one)
    return tuple(found)


def order_notes(params: Sequence[ParamDifference]) -> list[str]:
    """What to say of params that are equal in another order."""
    return [
        f"the columns of {one.layer!r} lie in another order in the second net, as the same "
        "function needs it: each net lays the map before it otherwise"
        for one in params
        if one.status == REORDERED
    ]


def _equal_in_order(old: TransplantLayer, new: TransplantLayer) -> bool:
    """Whether the weights are equal, column by column of the map that both look at."""
    there, here = old.columns, new.columns
    if not (there and here and old.blobs and new.blobs and old.shapes and new.shapes):
        return False
    if as_map(there) != as_map(here) or lie_alike(there, here):
        return False
    return _equal(old, new, there, here)


def _equal(old: TransplantLayer, new: TransplantLayer, there: Order, here: Order) -> bool:
    blob, other = old.blobs[0], new.blobs[0]
    assert old.shapes is not None
    rows = old.shapes[0][0]
    if blob.count != other.count or not rows:
        return False
    matrix = (rows, blob.count // rows)
    wanted = memoryview(other.numpy().astype("<f4", copy=False).reshape(-1).data).cast("B")
    start = 0
    for piece in gathered(
        blob, matrix, partial(to_order, there, here), turned=(old.transposed, new.transposed)
    )():
        if wanted[start : start + len(piece)] != piece:
            return False
        start += len(piece)
    return start == len(wanted)
