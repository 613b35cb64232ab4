"""What a net or its weights use that a Caffe does not know, found before Caffe loads them."""

from __future__ import annotations

from collections.abc import Mapping

from netsurgery.engines.model_file import lost_by_caffe
from netsurgery.engines.pycaffe import PycaffeEngine
from netsurgery.formats.textformat import Message, TextField
from netsurgery.formats.weights import is_hdf5, is_hdf5_name
from netsurgery.net.net_with_weights import NetWithWeights

__all__ = ["unknown_field", "what_caffe_lacks"]

#: Message -> its fields, each with the name of its own message, None for a plain value.
MessageFields = Mapping[str, Mapping[str, str | None]]


def what_caffe_lacks(caffe: PycaffeEngine, model: NetWithWeights) -> str:
    """The first thing of a net and its weights that this Caffe does not know, or "".

    Layer types and fields are those that the Caffe itself lists; where it lists none, none is held
    to be unknown. Raises CaffemodelError for weights that cannot be read.
    """
    net = model.net
    types = caffe.info()["layer_types"]
    for layer in net.layers:
        if types and layer.type not in types:
            return f"this Caffe does not know layer type {layer.type!r} (layer {layer.name!r})"
    fields = caffe.fields()
    strange = unknown_field(net.prototxt.root, "NetParameter", fields)
    if strange is not None:
        message, field = strange
        place = net.prototxt.root.source.error("", field.start)
        return (
            f"this Caffe does not know field {field.name!r} of {message} "
            f"({net.prototxt.path}:{place.line})"
        )
    if not model.has_weights or not is_hdf5(model.path):
        return ""
    if not is_hdf5_name(model.path):
        return f"Caffe takes HDF5 only from a name that ends in .h5, and {model.path} does not"
    return lost_by_caffe(model)


def unknown_field(
    message: Message, name: str, fields: MessageFields
) -> tuple[str, TextField] | None:
    """The message and the first field of it that `fields` do not have, anywhere in the text."""
    if name not in fields:
        return None
    known = fields[name]
    for field in message.fields:
        if field.name not in known:
            return name, field
        kind = known[field.name]
        if kind is not None and isinstance(field.value, Message):
            nested = unknown_field(field.value, kind, fields)
            if nested is not None:
                return nested
    return None
