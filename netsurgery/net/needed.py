"""What some blobs of a net depend on: the layers, the inputs, and a net of nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from netsurgery.errors import NetError
from netsurgery.formats.prototxt import Prototxt
from netsurgery.formats.textformat import Message, TextField, separated
from netsurgery.net import types
from netsurgery.net.layer import Layer
from netsurgery.net.net import NetDefinition

__all__ = ["INPUT_FIELDS", "listed", "needed", "only_needed", "require_blobs", "without"]

#: How many blobs an error lists.
_LISTED = 20

#: The fields of a net that declare inputs, and how many of them belong to one input.
INPUT_FIELDS = {"input": 1, "input_shape": 1, "input_dim": 4}


def require_blobs(net: NetDefinition, blobs: Sequence[str]) -> None:
    """Raise NetError for a blob that is not in the net."""
    for blob in blobs:
        if blob not in net.blob_names:
            tops = dict.fromkeys(top for layer in net.layers for top in layer.tops)
            hint = net.blob_hint(blob) or f"; it has {listed(list(tops))}"
            raise NetError(f"{net.prototxt.path}: no blob {blob!r}{hint}")


def listed(names: Sequence[str]) -> str:
    """The last of the names, and how many there are before them."""
    more = f" (and {len(names) - _LISTED} before them)" if len(names) > _LISTED else ""
    return f"{', '.join(names[-_LISTED:])}{more}"


def needed(
    net: NetDefinition, blobs: Sequence[str], cut: str | None = None
) -> tuple[list[Layer], list[str]]:
    """The layers that `blobs`, seen after their last writer, depend on, and the net's inputs.

    Both in file order; layers that are inputs are not among the layers. cut: a blob that is there
    already.
    """
    pending, layers = set(blobs), []
    for layer in reversed(net.layers):
        if not types.is_input(layer) and (pending - {cut}).intersection(layer.tops):
            layers.append(layer)
            # In this order: a layer in place needs its own top, from the writer before it.
            pending.difference_update(layer.tops)
            pending.update(layer.bottoms)
    return layers[::-1], [blob.name for blob in net.inputs if blob.name in pending]


def only_needed(net: NetDefinition, blobs: Sequence[str]) -> NetDefinition:
    """The net without the layers and inputs that `blobs` do not depend on.

    Layers that share params, or a name, with one that is needed stay, and what they depend on:
    Caffe loads what they hold into it. Where all is needed it is `net` itself. Its text
    has blanks for what is left out, so that places are those of the file.
    """
    layers, inputs = needed(net, blobs)
    # Layers added for what they share may share with others in turn.
    while more := _sharing(net, layers):
        blobs = [*blobs, *(top for layer in more for top in layer.tops)]
        layers, inputs = needed(net, blobs)
    sources = [
        layer
        for layer in net.layers
        if types.is_input(layer) and any(top in inputs for top in layer.tops)
    ]
    indices = {layer.index for layer in (*layers, *sources)}
    declared = [scalar.as_string() for scalar in net.prototxt.root.scalars("input")]
    left = [index for index, name in enumerate(declared) if name not in inputs]
    if len(indices) == len(net.layers) and not left:
        return net
    dropped = [layer.message for layer in net.layers if layer.index not in indices]
    prototxt = without(net.prototxt, [*dropped, *_declarations(net.prototxt.root, left)])
    names = {*inputs, *(top for layer in (*layers, *sources) for top in layer.tops)}
    shapes = tuple((blob, shape) for blob, shape in net.state.shapes if blob in names)
    part = NetDefinition.of(prototxt, replace(net.state, shapes=shapes))
    return replace(part, notes=net.notes)


def _sharing(net: NetDefinition, layers: Sequence[Layer]) -> list[Layer]:
    """Layers with params of their own that share a name, or a param's, with one of `layers`."""
    indices = {layer.index for layer in layers}
    names = {layer.name for layer in layers if layer.name}
    shared = {name for layer in layers for name in layer.param_names if name}
    return [
        layer
        for layer in net.layers
        if layer.index not in indices
        and layer.tops
        and not types.is_input(layer)
        and (shared.intersection(layer.param_names) or layer.name in names)
    ]


def _declarations(root: Message, left: Sequence[int]) -> list[object]:
    """The values of the fields that declare the inputs of these numbers."""
    declarations: list[object] = []
    for name, count in INPUT_FIELDS.items():
        values = [field.value for field in root.all(name)]
        for index in left:
            declarations += values[count * index : count * (index + 1)]
    return declarations


def without(prototxt: Prototxt, dropped: Sequence[object], more: str = "") -> Prototxt:
    """The prototxt with blanks for the fields of these values, which lie at its top level.

    more: a text behind it.
    """
    # By identity: two layers may be written alike.
    gone = {id(value) for value in dropped}
    text = prototxt.text
    lists: dict[int, list[TextField]] = {}
    for field in prototxt.root.fields:
        if field.in_list:
            lists.setdefault(field.start, []).append(field)
        elif id(field.value) in gone:
            # Its separator too: protobuf takes no ; without a field.
            text = _blanked(text, field.start, separated(prototxt.text, field.end))
    for elements in lists.values():
        text = _thinned(text, elements, gone)
    blanked = Prototxt.parse(text + more, prototxt.path)
    return replace(blanked, bom=prototxt.bom, original=prototxt.original or prototxt.text)


def _thinned(text: str, elements: Sequence[TextField], gone: set[int]) -> str:
    """The text with blanks for some elements of a list, or for all of it."""
    remaining = [field.value for field in elements if id(field.value) not in gone]
    if len(remaining) == len(elements):
        return text
    if not remaining:
        return _blanked(text, elements[0].start, separated(text, elements[0].end))
    at = elements[0].value.start
    for number, value in enumerate(remaining):
        # The blanks take the author's commas too, so that one is written between those that stay.
        text = _blanked(text, at, value.start, "," if number else "")
        at = value.end
    return _blanked(text, at, elements[-1].value.end)


def _blanked(text: str, start: int, end: int, mark: str = "") -> str:
    """The text with `mark`, then blanks, from `start` to `end`; its lines stay as they are."""
    return text[:start] + mark + re.sub(r"[^\r\n]", " ", text[start + len(mark) : end]) + text[end:]
