"""InnerProduct layers rewritten as Convolution layers: the caffemodel.

The weights are moved, not computed: O x (C*H*W) and O x C x H x W are the same bytes. Only a
weight that is kept K x O (``transpose: true``) is turned on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from netsurgery.formats.caffemodel import FIELDS, Blob, Caffemodel, ModelLayer
from netsurgery.formats.caffemodel_write import LayerChange
from netsurgery.formats.wire import Wire, delimited, varint_field
from netsurgery.net.shapes import describe, infer
from netsurgery.surgery.convolution import ConvolutionPlan, Move
from netsurgery.surgery.plan import Refusal, refuse

__all__ = ["Weights", "convolution_changes", "match_weights"]


@dataclass(frozen=True)
class Weights:
    """How the layers of a caffemodel and of a net match, by name.

    missing: layers of the net with params that the model has not; Caffe leaves theirs to fillers.
    extra: layers of the model with params that the net has not; Caffe drops them when it saves.
    """

    missing: tuple[str, ...]
    extra: tuple[str, ...]


def match_weights(plan: ConvolutionPlan, model: Caffemodel) -> Weights:
    """Match the model's params with the net's, as Caffe does when it loads them.

    Raises SurgeryError where a layer to convert has no params in the model, where numbers or
    shapes of params differ, or where a new layer's name is taken in the model.
    """
    params = infer(plan.net).params
    bearing = {layer.name: layer for layer in model.layers if layer.blobs}
    refusals = [
        Refusal(move.layer, "the model has no params for it")
        for move in plan.moves
        if move.layer not in bearing
    ]
    refusals += [
        Refusal(move.target, "the model has a layer of that name", "try another --suffix")
        for move in plan.moves
        if move.target in bearing
    ]
    for name, shapes in params.items():
        found = [layer for layer in model.layers if layer.name == name and layer.blobs]
        if len(found) > 1:
            refusals.append(Refusal(name, f"the model has {len(found)} layers of that name"))
        elif found:
            refusals += _differences(name, found[0].blobs, shapes)
    refuse(model.path, refusals)
    here = {layer.name for layer in plan.net.layers}
    return Weights(
        missing=tuple(name for name in params if name not in bearing),
        extra=tuple(name for name in bearing if name not in here),
    )


def _differences(
    name: str, blobs: tuple[Blob, ...], shapes: tuple[tuple[int, ...], ...]
) -> Iterator[Refusal]:
    if len(blobs) != len(shapes):
        yield Refusal(name, f"the model has {len(blobs)} params for it, expected {len(shapes)}")
        return
    for index, (blob, shape) in enumerate(zip(blobs, shapes, strict=True)):
        # A legacy blob has four axes whatever the param has; Caffe puts ones in front.
        padded = (1,) * (4 - len(shape)) + shape if blob.legacy else shape
        if blob.shape != padded:
            yield Refusal(
                name,
                f"param {index} is {describe(blob.shape)} in the model, expected {describe(shape)}",
            )


def convolution_changes(plan: ConvolutionPlan, model: Caffemodel) -> dict[str, LayerChange]:
    """What to change in the model: layer name -> change.

    Blobs are renamed wherever they are named from the converted layer on, as in the prototxt;
    every byte that is not named here stays.
    """
    moves = {move.layer: move for move in plan.moves}
    renames: dict[str, str] = {}
    changes = {}
    for layer in model.layers:
        bottoms = tuple(renames.get(bottom, bottom) for bottom in layer.bottoms)
        move = moves.get(layer.name)
        if (move is not None and layer.blobs) or layer.name in plan.removed:
            renames |= {top: plan.renames[top] for top in layer.tops if top in plan.renames}
        tops = tuple(renames.get(top, top) for top in layer.tops)
        if move is not None and layer.blobs:
            changes[layer.name] = _convolved(layer, move, bottoms, tops)
        elif (bottoms, tops) != (layer.bottoms, layer.tops):
            changes[layer.name] = LayerChange(bottoms=bottoms, tops=tops)
    return changes


def _convolved(
    layer: ModelLayer, move: Move, bottoms: tuple[str, ...], tops: tuple[str, ...]
) -> LayerChange:
    numbers = FIELDS[layer.generation]
    weight = layer.blobs[0]
    return LayerChange(
        name=move.target,
        type="Convolution",
        bottoms=bottoms,
        tops=tops,
        shapes=move.new,
        data={0: _turned(weight)} if move.transpose else {},
        drop_fields=frozenset({numbers.inner_product_param}),
        add=delimited(numbers.convolution_param, _convolution_param(layer, move)),
    )


#: InnerProductParameter field -> ConvolutionParameter field: num_output, bias_term, the fillers.
_SAME_MEANING = {1: 1, 2: 2, 3: 7, 4: 8}
_KERNEL_SIZE, _KERNEL_H, _KERNEL_W = 4, 11, 12


def _convolution_param(layer: ModelLayer, move: Move) -> bytes:
    """The layer's own InnerProductParameter, told as a ConvolutionParameter."""
    reader = layer.reader
    number = FIELDS[layer.generation].inner_product_param
    kept = b"".join(
        varint_field(_SAME_MEANING[field.number], field.value)
        if field.wire == Wire.VARINT
        else delimited(_SAME_MEANING[field.number], reader.read(field.body, field.end))
        for old in layer.fields()
        if old.number == number
        for field in reader.fields(old.body, old.end)
        if field.number in _SAME_MEANING
    )
    _, _, height, width = move.new[0]
    if height == width:
        return kept + varint_field(_KERNEL_SIZE, height)
    return kept + varint_field(_KERNEL_H, height) + varint_field(_KERNEL_W, width)


def _turned(weight: Blob) -> Callable[[], Iterator[memoryview]]:
    """The K x O weight as O x K, a few rows at a time."""

    inputs, outputs = weight.shape[-2:]
    step = max(1, (4 << 20) // (4 * inputs))

    def rows() -> Iterator[memoryview]:
        import numpy as np

        columns = weight.numpy().reshape(inputs, outputs)
        for start in range(0, outputs, step):
            yield np.ascontiguousarray(columns[:, start : start + step].T).data.cast("B")

    return rows
