"""Rows of a classifier's params for new classes, behind its own, which stay bit for bit.

A new row has the values that the layer's filler would give it if the whole param were filled, from
a seed. A filler that makes all weights alike would make all new classes alike, so that the text of
the net has another in its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from netsurgery.formats.caffemodel_new import Chunks, NewBlob
from netsurgery.formats.caffemodel_write import LayerChange
from netsurgery.formats.weights import WeightsBlob
from netsurgery.io.terminal import joined
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.surgery.fillers import fill
from netsurgery.surgery.initial_params import InitialParam, plan_initial_params
from netsurgery.training.new_outputs import has_random_filler
from netsurgery.training.training_net import TrainingNet

__all__ = ["AddedRows", "added_rows", "row_changes", "row_notes"]


@dataclass(frozen=True)
class AddedRows:
    """The new rows of a param: what fills them, and whether that is the layer's own filler."""

    param: InitialParam
    own: bool

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        param = self.param
        filler = param.filler.type
        return {"layer": param.layer, "index": param.index, "filler": filler, "own": self.own}

    def __str__(self) -> str:
        whose = "the layer's own filler" if self.own else "as the layer has no random filler"
        return f"param {self.param.index} by {self.param.filler.type} ({whose})"


def added_rows(net: TrainingNet) -> tuple[AddedRows, ...]:
    """The params that get rows, in file order; () for a net that does not grow.

    Raises SurgeryError for a filler that Caffe 1.0 does not have.
    """
    if not net.grown:
        return ()
    before = net.base if net.plan is None else net.plan.new
    params = plan_initial_params(net.net, layers=net.grown).params
    return tuple(
        AddedRows(each, each.index > 0 or has_random_filler(before.layer(each.layer)))
        for each in params
    )


def row_notes(rows: Sequence[AddedRows], seed: int) -> Iterator[str]:
    """What fills the new rows, a line a layer."""
    for layer in dict.fromkeys(each.param.layer for each in rows):
        fillers = [str(each) for each in rows if each.param.layer == layer]
        yield f"new outputs of layer {layer!r} begin with {joined(fillers)}, seed {seed}"


def row_changes(net: TrainingNet, model: NetWithWeights, seed: int) -> dict[str, LayerChange]:
    """The changes to the model, which has the net's own rows, that add the others."""
    blobs: dict[str, list[NewBlob]] = {}
    for each in added_rows(net):
        param = each.param
        own = model.stored[param.layer].blobs[param.index]
        blobs.setdefault(param.layer, []).append(NewBlob(param.shape, _longer(own, param, seed)))
    return {layer: LayerChange(blobs=tuple(each)) for layer, each in blobs.items()}


def _longer(own: WeightsBlob, param: InitialParam, seed: int) -> Chunks:
    """The param's own numbers, then those that the filler gives what is behind them."""

    def chunks() -> Iterator[memoryview]:
        import numpy as np

        yield np.ascontiguousarray(own.numpy(), "<f4").reshape(-1).data.cast("B")
        left = prod(own.shape)
        for piece in fill(param.filler, param.shape, seed, param.key):
            if piece.size > left:
                yield np.ascontiguousarray(piece[left:], "<f4").data.cast("B")
            left -= min(left, piece.size)

    return chunks
