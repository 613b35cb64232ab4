"""Layers of V1 (2014) written as layers of today: the prototxt.

``layers`` becomes ``layer``, the type's word a name in quotes, and ``blobs_lr``, ``weight_decay``,
``blob_share_mode`` and ``param: "name"`` one ``param { ... }`` for each blob. Data layers had
their transformation among their own fields; that goes to ``transform_param``. BatchNorm layers
are of V2, but one generation of them listed three params with rates, which have to be 0.
"""

from __future__ import annotations

from netsurgery.formats.generations import V1_TYPES, V1_WORDS
from netsurgery.formats.prototxt import insert_field, quoted
from netsurgery.formats.textformat import Edits, Field, Message, Scalar
from netsurgery.surgery.upgrade_splices import (
    Change,
    block,
    comments,
    cut,
    indent_of,
    indent_step,
    line_end,
    spans,
    trailing,
)

__all__ = ["DATA_PARAMS", "SPEC_FIELDS", "TRANSFORM", "upgrade_batch_norm", "upgrade_v1_layer"]

#: V1's repeated field -> the field of ParamSpec that its n-th value is of the n-th blob.
SPEC_FIELDS = {
    "param": "name",
    "blob_share_mode": "share_mode",
    "blobs_lr": "lr_mult",
    "weight_decay": "decay_mult",
}

#: The types whose transformation moves, and the message it was in.
DATA_PARAMS = {
    "Data": "data_param",
    "ImageData": "image_data_param",
    "WindowData": "window_data_param",
}

#: What moves to transform_param.
TRANSFORM = ("scale", "mean_file", "crop_size", "mirror")


def upgrade_v1_layer(edits: Edits, field: Field, layer: Message) -> list[Change]:
    """Make the splices for one ``layers { ... }``; returns what they come to.

    Raises PrototxtError for a type that V1 has not.
    """
    name = layer.string("name")
    edits.replace(field.start, field.start + len("layers"), "layer")
    what = "`layers` becomes `layer`"
    kind = layer.scalar("type")
    today = ""
    if kind is not None:
        today = _type(kind)
        edits.replace(kind.start, kind.end, quoted(today))
        what += f', {kind.text} becomes "{today}"'
    changes = [Change(name, what)]
    changes += _upgrade_specs(edits, layer, name)
    if today in DATA_PARAMS:
        changes += _move_transform(edits, layer, name, DATA_PARAMS[today])
    return changes


def _type(kind: Scalar) -> str:
    if kind.kind == "number" and kind.as_int() in range(len(V1_TYPES)):
        return V1_TYPES[kind.as_int()]
    if kind.kind == "word" and kind.text in V1_WORDS:
        return V1_WORDS[kind.text]
    raise kind.error(f"found {kind.text}, expected a type of Caffe's V1, as CONVOLUTION")


def _upgrade_specs(edits: Edits, layer: Message, name: str) -> list[Change]:
    """The rates, names and modes of the params, blob by blob, where the author has them."""
    given = {old: layer.scalars(old) for old in SPEC_FIELDS}
    for old, values in given.items():
        for value in values:
            _check_spec(old, value)
    count = max(map(len, given.values()))
    if not count:
        return []
    texts = [
        " ".join(
            f"{SPEC_FIELDS[old]}: {values[index].text}"
            for old, values in given.items()
            if index < len(values)
        )
        for index in range(count)
    ]
    _place_specs(edits, layer, [f"param {{ {text} }}" for text in texts])
    old = ", ".join(field for field, values in given.items() if values)
    return [Change(name, f"{old}: now in {count} `param {{ ... }}`")]


def _check_spec(field: str, value: Scalar) -> None:
    if field == "param":
        value.as_string()
    elif field != "blob_share_mode":
        value.as_float()
    elif value.text not in ("STRICT", "PERMISSIVE", "0", "1"):
        raise value.error(f"found {value.text}, expected STRICT or PERMISSIVE")


def _place_specs(edits: Edits, layer: Message, blocks: list[str]) -> None:
    """Each block where the author has a value for that blob, if there is one place for each."""
    source = edits.source.text
    there = {old: spans(layer.all(old)) for old in ("blobs_lr", "weight_decay", *SPEC_FIELDS)}
    places = next((found for found in there.values() if len(found) == len(blocks)), None)
    if places is None:
        first = min(found[0] for found in there.values() if found)
        places = [first]
        newline = line_end(source) + indent_of(source, first[0])
        between = newline if indent_of(source, first[0]) else " "
        blocks = [between.join(blocks)]
    for (start, end), text in zip(places, blocks, strict=True):
        edits.replace(start, end, text)
    for start, end in {span for found in there.values() for span in found} - set(places):
        cut(edits, start, end)


def _move_transform(edits: Edits, layer: Message, name: str, param: str) -> list[Change]:
    """Move the transformation out of `param`; it wins over what transform_param has."""
    data = layer.one(param)
    if data is None or isinstance(data.value, Scalar):
        return []
    fields = [found for key in TRANSFORM if (found := data.value.one(key)) is not None]
    if not fields:
        return []
    source, newline = edits.source.text, line_end(edits.source.text)
    lines = []
    for field in sorted(fields, key=lambda field: field.start):
        comment, moved = trailing(source, field.start, field.end)
        lines.append(source[field.start : field.end] + (f"  {comment}" if comment else ""))
        cut(edits, field.start, field.end, moved)
    there = layer.one("transform_param")
    if there is not None:
        _fill_transform(edits, there, lines, {field.name for field in fields})
    elif "\n" in source[data.start : data.end]:
        indent, step = indent_of(source, data.start), indent_step(data.value)
        insert_field(edits, data, block("transform_param", lines, indent, step, newline))
    else:
        insert_field(edits, data, f"transform_param {{ {' '.join(lines)} }}")
    names = ", ".join(field.name for field in fields)
    return [Change(name, f"{names} of {param}: now in transform_param")]


def _fill_transform(edits: Edits, field: Field, lines: list[str], names: set[str]) -> None:
    """Put the lines into a transform_param that is there, in place of its fields of those names."""
    if isinstance(field.value, Scalar):
        raise field.value.error(f"found {field.value.text}, expected transform_param {{ ... }}")
    there, source = field.value, edits.source.text
    for name in names:
        for start, end in spans(there.all(name)):
            cut(edits, start, end)
    if "\n" in source[there.start : there.end]:
        inside = line_end(source) + indent_of(source, field.start) + indent_step(there)
        edits.insert(there.start + 1, "".join(inside + line for line in lines))
    else:
        newline = line_end(source) if any(comments(line) for line in lines) else ""
        edits.insert(there.start + 1, "".join(f" {line}{newline}" for line in lines))


def upgrade_batch_norm(edits: Edits, layer: Message) -> list[Change]:
    """Give the three params of an old BatchNorm, if it lists them, the rates 0 they have to have.

    They are running sums, which no solver may touch.
    """
    params = layer.messages("param")
    if layer.string("type") != "BatchNorm" or len(params) != 3:
        return []
    made = [_set_zero(edits, param) for param in params]
    if not any(made):
        return []
    return [Change(layer.string("name"), "lr_mult and decay_mult of its three params become 0")]


def _set_zero(edits: Edits, param: Message) -> bool:
    missing = []
    changed = False
    for key in ("lr_mult", "decay_mult"):
        value = param.scalar(key)
        if value is None:
            missing.append(f"{key}: 0")
        elif value.as_float() != 0:
            edits.replace(value.start, value.end, "0")
            changed = True
    for text in missing:
        if param.fields:
            insert_field(edits, param.fields[-1], text)
        else:
            edits.insert(param.start + 1, f" {text}")
    return changed or bool(missing)
