"""InnerProduct layers rewritten as Convolution layers: the prototxt.

All is done by splices over the author's text, so what is not named here stays byte for byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netsurgery.formats.prototxt import Prototxt, insert_field, quoted, remove_field
from netsurgery.formats.textformat import Edits, Message, Scalar
from netsurgery.net.net import Layer, NetInput, Shape

__all__ = ["Cast", "rewrite"]


@dataclass(frozen=True)
class Cast:
    """An InnerProduct and the kernel (H, W) it has as a Convolution."""

    layer: Layer
    kernel: tuple[int, int]


def rewrite(
    prototxt: Prototxt, casts: Sequence[Cast], suffix: str, declared: NetInput, shape: Shape
) -> tuple[str, dict[str, str]]:
    """The new text, its input at `shape`, and the blobs renamed on the way."""
    edits = prototxt.edits()
    _rename_net(edits, prototxt.root)
    for dim, size in zip(declared.dims, shape, strict=True):
        if dim.as_int() != size:
            edits.replace(dim.start, dim.end, str(size))
    by_message = {id(cast.layer.message): cast for cast in casts}
    renames: dict[str, str] = {}
    for message in prototxt.layers:
        behind = _rename(edits, message.scalars("bottom"), renames)
        cast = by_message.get(id(message))
        if cast is not None:
            _convolve(edits, cast, suffix)
            if cast.layer.name in cast.layer.tops:
                renames[cast.layer.name] = cast.layer.name + suffix
        elif behind:
            _name_channels(edits, message)
        _rename(edits, message.scalars("top"), renames)
    return edits.apply(), renames


def _rename_net(edits: Edits, root: Message) -> None:
    name = root.scalar("name")
    if name is not None:
        edits.replace(name.start, name.end, quoted(name.as_string() + "Conv", name))


def _rename(edits: Edits, blobs: list[Scalar], renames: dict[str, str]) -> bool:
    """Rename the blobs that bear a new name; whether there were any."""
    found = [(blob, renames[blob.as_string()]) for blob in blobs if blob.as_string() in renames]
    for blob, name in found:
        edits.replace(blob.start, blob.end, quoted(name, blob))
    return bool(found)


def _convolve(edits: Edits, cast: Cast, suffix: str) -> None:
    message = cast.layer.message
    name, kind = message.scalar("name"), message.scalar("type")
    if name is not None and kind is not None:
        edits.replace(name.start, name.end, quoted(cast.layer.name + suffix, name))
        word = quoted("Convolution", kind) if kind.kind == "string" else "CONVOLUTION"
        edits.replace(kind.start, kind.end, word)
    param = message.one("inner_product_param")
    if param is None or isinstance(param.value, Scalar):
        raise cast.layer.error("inner_product_param is missing")
    edits.replace(param.start, param.start + len(param.name), "convolution_param")
    _fit_param(edits, param.value, cast)


def _fit_param(edits: Edits, param: Message, cast: Cast) -> None:
    """Give the kernel; take out what a Convolution has not."""
    outputs = param.one("num_output")
    if outputs is None:
        raise cast.layer.error("num_output is missing")
    height, width = cast.kernel
    if height == width:
        insert_field(edits, outputs, f"kernel_size: {height}")
    else:
        insert_field(edits, outputs, f"kernel_h: {height}")
        insert_field(edits, outputs, f"kernel_w: {width}")
    turned = param.one("transpose")
    if turned is not None:
        remove_field(edits, turned)
    _make_one(edits, param.scalar("axis"))


def _make_one(edits: Edits, axis: Scalar | None) -> None:
    """An axis that named the channels from behind names them from the front: 1."""
    if axis is not None and axis.as_int() != 1:
        edits.replace(axis.start, axis.end, "1")


def _name_channels(edits: Edits, message: Message) -> None:
    """Behind a cast, axis -1 (the channels of N x C) becomes 1 (the channels of N x C x H x W)."""
    for field in message.fields:
        if field.name.endswith("_param") and isinstance(field.value, Message):
            _make_one(edits, field.value.scalar("axis"))
