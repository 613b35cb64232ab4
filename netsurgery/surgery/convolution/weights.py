"""InnerProduct layers rewritten as Convolution layers: the caffemodel.

The weights are moved, not computed: O x (C*H*W) and O x C x H x W are the same bytes. Only a
weight that is kept K x O (``transpose: true``) is turned on the way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from netsurgery.formats.caffemodel import FIELDS, ModelLayer
from netsurgery.formats.caffemodel_new import Chunks, NewBlob, NewLayer
from netsurgery.formats.caffemodel_write import LayerChange
from netsurgery.formats.weights import WeightsBlob, WeightsFile, WeightsLayer, numbers
from netsurgery.io.wire import Wire, delimited, varint_field
from netsurgery.io.wording import argument, counted
from netsurgery.net import types
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.param_fit import ParamMismatch
from netsurgery.surgery.columns import gathered, to_natural, transposed
from netsurgery.surgery.convolution.plan import ConvolutionPlan, ParamMove
from netsurgery.surgery.plan import Refusal, refuse

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["WeightsMatch", "added_layers", "convolution_changes", "match_weights", "new_params"]


class WeightsMatch(NamedTuple):
    """How the layers of a caffemodel and of a net match, by name.

    missing: layers of the net that have no params in the model, but share those of one that has.
    extra: layers of the model with params that are not in the net; Caffe drops them when it saves.
    unfit: layers that stay as they are and whose params in the model are not those of the net;
    Caffe loads no such model.
    """

    missing: tuple[str, ...]
    extra: tuple[str, ...]
    unfit: tuple[ParamMismatch, ...] = ()

    @property
    def notes(self) -> list[str]:
        """What to say of the layers in `unfit`."""
        return [
            f"layer {mismatch.layer!r}: {'; '.join(mismatch.reasons())}: kept as it is in the model"
            for mismatch in self.unfit
        ]


def match_weights(plan: ConvolutionPlan, model: NetWithWeights) -> WeightsMatch:
    """Match the model's params with the net's, as Caffe does when it loads them.

    Raises NetError where the model lacks a layer's params or is of another net, SurgeryError where
    the params of a layer to convert are not the net's, and where a new layer's name is taken.
    """
    fit = model.fit_at(plan.shapes)
    model.refuse_lacking(fit.expected)
    names = [layer.name for layer in model.weights.layers if layer.blobs]
    moved = {move.layer for move in plan.moves}
    refusals = [
        Refusal(name, "the model has its params under another layer's name only")
        for name in fit.sharing
        if name in moved
    ]
    for move in plan.moves:
        # Its params are stored under the name of a layer that shares them.
        if move.layer not in model.stored:
            continue
        if names.count(move.layer) > 1:
            many = f"the model has {counted(names.count(move.layer), 'layer')} of that name"
            refusals.append(Refusal(move.layer, many))
        elif move.layer in fit.mismatches:
            reasons = fit.mismatches[move.layer].reasons()
            refusals += [Refusal(move.layer, reason) for reason in reasons]
        if move.target in model.stored:
            taken = "the model has a layer of that name"
            refusals.append(Refusal(move.target, taken, f"try another {argument('--suffix')}"))
    refuse(model.path, list(dict.fromkeys(refusals)))
    return WeightsMatch(fit.sharing, model.extra, tuple(fit.mismatches.values()))


def convolution_changes(plan: ConvolutionPlan, model: WeightsFile) -> dict[str, LayerChange]:
    """What to change in the model: layer name -> change.

    Blobs are renamed wherever they are named from the converted layer on, as in the prototxt;
    every byte that is not named here stays.
    """
    moves = {move.layer: move for move in reversed(plan.moves)}  # the first of a split layer
    parts = Counter(move.layer for move in plan.moves)
    renames: dict[str, str] = {}
    changes = {}
    for layer in model.layers:
        bottoms = tuple(renames.get(bottom, bottom) for bottom in layer.bottoms)
        move = moves.get(layer.name)
        if (move is not None and layer.blobs) or layer.name in plan.removed:
            renames |= {top: plan.renames[top] for top in layer.tops if top in plan.renames}
        tops = tuple(renames.get(top, top) for top in layer.tops)
        if move is not None and layer.blobs and parts[layer.name] > 1:
            changes[layer.name] = _branch(plan, layer, move)
        elif move is not None and layer.blobs:
            changes[layer.name] = _convolved(layer, move, bottoms, tops)
        elif (bottoms, tops) != (layer.bottoms, layer.tops):
            changes[layer.name] = LayerChange(bottoms=bottoms, tops=tops)
    return changes


def added_layers(plan: ConvolutionPlan, model: WeightsFile) -> list[NewLayer]:
    """The layers that the model lacks: of every split InnerProduct all branches but the first, and
    the layers that upsample the map."""
    seen: set[str] = set()
    added = []
    for move in plan.moves:
        if move.layer in seen:
            new = plan.new.layer(move.target)
            blobs = _branch_blobs(model.layer(move.layer), move)
            added.append(NewLayer(new.name, new.type, new.bottoms, new.tops, blobs))
        seen.add(move.layer)
    for name, params in new_params(plan).items():
        new = plan.new.layer(name)
        blobs = tuple(NewBlob(param.shape, partial(_bytes_of, param)) for param in params)
        added.append(NewLayer(new.name, new.type, new.bottoms, new.tops, blobs))
    return added


def new_params(plan: ConvolutionPlan) -> dict[str, tuple[NDArray[np.float32], ...]]:
    """The params of the layers that upsample the map, which no layer of the old net became."""
    layers = [each for fusion in plan.fusions for each in (fusion.scores, fusion.upsampling)]
    last = [] if plan.upsampling is None else [plan.upsampling]
    return {layer.layer: layer.params for layer in (*layers, *last)}


def _bytes_of(param: NDArray[np.float32]) -> Iterator[memoryview]:
    yield param.reshape(-1).data.cast("B")


def _branch(plan: ConvolutionPlan, layer: WeightsLayer, move: ParamMove) -> LayerChange:
    """A split InnerProduct as its first branch."""
    new = plan.new.layer(move.target)
    return LayerChange(
        name=move.target,
        type=new.type,
        bottoms=new.bottoms,
        tops=new.tops,
        blobs=_branch_blobs(layer, move),
        messages=_messages(layer, move) if isinstance(layer, ModelLayer) else {},
    )


def _branch_blobs(layer: WeightsLayer, move: ParamMove) -> tuple[NewBlob, ...]:
    weight, *others = layer.blobs
    first = NewBlob(move.new[0], _data(weight, move)[0])
    # Of a split layer only the first branch has the bias: the others' shapes end before it.
    more = zip(move.new[1:], others, strict=False)
    return (first, *(NewBlob(shape, numbers(blob)) for shape, blob in more))


def _convolved(
    layer: WeightsLayer, move: ParamMove, bottoms: tuple[str, ...], tops: tuple[str, ...]
) -> LayerChange:
    weight = layer.blobs[0]
    return LayerChange(
        name=move.target,
        type=types.CONVOLUTION.name,
        bottoms=bottoms,
        tops=tops,
        shapes=move.new,
        data=_data(weight, move),
        messages=_messages(layer, move) if isinstance(layer, ModelLayer) else {},
    )


def _messages(layer: ModelLayer, move: ParamMove) -> dict[int, bytes | None]:
    fields = FIELDS[layer.generation]
    return {
        fields.inner_product_param: None,
        fields.convolution_param: _convolution_param(layer, move),
    }


def _data(weight: WeightsBlob, move: ParamMove) -> dict[int, Chunks]:
    """The new numbers of the weight, where they are not the old ones as they lie."""
    # The last two axes: old files store the weight as 1 x 1 x O x K.
    inputs, outputs = weight.shape[-2:] if move.transpose else weight.shape[-2:][::-1]
    if move.columns is not None:
        order, matrix = move.columns, (inputs, outputs) if move.transpose else (outputs, inputs)
        columns = partial(to_natural, order, move.first)
        return {0: gathered(weight, matrix, columns, turned=(move.transpose, False))}
    return {0: transposed(weight, (inputs, outputs))} if move.transpose else {}


#: InnerProductParameter field -> ConvolutionParameter field: num_output, bias_term, the fillers.
_SAME_MEANING = {1: 1, 2: 2, 3: 7, 4: 8}
#: Fields of ConvolutionParameter (caffe.proto): for both sides, for the height, for the width.
_KERNEL_SIZE, _KERNEL_H, _KERNEL_W = 4, 11, 12
_STRIDE = (6, 13, 14)


def _convolution_param(layer: ModelLayer, move: ParamMove) -> bytes:
    """The layer's own InnerProductParameter, rewritten as a ConvolutionParameter."""
    reader = layer.reader
    number = FIELDS[layer.generation].inner_product_param
    fields = b"".join(
        varint_field(_SAME_MEANING[field.number], field.value)
        if field.wire == Wire.VARINT
        else delimited(_SAME_MEANING[field.number], reader.read(field.body, field.end))
        # protobuf merges a message that comes several times, so all of them count.
        for old in layer.fields()
        if old.number == number
        for field in reader.fields(old.body, old.end)
        if field.number in _SAME_MEANING
    )
    kernel = _pair(move.new[0][2:], _KERNEL_SIZE, _KERNEL_H, _KERNEL_W)
    return fields + kernel + (b"" if move.stride == (1, 1) else _pair(move.stride, *_STRIDE))


def _pair(sides: tuple[int, ...], both: int, vertical: int, horizontal: int) -> bytes:
    height, width = sides
    if height == width:
        return varint_field(both, height)
    return varint_field(vertical, height) + varint_field(horizontal, width)
