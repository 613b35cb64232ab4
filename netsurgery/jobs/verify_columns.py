"""Params that differ in the order of their columns alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from netsurgery.jobs.diff import ParamDifference
from netsurgery.net.model import Model
from netsurgery.net.order import Order, as_map, lie_alike
from netsurgery.surgery.columns import gathered, to_order
from netsurgery.surgery.transplant.params import LayerParams, Side

__all__ = ["order_notes", "settle_order"]

REORDERED = "reordered"


def settle_order(
    models: tuple[Model, Model], params: Sequence[ParamDifference]
) -> tuple[ParamDifference, ...]:
    """`params`, those whose columns lie as each net reads them and are otherwise equal so named.

    Behind a Permute an InnerProduct reads a map H, W, C; another net reads the same C, H, W.
    """
    if not any(one.status == "different" and one.index == 0 for one in params):
        return tuple(params)
    sides = [Side.of(model).layers for model in models]
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


def _equal_in_order(old: LayerParams, new: LayerParams) -> bool:
    """Whether the weights are equal, column by column of the map that both look at."""
    there, here = old.columns, new.columns
    if not (there and here and old.blobs and new.blobs and old.shapes and new.shapes):
        return False
    if as_map(there) != as_map(here) or lie_alike(there, here):
        return False
    return _equal(old, new, there, here)


def _equal(old: LayerParams, new: LayerParams, there: Order, here: Order) -> bool:
    blob, other = old.blobs[0], new.blobs[0]
    assert old.shapes is not None
    rows = old.shapes[0][0]
    if blob.count != other.count or not rows:
        return False
    matrix = (rows, blob.count // rows)
    wanted = memoryview(other.numpy().astype("<f4", copy=False).reshape(-1).data).cast("B")
    start = 0
    for piece in gathered(
        blob, matrix, partial(to_order, there, here), turned=(old.turned, new.turned)
    )():
        if wanted[start : start + len(piece)] != piece:
            return False
        start += len(piece)
    return start == len(wanted)
