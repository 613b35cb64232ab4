"""The fields of a layer whose meaning is known, and the refusal of others.

Real Caffe refuses a net with a field it does not know. Here a prototxt is read with all its
fields, and to run it as if the unknown ones (``pad_l``, ``relu: true``) were not there would give
other numbers than the fork that knows them. Known are Caffe 1.0's, by its schema, and those of
forks that the record of the layer's type names. So are how many bottoms and tops a layer may
have, and whether a top may be a bottom, by the definitions of Caffe and of the forks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from netsurgery.errors import PrototxtError
from netsurgery.formats.schema.index import (
    bare_name,
    caffe_fields,
    caffe_words,
    fields_of_forks,
    forks_with,
    has_word,
)
from netsurgery.formats.textformat import Message, Scalar, TextField
from netsurgery.io.wording import counted
from netsurgery.net import types
from netsurgery.net.layer import Layer
from netsurgery.net.types.record import MANY, InPlace, LayerType

__all__ = ["check_blobs", "check_fields", "unknown_field", "unknown_fields"]

#: The messages that a layer is, in today's nets and in those of 2014.
_LAYERS = ("LayerParameter", "V1LayerParameter")

#: How a param begins, before a file of weights is read: nothing else depends on it.
_FILLER = "FillerParameter"

#: Which implementation of a layer is taken.
_ENGINE = "engine"

#: A message called this much like another is taken for it misspelled.
_ALIKE = 0.7


def check_fields(layer: Layer) -> None:
    """Raise PrototxtError, with its place, for the first of `unknown_fields`."""
    for field in unknown_fields(layer):
        raise _refusal(layer, field)


def unknown_field(layer: Layer) -> str:
    """What `check_fields` says, after the line; "" where it says nothing."""
    try:
        check_fields(layer)
    except PrototxtError as error:
        return f"line {error.line}: {error.what}"
    return ""


def unknown_fields(layer: Layer) -> tuple[TextField, ...]:
    """The fields of the layer that its definition does not have, in file order.

    Those are fields of its own message, at any depth, that neither Caffe 1.0 has nor the record of
    its type names, or whose enum value Caffe 1.0 does not define; a message that another
    fork reads for a type of this name, or whose name is its own misspelled; and fields of the
    layer itself that belong in its own message. Empty for a type without a record.
    """
    record = types.of(layer)
    return () if record is None else tuple(_unknown(layer, record))


def _unknown(layer: Layer, record: LayerType) -> Iterator[TextField]:
    for field in layer.message.fields:
        if field.name == record.message:
            if isinstance(field.value, Message):
                name = caffe_fields(_LAYERS[0]).get(field.name, "")
                known = {*caffe_fields(name), *record.fields}
                yield from _inside(field.value, name or _of_forks(field.name), known)
        # Messages of other types protobuf reads and the layer does not: they change nothing.
        elif not any(field.name in caffe_fields(name) for name in _LAYERS) and (
            _is_params_of(field.name, record)
            or _is_misplaced(field.name, record)
            or _is_misspelled(field, record)
        ):
            yield field


def _inside(message: Message, name: str, known: Iterable[str]) -> Iterator[TextField]:
    """The fields of a message of this name that are not called as in `known`, or of no value."""
    kinds = caffe_fields(name) or fields_of_forks(name)
    for field in message.fields:
        kind = kinds.get(field.name, "")
        if field.name not in known:
            if not (field.name == _ENGINE and forks_with(name, _ENGINE)):
                yield field
        elif isinstance(field.value, Scalar):
            if not _is_word(field.value, name, field.name):
                yield field
        elif kind and kind != _FILLER:
            yield from _inside(field.value, kind, caffe_fields(kind) or fields_of_forks(kind))


def _is_word(value: Scalar, message: str, field: str) -> bool:
    """Whether an enum has the value; any other field takes any."""
    words = caffe_words(message, field)
    if words is None:
        return True
    if value.kind == "number":
        # protobuf's text format takes an enum's number for its word.
        return _number(value) in words.values()
    # Which of a fork's implementations is taken changes nothing that is known here.
    forks_engine = field == _ENGINE and has_word(f"{message}.Engine", value.text)
    return value.kind == "word" and (value.text in words or forks_engine)


def _number(value: Scalar) -> int | None:
    try:
        return value.as_int()
    except PrototxtError:
        return None


def _of_forks(field: str) -> str:
    """The name of the message that a field of forks' layers is."""
    return fields_of_forks(_LAYERS[0]).get(field, "")


def _is_misplaced(field: str, record: LayerType) -> bool:
    """Whether the message of this type has the field: ``pad``."""
    # Left unread, a `pad` beside the message would make the net one without padding.
    own = caffe_fields(_LAYERS[0]).get(record.message or "", "")
    return field in caffe_fields(own) or field in record.fields


def _is_misspelled(field: TextField, record: LayerType) -> bool:
    """Whether no Caffe has the message, and it is called almost as this type's."""
    if record.message is None or not isinstance(field.value, Message):
        return False
    if any(field.name in fields_of_forks(name) for name in _LAYERS):
        return False
    import difflib  # most nets need none

    return difflib.SequenceMatcher(None, field.name, record.message).ratio() >= _ALIKE


def _is_params_of(field: str, record: LayerType) -> bool:
    """Whether the field is called as the type is: some fork's own parameters of it."""
    return field.endswith("_param") and bare_name(field) in map(
        bare_name, (record.name, *record.aliases)
    )


def _refusal(layer: Layer, field: TextField) -> PrototxtError:
    """What is wrong with a field of `unknown_fields`, and who has it."""
    from netsurgery.formats.schema.problems import layer_problem

    problem = layer_problem(layer.message, field)
    named = f"layer {layer.name!r} ({layer.type}): "
    if problem is not None and not problem.of_name:
        value = field.value
        return layer.message.source.error(named + problem.error.what, value.start)
    hint = "" if problem is None else problem.hint
    return layer.message.source.error(
        f"{named}{_where(layer, field)} has a field {field.name}, which is not known"
        f"{f' ({hint})' if hint else ''} and may change everything after it; remove it if it "
        "changes nothing",
        field.start,
    )


def _where(layer: Layer, field: TextField) -> str:
    """The name of the message that the field stands in."""
    return next(
        (
            outer.name
            for outer in layer.message.fields
            if isinstance(outer.value, Message) and outer.start < field.start < outer.end
        ),
        "it",
    )


def check_blobs(layer: Layer) -> None:
    """Raise PrototxtError for bottoms and tops that the layer's type does not take."""
    _check_counts(layer)
    bottoms = set(layer.bottoms)
    both = [top for top in layer.tops if top in bottoms]
    if both and types.in_place(layer) is InPlace.REFUSED:
        raise layer.error(
            f"its top {both[0]!r} is its bottom too, which Caffe refuses of this type"
        )
    if both and types.in_place(layer) is InPlace.LOSES:
        raise layer.error(
            f"its top {both[0]!r} is its bottom too; Caffe would write into it before it has read "
            "it; give the top a name of its own"
        )


def _check_counts(layer: Layer) -> None:
    known = types.counts(layer)
    if known is None:
        return
    for what, count, (low, high) in (
        ("bottom", len(layer.bottoms), known[0]),
        ("top", len(layer.tops), known[1]),
    ):
        if not low <= count <= high:
            most = f"to {high}" if high < MANY else "or more"
            expected = str(low) if low == high else f"{low} {most}"
            raise layer.error(f"{counted(count, what)}; it takes {expected}")
