"""Weights that are equal but for the order of their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from netsurgery.formats.caffemodel_new import Chunks
from netsurgery.formats.weights import WeightsBlob
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.order import as_map, lie_alike
from netsurgery.surgery.columns import gathered, to_order
from netsurgery.surgery.transplant.params import ModelParams, TransplantLayer
from netsurgery.verbs.diff_result import ParamDifference

__all__ = ["order_notes", "with_reordered"]

REORDERED = "reordered"


def with_reordered(
    models: tuple[NetWithWeights, NetWithWeights], params: Sequence[ParamDifference]
) -> tuple[ParamDifference, ...]:
    """`params`, with the status "reordered" for those whose numbers are the same in another order.

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
        reordered = weight and old and new and _is_reordered(old, new)
        result.append(replace(param, status=REORDERED, distance=None) if reordered else param)
    return tuple(result)


def order_notes(params: Sequence[ParamDifference]) -> list[str]:
    """A note for each param that is equal but for the order of its columns."""
    return [
        f"the columns of {param.layer!r} lie in another order in the second net, which the "
        "same function needs: the two nets lay out the map before it differently"
        for param in params
        if param.status == REORDERED
    ]


def _is_reordered(old: TransplantLayer, new: TransplantLayer) -> bool:
    """Whether the weights are equal but for the order of their columns."""
    if not (old.blobs and new.blobs and old.shapes and new.shapes):
        return False
    blob, new_blob = old.blobs[0], new.blobs[0]
    rows = old.shapes[0][0]
    if blob.count != new_blob.count or not rows:
        return False
    order, new_order = old.columns, new.columns
    # An order explains a difference where both read one map, laid out differently.
    one_map = as_map(order or ()) == as_map(new_order or ())
    if not (order and new_order and one_map) or lie_alike(order, new_order):
        return False
    columns = partial(to_order, order, new_order)
    turned = (old.transposed, new.transposed)
    return _are(gathered(blob, (rows, blob.count // rows), columns, turned=turned), new_blob)


def _are(numbers: Chunks, blob: WeightsBlob) -> bool:
    """Whether the blob holds these numbers."""
    # Compared as bytes, so that a NaN equals itself.
    expected = memoryview(blob.numpy().astype("<f4", copy=False).reshape(-1).data).cast("B")
    start = 0
    for piece in numbers():
        if expected[start : start + len(piece)] != piece:
            return False
        start += len(piece)
    return start == len(expected)
