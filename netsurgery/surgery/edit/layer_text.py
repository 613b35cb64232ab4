"""Splices of a layer's text that several operations make."""

from __future__ import annotations

from netsurgery.formats.prototxt import quoted, remove_field
from netsurgery.formats.textformat import Edits, Message, TextField
from netsurgery.net import types
from netsurgery.net.net import Layer, NetDefinition
from netsurgery.surgery.edit.session import refusal

__all__ = [
    "give_bias",
    "other_phases_read",
    "own_message",
    "param_message",
    "remove_layer",
    "rename_bottom",
    "rename_top",
]


def own_message(layer: Layer) -> Message:
    """The layer's own parameters, empty where they are left out or its type is not known."""
    return layer.param(types.message_of(layer) or "")


def param_message(layer: Layer) -> Message:
    """The message with num_output in it. Raises SurgeryError where it is left out."""
    name = types.message_of(layer) or ""
    message = layer.message.message(name)
    if message is None:
        raise refusal(layer.name, f"{name} is missing")
    return message


def give_bias(edits: Edits, layer: Layer) -> None:
    """Remove ``bias_term: false``."""
    # Its default is true in either message (caffe.proto).
    term = param_message(layer).single("bias_term")
    if term is not None:
        remove_field(edits, term)


def rename_bottom(edits: Edits, layer: Layer, name: str) -> None:
    """Have the layer read `name` instead of its only bottom."""
    (bottom,) = layer.message.scalars("bottom")
    edits.replace(bottom.start, bottom.end, quoted(name, bottom))


def rename_top(edits: Edits, layer: Layer, name: str) -> None:
    """Give the layer's only top another name."""
    (top,) = layer.message.scalars("top")
    edits.replace(top.start, top.end, quoted(name, top))


def remove_layer(edits: Edits, net: NetDefinition, layer: Layer) -> None:
    """Remove a layer, with the comment lines right above it, and one of two empty lines."""
    text, field = net.prototxt.text, net.prototxt.field_of(layer.message)
    start = text.rfind("\n", 0, field.start) + 1
    end = _line_end(text, field)
    if text[start : field.start].strip() or end is None:
        remove_field(edits, field)
        return
    start = _with_comments(text, start)
    # An empty line on either side would leave two together.
    empty_above = start == 0 or text.endswith(("\n\n", "\n\r\n"), 0, start)
    newline = text.find("\n", end)
    if empty_above and newline >= 0 and not text[end:newline].strip():
        end = newline + 1
    edits.replace(start, end, "")


def _line_end(text: str, field: TextField) -> int | None:
    """Where the line that the field ends on ends; None where another field shares it."""
    newline = text.find("\n", field.end)
    end = len(text) if newline < 0 else newline + 1
    after = text[field.end : end].strip(" \t\r\n;,")
    return None if after and not after.startswith("#") else end


def _with_comments(text: str, start: int) -> int:
    """Where the comment lines right above the line at `start` begin."""
    while start > 0:
        above = text.rfind("\n", 0, start - 1) + 1
        if above == 0 or not text[above:start].lstrip().startswith("#"):
            break
        start = above
    return start


def other_phases_read(net: NetDefinition, blob: str) -> str:
    """The name of a layer of another phase or stage that reads or makes `blob`, "" for none."""
    return net.blobs_elsewhere.get(blob, "")
