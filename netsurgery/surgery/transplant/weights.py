"""What a transplant writes: the target's caffemodel with blobs replaced, or new layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import prod

from netsurgery.formats.caffemodel_new import Chunks, NewBlob, NewLayer
from netsurgery.formats.caffemodel_write import LayerChange
from netsurgery.formats.weights import WeightsBlob, numbers
from netsurgery.io.memory import empty
from netsurgery.io.segments import FileRange
from netsurgery.net.net import Layer, Shape
from netsurgery.net.write_weights import ModelChange
from netsurgery.surgery.columns import gathered, to_order, transposed
from netsurgery.surgery.transplant.params import overlap, untransposed
from netsurgery.surgery.transplant.plan import Transfer, TransplantPlan

__all__ = ["model_change"]


def _new_layer(plan: TransplantPlan, layer: Layer) -> NewLayer:
    params = plan.target.layers.get(layer.name)
    matched = plan.matched
    blobs = []
    for index, shape in enumerate(params.shapes or () if params else ()):
        transfer = matched.get((layer.name, index))
        if transfer is not None:
            blobs.append(NewBlob(shape, _numbers(plan, transfer)))
        elif params is not None:
            blobs.append(NewBlob(shape, numbers(params.blobs[index])))
    return NewLayer(layer.name, layer.type, layer.bottoms, layer.tops, tuple(blobs))


def model_change(plan: TransplantPlan) -> ModelChange:
    """What becomes of the target's weights, or the layers of new ones where it has none."""
    model = plan.target.model
    layers = model.weights.layers if model.has_weights else ()
    stored = {layer.name: bool(layer.blobs) for layer in layers}
    changes: dict[str, LayerChange] = {}
    added = []
    by_layer: dict[str, dict[int, Transfer]] = {}
    for (name, index), transfer in plan.matched.items():
        by_layer.setdefault(name, {})[index] = transfer
    for name, transfers in by_layer.items():
        layer = _new_layer(plan, plan.target.net.layer(name))
        if name not in stored:
            added.append(layer)
        elif stored[name]:
            changes[name] = LayerChange(data={i: _numbers(plan, t) for i, t in transfers.items()})
        else:
            # The model names the layer and has no blobs of it: it gets them all.
            changes[name] = LayerChange(blobs=layer.blobs)
    return ModelChange(plan.target.net, changes, added)


def _numbers(plan: TransplantPlan, transfer: Transfer) -> FileRange | Chunks:
    """The numbers as the target stores them: a range of the source's file where possible."""
    assert transfer.source is not None
    assert transfer.target is not None
    (name, index), (goal, place) = transfer.source, transfer.target
    old, new = plan.source.layers[name], plan.target.layers[goal]
    blob = old.blobs[index]
    weight = index == 0
    if transfer.outcome == "reordered":
        assert old.columns is not None
        assert new.columns is not None
        columns = partial(to_order, old.columns, new.columns)
        matrix = _matrix(transfer.old or ())
        return gathered(blob, matrix, columns, turned=(old.transposed, new.transposed))
    if transfer.outcome == "transposed":
        return transposed(blob, _matrix(transfer.old or ()))
    if transfer.outcome == "sliced":
        flags = old.transposed and weight, new.transposed and weight
        shapes = transfer.old or (), transfer.new or ()
        return _sliced(blob, new.blobs[place], shapes, flags)
    return numbers(blob)


def _matrix(shape: Shape) -> tuple[int, int]:
    """The shape to transpose a weight in: K x O as it is, O x C x H x W with O rows."""
    return (shape[0], prod(shape[1:])) if len(shape) != 2 else (shape[0], shape[1])


def _sliced(
    blob: WeightsBlob,
    rest: WeightsBlob,
    shapes: tuple[Shape, Shape],
    flags: tuple[bool, bool],
) -> Callable[[], Sequence[memoryview]]:
    """The target's own numbers, with the source's where the two overlap, from the first on."""

    def chunks() -> Sequence[memoryview]:
        values = blob.numpy().reshape(shapes[0])
        result = empty(shapes[1], "<f4", f"{rest.reader.path}: a copy of {rest.where}")
        result[...] = rest.numpy().reshape(shapes[1])
        source, target = (
            # A view: what is written into it lands in `result` as the target stores it.
            array.T if flag and array.ndim > 1 else array
            for array, flag in zip((values, result), flags, strict=True)
        )
        overlapping = overlap(untransposed(shapes[0], flags[0]), untransposed(shapes[1], flags[1]))
        assert overlapping is not None
        view, corner = overlapping
        common = tuple(slice(size) for size in corner)
        target[common] = source.reshape(view)[common]
        return [result.reshape(-1).data.cast("B")]

    return chunks
