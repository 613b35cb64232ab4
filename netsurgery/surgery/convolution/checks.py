"""What has to hold of a converted net before and after the rewriting."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from netsurgery.errors import SurgeryError
from netsurgery.io.shape_text import shape_text
from netsurgery.io.wording import argument, counted
from netsurgery.net import types
from netsurgery.net.net import Layer, NetDefinition, Shape
from netsurgery.net.shapes import Shapes, ShapesAt, has_rule
from netsurgery.net.types import keeps_turned
from netsurgery.surgery.convolution.analysis import Analysis
from netsurgery.surgery.convolution.text import branch_names
from netsurgery.surgery.plan import Refusal, refuse

__all__ = ["check_names", "ensure_same", "fork_layers", "unknown_types"]


def check_names(net: NetDefinition, analysis: Analysis, suffix: str) -> None:
    """Refuse a suffix that is empty or leads to a name that is taken. Raises SurgeryError."""
    if not suffix:
        raise SurgeryError("the suffix is empty: Caffe would load the old params by name")
    # Of all states, as all read one model.
    layers = net.prototxt.layer_names
    # Tops get the new names too, and Caffe takes no two blobs of one name (net.cpp, AppendTop).
    blobs = net.blob_names.keys() | net.blobs_elsewhere.keys()
    new = [(each.layer, [each.layer.name + suffix]) for each in analysis.converted]
    for split in analysis.splits:
        new.append((split.layer, [split.layer.name + suffix, *branch_names(split, suffix)]))
    refusals = []
    for layer, names in new:
        # Caffe loads params into the first layer of their name (net.cpp, CopyTrainedLayersFrom).
        if len(net.named(layer.name)) > 1:
            refusals.append(Refusal(layer.name, "another layer has the same name"))
        for name in names:
            taken = "layer" if name in layers else "blob" if name in blobs else ""
            if taken:
                why = f"a {taken} named {name!r} is there already"
                refusals.append(Refusal(layer.name, why, f"try another {argument('--suffix')}"))
    refuse(net.prototxt.path, refusals)


def unknown_types(net: NetDefinition) -> list[str]:
    """What is taken for granted of layers in place whose types are not known."""
    return [
        f"layer {layer.name!r} is of type {layer.type}, which is not known: it is kept as it is, "
        "and taken to do the same at every position, as it works in place"
        for layer in net.layers
        if layer.in_place and not has_rule(layer)
    ]


def fork_layers(net: NetDefinition) -> list[str]:
    """Layers with params that are called as Caffe's own type, and are a fork's."""
    notes = []
    for layer in net.layers:
        record, own = types.of(layer), types.record(layer.type)
        if record is None or own is None or record is own or not types.params(layer):
            continue
        notes.append(
            f"layer {layer.name!r} is {record.origin}'s {layer.type}, with "
            f"{counted(len(types.params(layer) or ()), 'param')}, which "
            f"{own.origin} does not load: it is "
            "kept as it is"
        )
    return notes


def ensure_same(
    net: NetDefinition,
    shapes_at: ShapesAt,
    analysis: Analysis,
    old: Shapes,
    renames: Mapping[str, str],
) -> None:
    """At the original size every blob is as it was, but for what was flat and is a map now.

    shapes_at: of the new net, its inputs unchanged. Raises SurgeryError.
    """
    new = shapes_at()
    path = net.prototxt.path
    shuffling = [layer for shuffle in analysis.shuffles for layer in shuffle.layers]
    counted = {
        *analysis.flat,
        *(top for layer in analysis.argmaxes + shuffling for top in layer.tops),
    }
    joined = {top for split in analysis.splits for concat in split.concats for top in concat.tops}
    for blob, before in old.blobs.items():
        if blob in joined:
            continue  # is no more
        after = new.blobs.get(renames.get(blob, blob))
        # An InnerProduct's N x K is N x K x 1 x 1 of the Convolution.
        same = after in (before, (*before, 1, 1))
        if not same and (blob not in counted or after is None or prod(after) != prod(before)):
            would = "nothing known" if after is None else shape_text(after)
            why = f"blob {blob!r} was {shape_text(before)} and would be {would}"
            writer = net.last_writer(blob)
            refuse(path, [] if writer is None else [Refusal(writer.name, why)])
            raise SurgeryError(f"{path}: {why}")
    renamed = {layer.name for layer in analysis.renamed}
    changed = [
        Refusal(layer, "its params would change their shape")
        for layer, shapes in old.params.items()
        if layer not in renamed and new.params.get(layer) != shapes
    ]
    refuse(path, changed + _torn(shapes_at.net, new) + _turned_alone(net, analysis))


def _torn(new_net: NetDefinition, shapes: Shapes) -> list[Refusal]:
    """Params shared by name between layers that would now have them in different shapes."""
    first: dict[str, tuple[str, Shape]] = {}
    refusals = []
    for layer in new_net.layers:
        mine = shapes.params.get(layer.name, ())
        for index, (name, shape) in enumerate(zip(layer.param_names, mine, strict=False)):
            # With the first of the name, the owner, Caffe compares each (net.cpp, AppendParam).
            owner, theirs = first.setdefault(name, (layer.name, shape))
            # With share_mode PERMISSIVE Caffe compares counts only.
            if layer.shares_by_count(index) and prod(theirs) == prod(shape):
                continue
            if name and theirs != shape:
                ours = f"param {name!r} would be {shape_text(shape)} here"
                why = f"{ours} and {shape_text(theirs)} there"
                refusals.append(Refusal(layer.name, f"{why}, in layer {owner!r} that shares it"))
    return refusals


def _turned_alone(net: NetDefinition, analysis: Analysis) -> list[Refusal]:
    """Weights kept K x O, and so turned on the way, that a layer shares in which they are not."""
    turned = {each.layer for each in analysis.converted if keeps_turned(each.layer)}
    sharers: dict[str, list[tuple[Layer, int]]] = {}
    for layer in net.layers:
        for index, name in enumerate(layer.param_names):
            sharers.setdefault(name, []).append((layer, index))
    return [
        Refusal(
            layer.name,
            f"its weight {name!r} has to be turned (transpose: true), and layer {sharer.name!r}, "
            "which shares it, needs it as it is",
        )
        for layer in net.layers
        if layer in turned
        for name in layer.param_names[:1]
        for sharer, index in sharers[name]
        # Of a sharer that is turned too, only its weight (index 0) is.
        if name and (sharer not in turned or index)
    ]
