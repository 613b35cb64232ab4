"""What a training net learns, and what stays as it is: rates of layers, and batch statistics."""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping, Sequence

from netsurgery.errors import SurgeryError
from netsurgery.formats.prototxt import insert_field
from netsurgery.formats.textformat import Edits, Message, Scalar
from netsurgery.io.wording import argument
from netsurgery.net import types
from netsurgery.net.layer import Layer
from netsurgery.net.net import NetDefinition
from netsurgery.net.shapes import Shapes

__all__ = ["check_learns", "freeze_layers", "set_batch_norms"]

#: Field of a ``param { ... }`` -> its value where nothing is learnt.
_FROZEN = {"lr_mult": "0", "decay_mult": "0"}


def set_batch_norms(
    edits: Edits, net: NetDefinition, frozen: Collection[str], *, train: bool
) -> None:
    """Have every BatchNorm use its stored statistics, or those of each batch if they are trained.

    Whatever the text says: by default Caffe would take each batch's own in training. frozen: layers
    that stay as they are.
    """
    for layer in net.layers:
        if not types.is_a(layer, types.BATCH_NORM):
            continue
        param = layer.message.message("batch_norm_param")
        word = "false" if train and layer.name not in frozen else "true"
        if param is not None:
            _set(edits, param, "use_global_stats", word)
        else:
            kind = layer.message.single("type")
            assert kind is not None
            insert_field(edits, kind, f"batch_norm_param {{ use_global_stats: {word} }}")
        for index, own in enumerate(layer.message.all("param")):
            # Caffe refuses any other rate than 0 for these three.
            if index < 3:
                _freeze_param(edits, own.value)


def freeze_layers(
    edits: Edits, net: NetDefinition, shapes: Shapes, names: Sequence[str], new: Mapping[str, str]
) -> None:
    """Write a rate of 0 for every param of these layers.

    new: old name -> that of the layer now. Raises SurgeryError for a layer without params, and for
    one that shares its params with a layer that learns; NetError for one that is not there.
    """
    frozen = dict.fromkeys(new.get(name, name) for name in names)
    for name in frozen:
        layer = net.layer(name)
        count = len(shapes.params.get(name, ()))
        if not count:
            raise SurgeryError(
                f"{net.prototxt.path}: layer {name!r} ({layer.type}) has no params to freeze"
            )
        _check_shared(net, name, count, frozen)
        if not types.is_a(layer, types.BATCH_NORM):  # `set_batch_norms` has done that
            _freeze(edits, layer, count)


def _check_shared(net: NetDefinition, name: str, count: int, frozen: Container[str]) -> None:
    """Refuse two rates of one param: Caffe takes none, or a rate of 0 for all who share it."""
    for index in range(count):
        for sharer, _ in net.sharing.sharers((name, index)):
            if sharer not in frozen:
                raise SurgeryError(
                    f"{net.prototxt.path}: layer {name!r} shares its param {index} with layer "
                    f"{sharer!r}; freeze both or neither ({argument('--freeze')})"
                )


def check_learns(
    net: NetDefinition, shapes: Shapes, frozen: Collection[str], new: Mapping[str, str]
) -> None:
    """Raise SurgeryError where the outputs of a new layer, or all of the net, would stay as it is.

    frozen: as the user names them. new: layer with new outputs -> what the user knows it by.
    """
    rates = {
        layer.name: _rates(layer, len(shapes.params.get(layer.name, ())))
        for layer in net.layers
        if not types.is_a(layer, types.BATCH_NORM)  # Caffe never trains its three
    }
    for name, old in new.items():
        if not any(rates[name]):
            way = "but its lr_mult is 0; remove that from the prototxt"
            if old in frozen or name in frozen:
                way = f"so it cannot be frozen; leave it out of {argument('--freeze')}"
            raise SurgeryError(
                f"{net.prototxt.path}: layer {old!r} has new outputs, which are to be learnt, {way}"
            )
    if not any(map(any, rates.values())):
        raise SurgeryError(
            f"{net.prototxt.path}: nothing would be learnt: the rate of every layer is 0, by "
            f"{argument('--freeze')} or lr_mult: 0"
        )


def _rates(layer: Layer, count: int) -> list[float]:
    """The rates of its params."""
    own = [param.number("lr_mult", 1.0) for param in layer.message.messages("param")]
    return (own + [1.0] * count)[:count]


def _freeze(edits: Edits, layer: Layer, count: int) -> None:
    own = layer.message.all("param")
    if any(field.in_list for field in own):
        raise layer.error("its params are in a list; write `param { ... }` each")
    for field in own[:count]:
        _freeze_param(edits, field.value)
    # Behind the blobs, where most texts have them.
    after = own[-1] if own else layer.message.all("top")[-1]
    frozen = " ".join(f"{name}: {value}" for name, value in _FROZEN.items())
    for _ in range(count - len(own)):
        insert_field(edits, after, f"param {{ {frozen} }}")


def _freeze_param(edits: Edits, param: Message | Scalar) -> None:
    """Write the rates of one ``param { ... }``; its name and share mode stay."""
    for name, value in _FROZEN.items():
        if isinstance(param, Message):
            _set(edits, param, name, value)


def _set(edits: Edits, message: Message, name: str, value: str) -> None:
    """Give a field of the message this value, whether it is there or not."""
    own = message.single(name)
    if own is not None:
        edits.replace(own.value.start, own.value.end, value)
    elif message.fields:
        insert_field(edits, message.fields[-1], f"{name}: {value}")
    else:
        edits.insert(message.start + 1, f" {name}: {value} ")
