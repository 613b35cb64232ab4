"""A net with finer maps against the net it is made of, on the picture moved by less than a cell."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from netsurgery.engines.contract import LoadedNet
from netsurgery.net.field import ReceptiveField, fields
from netsurgery.net.net import NetDefinition

__all__ = ["Agreement", "agreement"]

Array = NDArray[np.float32]


class Agreement(NamedTuple):
    """How far a finer map is from the old ones, relative to the largest number of these.

    old_cells: of the cells that the old map has, at its edges too. inside: of all those whose
    field lies in the moved picture. cells: how many these are. shapes: rows and columns of the
    finer map and of the old one.
    """

    old_cells: float
    inside: float
    cells: int
    shapes: tuple[tuple[int, ...], tuple[int, ...]]


def agreement(
    old: tuple[NetDefinition, LoadedNet],
    new: tuple[NetDefinition, LoadedNet],
    image: Array,
    blob: str,
) -> Agreement:
    """Run the old net on each move of `image`, 1 x C x H x W, and the new one on all of it."""
    (name,) = (each.name for each in new[0].inputs)
    before, field = (fields(net, {name: image.shape})[blob] for net, _ in (old, new))
    steps = [int(a / b) for a, b in zip(before.stride, field.stride, strict=True)]
    (stride,) = set(field.stride)
    finer, whole = (_run(net, name, image, blob) for _, net in (new, old))
    # A window that lies beyond the map has no largest number: Caffe gives the lowest float.
    scale = float(np.abs(whole[np.abs(whole) < 1e30]).max())
    inside, cells, old_cells = 0.0, 0, np.inf
    for row in range(steps[0]):
        for column in range(steps[1]):
            start = int(row * stride), int(column * stride)
            theirs = _run(old[1], name, image[:, :, start[0] :, start[1] :], blob)
            ours = finer[:, :, row :: steps[0], column :: steps[1]]
            height, width = np.minimum(ours.shape, theirs.shape)[2:]
            both = [each[:, :, :height, :width] for each in (ours, theirs)]
            with np.errstate(invalid="ignore", over="ignore"):
                apart = np.abs(np.subtract(*both)).max((0, 1))
            lies = [
                _inside(before, axis, count, image.shape[2 + axis] - start[axis])
                for axis, count in ((0, height), (1, width))
            ]
            mask = np.logical_and.outer(*lies)
            cells += int(mask.sum())
            inside = np.maximum(inside, float(apart[mask].max(initial=0)) / scale)
            if (row, column) == (0, 0):
                old_cells = float(apart.max()) / scale
    return Agreement(old_cells, inside, cells, (finer.shape[2:], whole.shape[2:]))


def _inside(field: ReceptiveField, axis: int, count: int, size: int) -> NDArray[np.bool_]:
    """Which of `count` rows or columns have fields that lie in a picture of `size`."""
    starts = (field.offset[axis] + field.stride[axis] * cell for cell in range(count))
    return np.array([0 <= start <= size - field.size[axis] for start in starts], bool)


def _run(net: LoadedNet, name: str, image: Array, blob: str) -> Array:
    image = np.ascontiguousarray(image)
    net.reshape({name: image.shape})
    return net.forward({name: image}, [blob])[blob]
