"""Weights that are equal but for the order of their columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.order import Order, as_map, lie_alike
from netsurgery.surgery.columns import gathered, to_order
from netsurgery.surgery.transplant.params import ModelParams, TransplantLayer
from netsurgery.verbs.diff_result import ParamDifference

__all__ = ["order_notes", "with_reordered"]

REORDERED = "reordered"


def with_reordered(
    models: tuple[NetWithWeights, NetWithWeights], params: Sequence[ParamDifference]
) -> tuple[ParamDifference, ...]:
    """`params`, with status "reordered" for those whose columns differ in their order alone.

    After a Permute an InnerProduct reads a map H, W, C; another net reads the same C, H, W.
    """
    # Orders take the shapes of both nets, which equal weights do not need.
    if not any(param.status == "different" and param.index == 0 for param in params):
        return tuple(params)
    before, after = (ModelParams.of(model).layers for model in models)
    result = []
    for param in params:
        old, new = before.get(param.layer), after.get(param.new_layer)
        weight = param.index == 0 and param.status == "different"
        if weight and old and new and _equal_in_order(old, new):
            result.append(replace(param, status=REORDERED, distance=None))
        else:
            result.append(param)
    return tuple(result)


def order_notes(params: Sequence[ParamDifference]) -> list[str]:
    """A note for each param that is equal but for the order of its columns."""
    return [
        f"the columns of {param.layer!r} lie in another order in the second net, which the "
        "same function needs: the two nets lay out the map before it differently"
        for param in params
        if param.status == REORDERED
    ]


def _equal_in_order(old: TransplantLayer, new: TransplantLayer) -> bool:
    """Whether the weights are equal, column by column of the map that both look at."""
    order, new_order = old.columns, new.columns
    if not (order and new_order and old.blobs and new.blobs and old.shapes and new.shapes):
        return False
    # An order explains a difference where both read one map, laid out differently.
    if as_map(order) != as_map(new_order) or lie_alike(order, new_order):
        return False
    return _equal(old, new, order, new_order)


def _equal(old: TransplantLayer, new: TransplantLayer, order: Order, new_order: Order) -> bool:
    blob, new_blob = old.blobs[0], new.blobs[0]
    assert old.shapes is not None
    rows = old.shapes[0][0]
    if blob.count != new_blob.count or not rows:
        return False
    matrix = (rows, blob.count // rows)
    # Compared as bytes, so that a NaN equals itself.
    expected = memoryview(new_blob.numpy().astype("<f4", copy=False).reshape(-1).data).cast("B")
    start = 0
    for piece in gathered(
        blob, matrix, partial(to_order, order, new_order), turned=(old.transposed, new.transposed)
    )():
        if expected[start : start + len(piece)] != piece:
            return False
        start += len(piece)
    return start == len(expected)
