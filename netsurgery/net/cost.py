"""What a net costs to run: multiply-adds and memory, from its shapes alone.

A multiply-add is a product with a weight, added up. They are counted where weights are applied:

Convolution     top count x kernel volume x channels / group
Deconvolution   bottom count x kernel volume x outputs / group
InnerProduct    top count x inputs
LSTM, RNN       steps x streams x count of each weight (streams x count for a static input's)

A bias's addition is not counted, and neither is what weighs nothing: pooling, normalization,
elementwise layers. They cost 0; a layer whose shapes are not known costs None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import NamedTuple

from netsurgery.net import types
from netsurgery.net.net import Layer, NetDefinition, Shape
from netsurgery.net.shapes import Shapes
from netsurgery.net.types.fields import free
from netsurgery.net.types.record import ParamSpecs, Values

__all__ = ["NUMBER_BYTES", "Cost", "Total", "costs", "distinct_params", "multiply_adds", "total"]

#: Caffe computes in float32.
NUMBER_BYTES = 4


class Cost(NamedTuple):
    """What one layer costs; None where its shapes are not known.

    memory: bytes of the tops' numbers (float32), 0 for tops in place and for those that share
    the bottom's memory (Flatten, Reshape, Split). Gradients, which training needs, are as much
    again; what a layer keeps for itself (columns of a convolution, masks) is not counted.
    """

    multiply_adds: int | None
    memory: int | None


class Total(NamedTuple):
    """What a whole net costs.

    params: numbers in params, those shared by name counted once; param_memory: their bytes.
    complete: False where some layer's cost is not known; the sums are of those that are.
    """

    params: int
    param_memory: int
    multiply_adds: int
    memory: int
    complete: bool


def costs(net: NetDefinition, shapes: Shapes) -> tuple[Cost, ...]:
    """The cost of each of the net's layers at these shapes, in file order."""
    return tuple(Cost(multiply_adds(layer, shapes), _memory(layer, shapes)) for layer in net.layers)


def multiply_adds(layer: Layer, shapes: Shapes) -> int | None:
    """The layer's multiply-adds in one forward pass of the whole batch; None if not known."""
    record = types.of(layer)
    if record is None or record.multiply_adds is None:
        return None
    # Before any shape is asked for: it costs nothing whatever they are.
    if record.multiply_adds is free:
        return 0
    tops, bottoms = _all_known(layer.tops, shapes), _all_known(layer.bottoms, shapes)
    params = shapes.params_of(layer)
    if not params or tops is None or bottoms is None:
        return None
    return record.multiply_adds(layer, ParamSpecs(bottoms, tops, params))


def _all_known(blobs: Sequence[str], shapes: Shapes) -> tuple[Shape, ...] | None:
    known = [shapes.blobs[blob] for blob in blobs if blob in shapes.blobs]
    return tuple(known) if len(known) == len(blobs) else None


def _memory(layer: Layer, shapes: Shapes) -> int | None:
    in_place = types.values(layer) is Values.KEPT  # in the memory of the bottom
    own = _all_known([] if in_place else layer.new_tops, shapes)
    return None if own is None else NUMBER_BYTES * sum(map(prod, own))


def total(net: NetDefinition, shapes: Shapes) -> Total:
    """The sums over the net; inputs that no layer makes are part of the memory."""
    layers = costs(net, shapes)
    tops = {top for layer in net.layers for top in layer.tops}
    # An Input layer's top is counted with its layer.
    inputs = [shapes.blobs.get(blob.name) for blob in net.inputs if blob.name not in tops]
    memory = sum(cost.memory or 0 for cost in layers)
    params = distinct_params(net, shapes)
    return Total(
        params=params,
        param_memory=params * NUMBER_BYTES,
        multiply_adds=sum(cost.multiply_adds or 0 for cost in layers),
        memory=memory + NUMBER_BYTES * sum(prod(shape) for shape in inputs if shape is not None),
        complete=None not in inputs
        and all(None not in (cost.multiply_adds, cost.memory) for cost in layers),
    )


def distinct_params(
    net: NetDefinition, shapes: Shapes, counts: Callable[[Shape], bool] = lambda shape: True
) -> int:
    """Numbers in the net's params, those shared by name counted once.

    counts: whether a param of this shape counts.
    """
    numbers, seen = 0, set()
    for layer in net.layers:
        names = layer.param_names
        for index, shape in enumerate(shapes.params_of(layer)):
            # A layer may have more params than `param { }`: the rest are nobody else's (net.cpp).
            name = names[index] if index < len(names) else ""
            if (not name or name not in seen) and counts(shape):
                numbers += prod(shape)
            seen.add(name)
    return numbers
