"""The layers of a prototxt, or of a caffemodel, as records to compare."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field

from netsurgery.errors import NetsurgeryError, PrototxtError
from netsurgery.formats.prototxt import Prototxt
from netsurgery.formats.textformat import Message, SourceText
from netsurgery.formats.upgrade.text import to_v1
from netsurgery.formats.upgrade.v1 import SPEC_FIELDS
from netsurgery.formats.weights import WeightsFile, WeightsLayer
from netsurgery.net import types
from netsurgery.net.inputs import with_own_shapes
from netsurgery.net.layer import Layer, read_layer
from netsurgery.net.net import NetDefinition
from netsurgery.net.shapes import infer
from netsurgery.net.state import TEST, NetState
from netsurgery.surgery.difference.fields import Tree, field_tree, text_of
from netsurgery.surgery.difference.meaning import LayerView, layer_meaning, spelled

__all__ = ["LayerRecord", "layer_records", "model_records", "turned_layers"]

_TOLD_APART = frozenset({"name", "type", "bottom", "top"})


@dataclass(frozen=True, eq=False)
class LayerRecord:
    """One layer; `type` is Caffe 1.0's name for it.

    fields: all but name, type, bottoms and tops. params: the counts of its params, where known.
    declared: it is not a layer in the text but the net's own ``input`` fields. keeps_values: it
    passes on the same numbers in the same order.
    """

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    fields: Tree = field(default_factory=dict)
    params: tuple[int, ...] = ()
    declared: bool = False
    keeps_values: bool = False

    @property
    def rules(self) -> str:
        """Its include and exclude rules as text, "{ }" for none."""
        return text_of({k: v for k, v in self.fields.items() if k in ("include", "exclude")})


def layer_records(
    net: Prototxt,
    params: Mapping[str, tuple[int, ...]] | None = None,
    strict: bool = False,
    state: NetState = TEST,
) -> tuple[LayerRecord, ...]:
    """The layers of a prototxt (V1 or V2), those of every phase, its own inputs first.

    params: layer -> the counts of its params. strict: their fields as they are written, else what
    they mean. state: in which blobs have the shapes by which axes are counted. Raises PrototxtError
    for a value that cannot be read.
    """
    counts = params or {}
    axes = functools.cache(functools.partial(_axes, net, state))
    records = [_declared(net.root)] if net.root.all("input") else []
    for message in net.layers:
        layer = read_layer(0, message, net.generation)
        fields = spelled(_per_param(field_tree(message, _TOLD_APART)))
        if not strict:
            fields = layer_meaning(fields, LayerView(layer.type, message.start, axes))
        records.append(
            LayerRecord(
                name=layer.name,
                type=layer.type,
                bottoms=layer.bottoms,
                tops=layer.tops,
                fields=fields,
                params=counts.get(layer.name, ()),
                keeps_values=types.keeps_values(layer),
            )
        )
    return tuple(records)


def turned_layers(net: Prototxt) -> frozenset[str]:
    """The names of the layers, of any phase, that store their weight inputs x outputs."""
    net = to_v1(net).result
    layers = (read_layer(0, message, net.generation) for message in net.layers)
    return frozenset(layer.name for layer in layers if _is_turned(layer))


def _is_turned(layer: Layer) -> bool:
    try:
        return types.keeps_turned(layer)
    except PrototxtError:
        return False  # of what does not say it the weight is compared as it is stored


def _axes(net: Prototxt, state: NetState) -> dict[int, int]:
    """Where a layer starts in the text -> how many axes its first bottom has, where known."""
    try:
        # A help to compare: of a net that has no shapes the axes are compared as written.
        definition = with_own_shapes(NetDefinition.of(net, state))
        blobs = infer(definition).blobs
    except NetsurgeryError:
        return {}
    return {
        layer.message.start: len(blobs[layer.bottoms[0]])
        for layer in definition.layers
        if layer.bottoms and layer.bottoms[0] in blobs
    }


def _declared(root: Message) -> LayerRecord:
    """The Input layer that Caffe makes of ``input`` with ``input_dim`` or ``input_shape``."""
    names = tuple(scalar.as_string() for scalar in root.scalars("input"))
    shapes = [field_tree(shape) for shape in root.messages("input_shape")]
    dims = field_tree(root).get("input_dim", [])
    shapes += [{"dim": dims[at : at + 4]} for at in range(0, len(dims), 4)]  # four to an input
    fields: Tree = {"input_param": [{"shape": list(shapes)}]} if shapes else {}
    return LayerRecord("input", types.INPUT.name, (), names, fields, declared=True)


def _per_param(fields: Tree) -> Tree:
    """V1's ``blobs_lr: 1 blobs_lr: 2`` as ``param { lr_mult: 1 } param { lr_mult: 2 }``."""
    old = {
        key: values
        for key, values in fields.items()
        if key in SPEC_FIELDS and all(isinstance(value, str) for value in values)
    }
    if not old:
        return fields
    rest = {key: values for key, values in fields.items() if key not in old}
    params: list[str | Tree] = [
        {
            SPEC_FIELDS[key]: [values[index]]
            for key, values in old.items()
            # An empty name holds the place of a param that is not shared.
            if index < len(values) and values[index] != '""'
        }
        for index in range(max(map(len, old.values())))
    ]
    return {**rest, "param": params}


def model_records(model: WeightsFile, bare: bool = False) -> tuple[LayerRecord, ...]:
    """The layers of a file of weights; of their fields only names, type and blobs.

    bare: as HDF5 stores them: the layers with params, by name, without types and blobs.
    """
    if bare:
        layers = sorted((la for la in model.layers if la.blobs), key=lambda la: la.name)
        return tuple(LayerRecord(la.name, "", (), (), params=_counts(la)) for la in layers)
    return tuple(
        LayerRecord(
            layer.name,
            layer.type,
            layer.bottoms,
            layer.tops,
            params=_counts(layer),
            keeps_values=types.keeps_values(_without_fields(layer)),
        )
        for layer in model.layers
    )


def _without_fields(layer: WeightsLayer) -> Layer:
    """The layer as a net would have it, its parameters at their defaults."""
    nothing = Message(SourceText("", ""), 0)
    return Layer(0, layer.name, layer.type, layer.bottoms, layer.tops, nothing)


def _counts(layer: WeightsLayer) -> tuple[int, ...]:
    return tuple(blob.count for blob in layer.blobs)
