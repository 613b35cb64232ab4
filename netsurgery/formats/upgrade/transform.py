"""The transformation of V1's data layers, moved to ``transform_param``: the prototxt.

Where one layer of a net needs that, Caffe's upgrade gives every data layer of the net both
messages, empty if need be; so is it done here.
"""

from __future__ import annotations

from netsurgery.formats.prototxt import insert_field
from netsurgery.formats.textformat import Edits, Field, Message, Scalar
from netsurgery.formats.upgrade.splices import (
    Change,
    block,
    comments,
    cut,
    indent_of,
    indent_step,
    line_end,
    trailing,
)
from netsurgery.formats.upgrade.v1 import v1_type

__all__ = ["DATA_PARAMS", "TRANSFORM", "upgrade_transforms"]

#: The types whose transformation moves, and the message it was in.
DATA_PARAMS = {
    "Data": "data_param",
    "ImageData": "image_data_param",
    "WindowData": "window_data_param",
}

#: What moves to transform_param.
TRANSFORM = ("scale", "mean_file", "crop_size", "mirror")


def upgrade_transforms(edits: Edits, layers: list[Message]) -> list[Change]:
    """Make the splices for the layers of a V1 net; nothing where no layer needs them."""
    data_layers = [
        (layer, DATA_PARAMS[kind]) for layer in layers if (kind := v1_type(layer)) in DATA_PARAMS
    ]
    if not any(_moving(layer, param) for layer, param in data_layers):
        return []
    return [change for layer, param in data_layers for change in _upgrade(edits, layer, param)]


def _moving(layer: Message, param: str) -> list[Field]:
    """The fields of the layer's `param` that move, in the author's order."""
    data = layer.message(param)
    if data is None:
        return []
    found = [field for key in TRANSFORM if (field := data.one(key)) is not None]
    return sorted(found, key=lambda field: field.start)


def _upgrade(edits: Edits, layer: Message, param: str) -> list[Change]:
    """Move the transformation out of `param`; it wins over what transform_param has."""
    source, name = edits.source.text, layer.string("name")
    fields, lines = _moving(layer, param), []
    for field in fields:
        comment, moved = trailing(source, field.start, field.end)
        lines.append(source[field.start : field.end] + (f"  {comment}" if comment else ""))
        cut(edits, field.start, field.end, moved)
    data, there = layer.one(param), layer.one("transform_param")
    anchor, made = data or layer.one("type"), []
    if anchor is not None and data is None:
        insert_field(edits, anchor, f"{param} {{ }}")
        made.append(param)
    if there is not None:
        _fill(edits, there, lines, {field.name for field in fields})
    elif anchor is not None:
        insert_field(edits, anchor, _block(anchor, lines, source))
        made += [] if lines else ["transform_param"]
    if fields:
        listed = ", ".join(field.name for field in fields)
        return [Change(name, f"{listed} of {param}: now in transform_param")]
    return [Change(name, f"an empty {each}, as Caffe adds it") for each in made]


def _block(data: Field, lines: list[str], source: str) -> str:
    """A transform_param in the layout of the field before it."""
    if isinstance(data.value, Message) and lines and "\n" in source[data.start : data.end]:
        indent, step = indent_of(source, data.start), indent_step(data.value)
        return block("transform_param", lines, indent, step, line_end(source))
    return " ".join(["transform_param {", *lines, "}"])


def _fill(edits: Edits, field: Field, lines: list[str], names: set[str]) -> None:
    """Put the lines into a transform_param that is there, in place of its fields of those names."""
    if isinstance(field.value, Scalar):
        raise field.value.error(f"found {field.value.text}, expected transform_param {{ ... }}")
    there, source = field.value, edits.source.text
    for name in names:
        for start, end in there.places(name):
            cut(edits, start, end)
    if not lines:
        return
    if "\n" in source[there.start : there.end]:
        inside = line_end(source) + indent_of(source, field.start) + indent_step(there)
        edits.insert(there.start + 1, "".join(inside + line for line in lines))
    else:
        newline = line_end(source) if any(comments(line) for line in lines) else ""
        edits.insert(there.start + 1, "".join(f" {line}{newline}" for line in lines))
