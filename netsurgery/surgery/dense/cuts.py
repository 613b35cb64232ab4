"""Where a Crop, or a Slice that drops the first rows or columns, begins in a finer map.

So the poolings of a net that was made finer before are written (`crops`). What began at an old cell
begins at that cell of the finer map, which is as many times as far.
"""

from __future__ import annotations

from typing import NamedTuple

from netsurgery.formats.textformat import Scalar
from netsurgery.net import types
from netsurgery.net.net import Layer, NetDefinition, Shape
from netsurgery.net.types.axes import axis_of, cut_axis

__all__ = ["MovedCut", "moved_cuts"]


class MovedCut(NamedTuple):
    """A number of the text, of the field `name`, and the new one."""

    name: str
    scalar: Scalar
    new: int

    @property
    def what(self) -> str:
        """What becomes of it, in words."""
        return f"{self.name} {self.scalar.as_int(0)} becomes {self.new}"


def moved_cuts(
    net: NetDefinition, layer: Layer, shape: Shape, cells: tuple[int, int]
) -> tuple[MovedCut, ...] | None:
    """The numbers of the layer's text that change; None where it is not such a layer.

    shape: of the blob that it cuts. cells: how many of the finer map lie where that had one.
    """
    if not types.is_stock(layer):
        return None
    if types.message_of(layer) == "crop_param":
        return _crop(layer, shape, cells)
    return _slice(net, layer, shape, cells) if types.message_of(layer) == "slice_param" else None


def _crop(layer: Layer, shape: Shape, cells: tuple[int, int]) -> tuple[MovedCut, ...] | None:
    message = layer.param("crop_param")
    offsets = message.scalars("offset")
    factors = (1, 1, *cells)[axis_of(layer, message, shape, 2) :]
    # One number stands for all axes.
    if len(offsets) == 1 and len(set(factors)) > 1 and offsets[0].as_int(0):
        return None
    return _moved("offset", offsets, factors)


def _slice(
    net: NetDefinition, layer: Layer, shape: Shape, cells: tuple[int, int]
) -> tuple[MovedCut, ...] | None:
    axis, points = cut_axis(layer, shape), layer.param("slice_param").scalars("slice_point")
    first, *_ = layer.tops
    # Other parts would be other cells of the finer map than they were.
    unread = not any(reader.tops for reader in net.readers(layer, first))
    if axis < 2 or len(points) != 1 or not unread or first in net.outputs:
        return None
    return _moved("slice_point", points, (1, 1, *cells)[axis:])


def _moved(name: str, scalars: list[Scalar], factors: tuple[int, ...]) -> tuple[MovedCut, ...]:
    # A single number, of several axes of one factor, takes the first.
    numbers = zip(scalars, factors, strict=False)
    moved = [MovedCut(name, scalar, scalar.as_int(0) * factor) for scalar, factor in numbers]
    return tuple(each for each in moved if each.new != each.scalar.as_int(0))
