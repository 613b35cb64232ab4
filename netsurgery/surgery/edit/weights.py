"""What an edit changes in the weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from netsurgery.formats.caffemodel import FIELDS, ModelLayer
from netsurgery.formats.caffemodel_new import Chunks, NewBlob, NewLayer
from netsurgery.formats.caffemodel_write import LayerChange
from netsurgery.formats.weights import WeightsLayer, numbers, stored_shape
from netsurgery.io.wire import varint_field
from netsurgery.net import types
from netsurgery.surgery.edit.session import EditSession

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

__all__ = ["added_layers", "layer_changes"]


def layer_changes(work: EditSession) -> dict[str, LayerChange]:
    """Layer of the model -> what becomes of it; layers that stay are not in it."""
    changed = work.changed()
    tops = _new_tops(work)
    changes = {}
    for layer in work.model.weights.layers:
        name = layer.name
        if name in work.removed:
            changes[name] = LayerChange(remove=True)
        elif name in changed or name in tops or name in work.fields:
            arrays = changed.get(name, {})
            same = _same_sizes(work, layer, arrays)
            changes[name] = LayerChange(
                tops=tops.get(name),
                data={i: _chunks(array) for i, array in arrays.items()} if same else {},
                blobs=None if same else _all_blobs(work, layer, arrays),
                messages=_record(layer, work.fields.get(name, {})),
            )
    return changes


def added_layers(work: EditSession) -> tuple[NewLayer, ...]:
    """The layers of the net that are added to the model, in the order in which they came."""
    layers = [work.layer(name) for name in work.added]
    return tuple(
        NewLayer(layer.name, layer.type, layer.bottoms, layer.tops, _new_blobs(work, layer.name))
        for layer in layers
    )


def _new_blobs(work: EditSession, layer: str) -> tuple[NewBlob, ...]:
    arrays = [work.peek(layer, index) for index in range(work.count(layer))]
    return tuple(NewBlob(array.shape, _chunks(array)) for array in arrays)


def _new_tops(work: EditSession) -> dict[str, tuple[str, ...]]:
    """Layers whose tops have new names, and are in the model as they were in the net."""
    old = {layer.name: layer.tops for layer in work.model.net.layers}
    new = {layer.name: layer.tops for layer in work.net.layers}
    return {
        layer.name: new[layer.name]
        for layer in work.model.weights.layers
        if layer.name in new and layer.tops == old.get(layer.name) != new[layer.name]
    }


def _same_sizes(work: EditSession, layer: WeightsLayer, arrays: Mapping[int, Array]) -> bool:
    for index, array in arrays.items():
        if index >= len(layer.blobs) or layer.blobs[index].count != array.size:
            return False
        # Who shares another layer's param has it in a shape of its own.
        own = (layer.name, index) in work.arrays
        blob = layer.blobs[index]
        if own and blob.shape != stored_shape(blob, array.shape):
            return False
    return True


def _all_blobs(
    work: EditSession, layer: WeightsLayer, arrays: Mapping[int, Array]
) -> tuple[NewBlob, ...]:
    """Every blob of the layer: those that are new or resized, and the rest as they are.

    Blobs of old files have four axes whatever their param has: they get the net's shapes.
    """
    count = max(len(layer.blobs), *(index + 1 for index in arrays))
    blobs = []
    for index in range(count):
        if index in arrays:
            blobs.append(NewBlob(arrays[index].shape, _chunks(arrays[index])))
            continue
        blob = layer.blobs[index]
        shapes = work.shapes.params.get(layer.name, ()) if blob.legacy else ()
        shape = shapes[index] if index < len(shapes) else blob.shape
        blobs.append(NewBlob(shape, numbers(blob)))
    return tuple(blobs)


def _chunks(array: Array) -> Chunks:
    def chunks() -> Iterator[memoryview]:
        import numpy as np

        yield np.ascontiguousarray(array, dtype="<f4").reshape(-1).data.cast("B")

    return chunks


def _record(layer: WeightsLayer, fields: Mapping[int, tuple[int, ...]]) -> dict[int, bytes]:
    """The layer's own message with some of its numbers changed, where it has one."""
    if not isinstance(layer, ModelLayer) or not fields:
        return {}
    record = types.record(layer.type)
    message = "" if record is None else record.message or ""
    number = FIELDS[layer.generation]._asdict().get(message)
    if number is None:
        return {}
    reader = layer.reader
    unchanged = [
        reader.read(field.start, field.end)
        for old in layer.fields()
        if old.number == number
        for field in reader.fields(old.body, old.end)
        if field.number not in fields
    ]
    # Caffe reads none of it (net.cpp, CopyTrainedLayersFrom): what was left out stays so.
    if not any(old.number == number for old in layer.fields()):
        return {}
    new = [varint_field(key, value) for key, values in fields.items() for value in values]
    return {number: b"".join([*new, *unchanged])}
