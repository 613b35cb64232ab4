"""InnerProduct layers rewritten as Convolution layers: the caffemodel.

The weights are moved, not computed: O x (C*H*W) and O x C x H x W are the same bytes. Only a
weight that is kept K x O (``transpose: true``) is turned on the way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from netsurgery.formats.caffemodel import FIELDS, Caffemodel, ModelLayer
from netsurgery.formats.caffemodel_new import NewBlob, NewLayer
from netsurgery.formats.caffemodel_write import LayerChange
from netsurgery.formats.prototxt import Prototxt
from netsurgery.formats.weights import WeightsBlob, WeightsFile, WeightsLayer, numbers
from netsurgery.io.wire import Wire, delimited, varint_field
from netsurgery.net.known_fields import suspect
from netsurgery.net.net import Net
from netsurgery.net.shapes import infer
from netsurgery.surgery.convolution.plan import ConvolutionPlan, Move
from netsurgery.surgery.plan import Refusal, refuse
from netsurgery.surgery.transplant.params import differences
from netsurgery.surgery.transplant.weights import kept_layer, turned

__all__ = ["Weights", "convolution_changes", "convolved_layers", "match_weights"]


@dataclass(frozen=True)
class Weights:
    """How the layers of a caffemodel and of a net match, by name.

    missing: layers of the net with params that the model has not; Caffe leaves theirs to fillers.
    extra: layers of the model with params that the net has not; Caffe drops them when it saves.
    """

    missing: tuple[str, ...]
    extra: tuple[str, ...]


def match_weights(plan: ConvolutionPlan, model: WeightsFile) -> Weights:
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
            blame = suspect(plan.net, name)
            refusals += [
                replace(one, reason=one.reason + blame)
                for one in differences(name, found[0].blobs, shapes, "the model")
            ]
    refuse(model.path, refusals)
    here = {layer.name for layer in plan.net.layers}
    return Weights(
        missing=tuple(name for name in params if name not in bearing),
        extra=tuple(name for name in bearing if name not in here),
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
        data={0: turned(weight, _matrix(weight))} if move.transpose else {},
        messages={
            numbers.inner_product_param: None,
            numbers.convolution_param: _convolution_param(layer, move),
        },
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


def _matrix(weight: WeightsBlob) -> tuple[int, int]:
    """K x O; a legacy blob has ones before them."""
    inputs, outputs = weight.shape[-2:]
    return inputs, outputs


def convolved_layers(plan: ConvolutionPlan, model: WeightsFile) -> list[NewLayer]:
    """The layers of a file made anew, as HDF5 has to be where it is read or written.

    In the new net's order, then those of the model that the net has not; without those the model
    has not.
    """
    net = Net.of(Prototxt.parse(plan.text), plan.net.state)
    params = infer(plan.net).params
    moves = {move.target: move for move in plan.moves}
    bearing = [layer for layer in model.layers if layer.blobs]
    there = {layer.name: layer for layer in [*model.layers, *bearing]}
    layers = []
    for layer in net.layers:
        move = moves.get(layer.name)
        old = there.get(layer.name if move is None else move.layer)
        if old is not None and (old.blobs or layer.name not in params):
            shapes = params.get(layer.name) if move is None else move.new
            blobs = _new_blobs(old, shapes, move is not None and move.transpose)
            layers.append(NewLayer(layer.name, layer.type, layer.bottoms, layer.tops, blobs))
    here = {layer.name for layer in plan.net.layers}
    return [*layers, *(kept_layer(layer) for layer in bearing if layer.name not in here)]


def _new_blobs(
    layer: WeightsLayer, shapes: tuple[tuple[int, ...], ...] | None, transpose: bool
) -> tuple[NewBlob, ...]:
    wanted = shapes or tuple(blob.shape for blob in layer.blobs)
    return tuple(
        NewBlob(shape, turned(blob, _matrix(blob)) if transpose and not index else numbers(blob))
        for index, (shape, blob) in enumerate(zip(wanted, layer.blobs, strict=True))
    )
