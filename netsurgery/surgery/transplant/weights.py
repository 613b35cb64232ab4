"""A transplant carried out: the target's caffemodel with blobs replaced, or layers made anew."""

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
from netsurgery.surgery.transplant.params import overlap, plain
from netsurgery.surgery.transplant.plan import Transfer, TransplantPlan

__all__ = ["model_change"]


def _layer(plan: TransplantPlan, layer: Layer) -> NewLayer:
    params = plan.target.layers.get(layer.name)
    coming = plan.coming
    blobs = []
    for index, shape in enumerate(params.shapes or () if params else ()):
        transfer = coming.get((layer.name, index))
        if transfer is not None:
            blobs.append(NewBlob(shape, _numbers(plan, transfer)))
        elif params is not None:
            blobs.append(NewBlob(shape, numbers(params.blobs[index])))
    return NewLayer(layer.name, layer.type, layer.bottoms, layer.tops, tuple(blobs))


def model_change(plan: TransplantPlan) -> ModelChange:
    """What becomes of the target's weights, or the layers of new ones where it has none."""
    model = plan.target.model
    layers = model.weights.layers if model.has_weights else ()
    there = {layer.name: bool(layer.blobs) for layer in layers}
    coming = plan.coming
    changes: dict[str, LayerChange] = {}
    added = []
    by_layer: dict[str, dict[int, Transfer]] = {}
    for (name, index), transfer in coming.items():
        by_layer.setdefault(name, {})[index] = transfer
    for name, came in by_layer.items():
        made = _layer(plan, plan.target.net.layer(name))
        if name not in there:
            added.append(made)
        elif there[name]:
            changes[name] = LayerChange(data={i: _numbers(plan, t) for i, t in came.items()})
        else:
            changes[name] = LayerChange(blobs=made.blobs)
    return ModelChange(plan.target.net, changes, added)


def _numbers(plan: TransplantPlan, transfer: Transfer) -> FileRange | Chunks:
    """The numbers as the target keeps them: a range of the source's file where they are one."""
    assert transfer.source is not None
    assert transfer.target is not None
    (name, index), (goal, place) = transfer.source, transfer.target
    old, new = plan.source.layers[name], plan.target.layers[goal]
    blob = old.blobs[index]
    weight = index == 0
    if transfer.verdict == "reordered":
        assert old.columns is not None
        assert new.columns is not None
        columns = partial(to_order, old.columns, new.columns)
        matrix = _matrix(transfer.old or ())
        return gathered(blob, matrix, columns, turned=(old.turned, new.turned))
    if transfer.verdict == "turned":
        return transposed(blob, _matrix(transfer.old or ()))
    if transfer.verdict == "sliced":
        flags = old.turned and weight, new.turned and weight
        shapes = transfer.old or (), transfer.new or ()
        return _sliced(blob, new.blobs[place], shapes, flags)
    return numbers(blob)


def _matrix(shape: Shape) -> tuple[int, int]:
    """How to see a weight that is turned: K x O as it is, O x C x H x W with O rows."""
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
        seen, wanted = (
            array.T if flag and array.ndim > 1 else array
            for array, flag in zip((values, result), flags, strict=True)
        )
        found = overlap(plain(shapes[0], flags[0]), plain(shapes[1], flags[1]))
        assert found is not None
        view, box = found
        common = tuple(slice(size) for size in box)
        wanted[common] = seen.reshape(view)[common]
        return [result.reshape(-1).data.cast("B")]

    return chunks
