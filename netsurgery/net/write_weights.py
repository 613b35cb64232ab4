"""A model written: the weights of a net, as a surgery changes them.

Where a caffemodel becomes a caffemodel all that is not changed is copied byte for byte. To or from
HDF5 the file is written from scratch. Either way what was written is read back, and no caffemodel
is written that Caffe could not read for its size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from netsurgery.formats.caffemodel import Caffemodel
from netsurgery.formats.caffemodel_new import NewBlob, NewLayer, layer_segments
from netsurgery.formats.caffemodel_write import (
    ExpectedLayer,
    LayerChange,
    check_written,
    planned,
    rewrite,
)
from netsurgery.formats.weights import (
    WeightsLayer,
    check_size,
    is_hdf5_name,
    numbers,
    write_weights,
)
from netsurgery.io.files import OutputFile
from netsurgery.net.net import NetDefinition, Shape
from netsurgery.net.net_with_weights import NetWithWeights

__all__ = ["ModelChange", "write_model"]


@dataclass(frozen=True)
class ModelChange:
    """What becomes of a model.

    net: the net that the new weights are of. layers: layer of the weights -> what becomes of it;
    the others stay. added: layers that the weights lack.
    """

    net: NetDefinition
    layers: Mapping[str, LayerChange] = field(default_factory=dict)
    added: Sequence[NewLayer] = ()


def write_model(
    output: OutputFile,
    model: NetWithWeights,
    change: ModelChange,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write the changed weights: HDF5 if the output's name ends in .h5; returns the bytes written.

    The model may have no weights; then all are `added`. progress: called with the bytes written
    and those in all. Raises OutputError, CaffemodelError where the model's file has changed since
    it was opened.
    """
    source = model.weights if model.has_weights else None
    renamed = change.net.name if change.net.name != model.net.name else None
    if isinstance(source, Caffemodel) and not is_hdf5_name(output.path):
        written = _rewrite(output, source, change, renamed, progress)
    else:
        name = renamed or (source.net_name if source is not None else "") or change.net.name
        layers = list(_all_layers(model, change))
        written = write_weights(output, layers, net_name=name, progress=progress)
    # After the copying, so that a change during it is seen too.
    model.check_unchanged()
    return written


def _rewrite(
    output: OutputFile,
    source: Caffemodel,
    change: ModelChange,
    net_name: str | None,
    progress: Callable[[int, int], None] | None,
) -> int:
    segments = rewrite(source, change.layers, net_name)
    expected = list(planned(source, change.layers))
    for layer in change.added:
        segments += layer_segments(layer, source.generation)
        shapes = tuple(blob.shape for blob in layer.blobs)
        expected.append(ExpectedLayer(layer.name, layer.type, layer.bottoms, layer.tops, shapes))
    check_size(segments, output.path)
    written = output.write_segments(segments, progress)
    check_written(output.temporary, expected)
    return written


def _all_layers(model: NetWithWeights, change: ModelChange) -> Iterator[NewLayer]:
    """The layers of a file written from scratch: in the new net's order, then those not in it.

    Caffe loads all of a layer's params or none, so a layer of which there are none is left out.
    """
    stored = _by_new_name(model, change)
    added = {layer.name: layer.blobs for layer in change.added}
    names: set[str] = set()
    for layer in change.net.layers:
        if layer.name in names:
            continue  # Caffe would load what a second layer of a name has into the first
        names.add(layer.name)
        source = stored.get(layer.name)
        blobs = added.get(layer.name) or (() if source is None else _blobs(model, *source))
        expected = model.fit.expected.get(layer.name)
        # Without params a layer is written too, as Caffe's snapshots have it; not one that lacks
        # its own, and of an unknown type only what the old file had.
        if blobs or expected == () or (expected is None and source is not None):
            yield NewLayer(layer.name, layer.type, layer.bottoms, layer.tops, blobs)
    for name, (old, new) in stored.items():
        if name not in names and old.blobs:
            bottoms, tops = new.bottoms or old.bottoms, new.tops or old.tops
            yield NewLayer(name, new.type or old.type, bottoms, tops, _blobs(model, old, new))


def _by_new_name(
    model: NetWithWeights, change: ModelChange
) -> dict[str, tuple[WeightsLayer, LayerChange]]:
    """New name -> the layer in the weights and what becomes of it; of several, one with params."""
    by_name: dict[str, tuple[WeightsLayer, LayerChange]] = {}
    for layer in model.weights.layers if model.has_weights else ():
        new = change.layers.get(layer.name, LayerChange())
        name = new.name or layer.name
        if not new.remove and (layer.blobs or name not in by_name):
            by_name[name] = (layer, new)
    return by_name


def _blobs(model: NetWithWeights, layer: WeightsLayer, change: LayerChange) -> tuple[NewBlob, ...]:
    """The layer's blobs as changed, of the net's own shapes where they are the net's."""
    if change.blobs is not None:
        return change.blobs
    if not layer.blobs:
        return ()
    shapes: list[Shape] = [blob.shape for blob in layer.blobs]
    known = model.fit.expected.get(layer.name)
    if known is not None and layer.name not in model.fit.mismatches:
        shapes = [own if of is None else of for of, own in zip(known, shapes, strict=True)]
    for index, shape in enumerate(change.shapes):
        shapes[index] = shapes[index] if shape is None else shape
    return tuple(
        NewBlob(shape, change.data.get(index) or numbers(blob))
        for index, (shape, blob) in enumerate(zip(shapes, layer.blobs, strict=True))
    )
