"""A caffemodel from a prototxt's own fillers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from netsurgery.formats.caffemodel_new import Chunks, NewBlob, NewLayer, new_caffemodel
from netsurgery.formats.caffemodel_write import LayerFacts, check_written
from netsurgery.formats.files import Outputs
from netsurgery.net.net import Layer
from netsurgery.surgery.fillers import fill
from netsurgery.surgery.initial_params import InitialParam, InitialPlan

__all__ = ["initialize"]


def initialize(
    plan: InitialPlan,
    weights: Path,
    *,
    seed: int,
    force: bool = False,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Write the params that `plan` tells to the caffemodel `weights`; returns its bytes.

    seed: the same one gives the same file. progress: called with the number of bytes written.
    Raises OutputError; nothing is written then.
    """
    layers = [_layer(layer, plan, seed) for layer in plan.net.layers]
    with Outputs([weights], inputs=[plan.net.prototxt.path], force=force) as outputs:
        target = outputs[weights]
        size = target.write_segments(new_caffemodel(plan.net.name, layers), progress)
        check_written(Path(target.temporary), [_facts(layer) for layer in layers])
    return size


def _layer(layer: Layer, plan: InitialPlan, seed: int) -> NewLayer:
    blobs = tuple(
        NewBlob(param.shape, _chunks(param, seed))
        for param in plan.params
        if param.layer == layer.name
    )
    return NewLayer(layer.name, layer.type, layer.bottoms, layer.tops, blobs)


def _facts(layer: NewLayer) -> LayerFacts:
    shapes = tuple(blob.shape for blob in layer.blobs)
    return LayerFacts(layer.name, layer.type, layer.bottoms, layer.tops, shapes)


def _chunks(param: InitialParam, seed: int) -> Chunks:
    def chunks() -> Iterator[memoryview]:
        for piece in fill(param.filler, param.shape, seed, param.key):
            yield piece.astype("<f4", copy=False).data.cast("B")

    return chunks
