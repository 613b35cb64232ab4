"""Layers of V1 (2014) written as layers of today: the prototxt.

``layers`` becomes ``layer``, the type's word a name in quotes, and ``blobs_lr``, ``weight_decay``,
``blob_share_mode`` and ``param: "name"`` one ``param { ... }`` for each blob. BatchNorm layers are
of V2, but one generation of them listed three params with rates, which have to be 0.
"""

from __future__ import annotations

from netsurgery.formats.generations import V1_TYPES, V1_WORDS, V1_WORDS_OF_FORKS
from netsurgery.formats.prototxt import insert_field, quoted
from netsurgery.formats.textformat import Edits, Message, Scalar, TextField
from netsurgery.formats.upgrade.splices import UpgradeStep, cut, indent_of, line_end

__all__ = ["SPEC_FIELDS", "upgrade_batch_norm", "upgrade_v1_layer", "v1_type", "zero_rates"]

#: V1's repeated field -> the field of ParamSpec that its n-th value is of the n-th blob.
SPEC_FIELDS = {
    "param": "name",
    "blob_share_mode": "share_mode",
    "blobs_lr": "lr_mult",
    "weight_decay": "decay_mult",
}


def upgrade_v1_layer(edits: Edits, field: TextField, layer: Message) -> list[UpgradeStep]:
    """Make the splices for one ``layers { ... }``; returns what they come to.

    Raises PrototxtError for a type unknown to V1.
    """
    name = layer.string("name")
    edits.replace(field.start, field.start + len("layers"), "layer")
    kind, today = layer.scalar("type"), v1_type(layer)
    if kind is None or today is None:
        step = UpgradeStep(name, "`layers` becomes `layer`", ("layers",), "layers", "layer")
    else:
        edits.replace(kind.start, kind.end, quoted(today))
        what = f'`layers` becomes `layer`, {kind.text} becomes "{today}"'
        step = UpgradeStep(name, what, ("type",), kind.text, today)
    return [step, *_upgrade_specs(edits, layer, name)]


def v1_type(layer: Message) -> str | None:
    """Today's name of a V1 layer's type, None if it has none. Raises PrototxtError if unknown."""
    kind = layer.scalar("type")
    if kind is None:
        return None
    if kind.kind == "number" and kind.as_int() in range(len(V1_TYPES)):
        return V1_TYPES[kind.as_int()]
    if kind.kind == "word" and kind.text in (words := {**V1_WORDS_OF_FORKS, **V1_WORDS}):
        return words[kind.text]
    raise kind.error(f"found {kind.text}, expected a type of Caffe's V1, as CONVOLUTION")


def _upgrade_specs(edits: Edits, layer: Message, name: str) -> list[UpgradeStep]:
    """The rates, names and modes of the params, blob by blob, where the author has them."""
    lists = {old: layer.scalars(old) for old in SPEC_FIELDS}
    for old, values in lists.items():
        for value in values:
            _check_spec(old, value)
    written = [old for old in SPEC_FIELDS if layer.places(old)]
    if not written:
        return []
    listed, count = ", ".join(written), max(map(len, lists.values()))
    if not count:
        for start, end in layer.places(*written):
            cut(edits, start, end)
        return [UpgradeStep(name, f"{listed}: left out, for want of a value", tuple(written))]
    texts = [
        " ".join(
            f"{SPEC_FIELDS[old]}: {values[index].text}"
            for old, values in lists.items()
            if index < len(values)
        )
        for index in range(count)
    ]
    blocks = [f"param {{ {text} }}" for text in texts]
    _place_specs(edits, layer, blocks)
    before = " ".join(f"{old}: {value.text}" for old in written for value in lists[old])
    what = f"{listed}: now in {count} `param {{ ... }}`"
    return [UpgradeStep(name, what, tuple(written), before, " ".join(blocks))]


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
    spans_of = {old: layer.places(old) for old in ("blobs_lr", "weight_decay", *SPEC_FIELDS)}
    places = next((spans for spans in spans_of.values() if len(spans) == len(blocks)), None)
    if places is None:
        first = min(spans[0] for spans in spans_of.values() if spans)
        places = [first]
        newline = line_end(source) + indent_of(source, first[0])
        between = newline if indent_of(source, first[0]) else " "
        blocks = [between.join(blocks)]
    for (start, end), text in zip(places, blocks, strict=True):
        edits.replace(start, end, text)
    for start, end in {span for spans in spans_of.values() for span in spans} - set(places):
        cut(edits, start, end)


def upgrade_batch_norm(edits: Edits, layer: Message) -> list[UpgradeStep]:
    """Give the three params of an old BatchNorm, if it lists them, the rates 0 they have to have.

    They are running sums, which no solver may touch.
    """
    params = layer.messages("param")
    if layer.string("type") != "BatchNorm" or len(params) != 3:
        return []
    changed = [_set_zero(edits, param) for param in params]
    if not any(changed):
        return []
    return [zero_rates(layer.string("name"))]


def zero_rates(layer: str) -> UpgradeStep:
    """The step that a BatchNorm takes."""
    what = "lr_mult and decay_mult of its three params become 0"
    return UpgradeStep(layer, what, ("lr_mult", "decay_mult"), None, "0")


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
