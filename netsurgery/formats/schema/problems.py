"""A prototxt checked against the schemas: unknown fields, and values of another type.

Every field of the text is looked up, at any depth, in Caffe 1.0's schema and then in those of its
forks; its value is read as the schema's type. Nothing here knows what a field does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from netsurgery.errors import PrototxtError
from netsurgery.formats.schema.descriptors import (
    CAFFE,
    Descriptor,
    FieldDescriptor,
    descriptor,
    is_repeated,
    is_required,
    message_name,
    schema_keys,
)
from netsurgery.formats.schema.index import bare_name, fields_of_forks, forks, forks_with
from netsurgery.formats.textformat import EmptyList, Message, Scalar, TextField
from netsurgery.io.nearest import did_you_mean, nearest
from netsurgery.io.wording import counted, listed

__all__ = ["NET", "Problem", "layer_problem", "problems"]

#: The message that a net's prototxt is.
NET = "NetParameter"

#: Hexadecimal and octal, which protobuf reads as whole numbers only.
_NOT_DECIMAL = re.compile(r"-?\s*0[0-9xX]+[0-9a-fA-F]*$")

_RANGES = {
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**64 - 1),
}


@dataclass(frozen=True)
class Problem:
    """One place where a text is not as Caffe 1.0's schema has it.

    error: what is wrong, with its place. path: the field, "layer.pooling_param.pool". at: where in
    the text. forks: the names of those whose schema takes it, in order; empty where none does.
    of_name: whether the field itself is not known, else it is its value that is wrong. hint: who
    has it, or what may have been meant.
    """

    error: PrototxtError
    path: str
    at: int
    forks: tuple[str, ...] = ()
    of_name: bool = False
    hint: str = ""


@dataclass(frozen=True)
class _Schema:
    """A message as one schema has it."""

    key: str
    message: Descriptor

    def field(self, name: str) -> FieldDescriptor | None:
        field: FieldDescriptor | None = self.message.fields_by_name.get(name)
        return field


def problems(message: Message, name: str = NET) -> Iterator[Problem]:
    """Everything in `message`, a message called `name`, that Caffe 1.0's schema does not take.

    What a fork takes is given too, with the fork's name; a message that only forks have is held
    against theirs. In file order, message by message.
    """
    schema = descriptor(name)
    if schema is None:
        raise KeyError(name)
    yield from _problems(message, (_Schema(CAFFE, schema),), "")


def _problems(message: Message, schemas: tuple[_Schema, ...], path: str) -> Iterator[Problem]:
    seen: set[str] = set()
    for field in message.written:
        own = f"{path}{field.name}"
        fitting = tuple(each for each in schemas if each.field(field.name))
        if not fitting:
            fitting = _elsewhere(schemas[0], field.name)
            yield _unknown(message, field, schemas, fitting, own)
        if fitting:
            yield from _value(message, field, fitting, own, again=field.name in seen)
        seen.add(field.name)
    yield from _missing(message, schemas, seen, path)


def _elsewhere(schema: _Schema, field: str) -> tuple[_Schema, ...]:
    """The schemas of forks that have `field` in this message."""
    name = message_name(schema.message)
    # By the index first: the schemas of the forks that lack it are not loaded.
    with_it = [fork.key for fork in forks() if field in fork.fields.get(name, ())]
    return tuple(_Schema(key, of) for key in with_it if (of := descriptor(name, key)))


def _names(schemas: Sequence[_Schema]) -> tuple[str, ...]:
    """The forks' names, none where Caffe 1.0 itself is among them."""
    keys = [schema.key for schema in schemas]
    return () if CAFFE in keys else tuple(fork.name for fork in forks() if fork.key in keys)


def _listed(names: Sequence[str], joined: str = "and") -> str:
    first = names[:4] if len(names) < 5 else names[:3]
    more = [counted(len(names) - 3, "other")] if len(names) > 4 else []
    return listed([*first, *more], joined)


def _unknown(
    message: Message,
    field: TextField | EmptyList,
    schemas: tuple[_Schema, ...],
    fitting: tuple[_Schema, ...],
    path: str,
) -> Problem:
    of = message_name(schemas[0].message)
    who = "Caffe 1.0" if schemas[0].key == CAFFE else _listed(_names(schemas), "or")
    names = _names(fitting)
    if names:
        has = "has" if len(names) == 1 else "have"
        way = f"; {_listed(names)} {has} it"
    else:
        way = _hint(message, field.name, schemas)
    what = f"{of} of {who} has no field {field.name}{way}"
    error = message.source.error(what, field.start)
    return Problem(error, path, field.start, names, True, way.removeprefix("; "))


def _hint(message: Message, name: str, schemas: Sequence[_Schema]) -> str:
    """What may have been meant by an unknown name: "; did you mean ...?", or ""."""
    of = schemas[0].message
    old = descriptor(f"V1{message_name(of)}")
    if old is not None and name in old.fields_by_name:
        return "; it is a field of V1's `layers { }`"
    hint = did_you_mean(name, [field for each in schemas for field in each.message.fields_by_name])
    if hint:
        return hint
    for near in nearest(name, fields_of_forks(message_name(of))):
        who = _listed(forks_with(message_name(of), near), "or")
        return f"; did you mean {near}, a field of {who}?"
    inside = [
        outer.name
        for outer in of.fields
        if outer.message_type is not None and name in outer.message_type.fields_by_name
    ]
    types = [field.value.text for field in message.all("type") if isinstance(field.value, Scalar)]
    own = [each for each in inside if types and bare_name(each) == bare_name(types[0])]
    # Of several messages with the field the one that is called as the type is meant.
    inside = own or inside
    return f"; it belongs in {inside[0]} {{ }}" if len(inside) == 1 else ""


def layer_problem(layer: Message, field: TextField) -> Problem | None:
    """What Caffe 1.0's schema has against a field anywhere in a layer; None for nothing."""
    for name in ("LayerParameter", "V1LayerParameter"):
        for problem in problems(layer, name):
            if problem.at == field.start:
                return problem
    return None


def _value(
    message: Message,
    field: TextField | EmptyList,
    schemas: tuple[_Schema, ...],
    path: str,
    again: bool,
) -> Iterator[Problem]:
    """What is wrong with a field that all of `schemas` have."""
    faults = [_wrong(message, field, each, again) for each in schemas]
    # What is inside is held against these alone: one fork has to take all of it.
    taking = tuple(each for each, wrong in zip(schemas, faults, strict=True) if wrong is None)
    if taking:
        inner = tuple(
            _Schema(each.key, kind)
            for each in taking
            if (kind := _field(each, field.name).message_type) is not None
        )
        if inner and isinstance(field, TextField) and isinstance(field.value, Message):
            yield from _problems(field.value, inner, f"{path}.")
        return
    wrong = faults[0]
    assert wrong is not None
    names = _also(message, field, schemas[0], again)
    if names:
        wrong = wrong.more(f"; {_listed(names)} {'takes' if len(names) == 1 else 'take'} it")
    elif isinstance(field, TextField) and isinstance(field.value, Scalar):
        wrong = wrong.more(_word_hint(field.value, _field(schemas[0], field.name)))
    yield Problem(wrong, path, field.start, names)


def _field(schema: _Schema, name: str) -> FieldDescriptor:
    field = schema.field(name)
    assert field is not None
    return field


def _also(
    message: Message, field: TextField | EmptyList, schema: _Schema, again: bool
) -> tuple[str, ...]:
    """The forks that take the value which `schema` does not: words of enums, more values."""
    name, taking = message_name(schema.message), []
    for key in schema_keys():
        of = descriptor(name, key)
        if of is None or field.name not in of.fields_by_name:
            continue
        fork = _Schema(key, of)
        if _wrong(message, field, fork, again) is None:
            taking.append(fork)
    return _names(taking)


def _wrong(
    message: Message, field: TextField | EmptyList, schema: _Schema, again: bool
) -> PrototxtError | None:
    """The error of this field's value by this schema, None where it is right."""
    known = _field(schema, field.name)
    if not is_repeated(known):
        listed = isinstance(field, EmptyList) or field.in_list
        if listed:
            return message.source.error(f"{field.name} takes one value, without [ ]", field.start)
        if again:
            return message.source.error(f"{field.name} is given twice here", field.start)
    if isinstance(field, EmptyList):
        return None
    value = field.value
    if known.message_type is not None:
        if isinstance(value, Message):
            return None
        return value.error(f"found {value.shown}, expected {field.name} {{ ... }}")
    if isinstance(value, Message):
        what = f"found a message, expected {_expected(known)} for {field.name}"
        return value.error(what)
    try:
        _read(value, known)
    except PrototxtError as error:
        return error.more(f" for {field.name}") if known.enum_type is None else error
    return None


def _expected(known: FieldDescriptor) -> str:
    if known.enum_type is not None:
        return _listed(_words(known), "or")
    kind = _kind(known)
    if kind in _RANGES:
        return "a whole number"
    return {"float": "a number", "double": "a number", "bool": "true or false"}.get(
        kind, "a string"
    )


def _words(known: FieldDescriptor) -> list[str]:
    return [value.name for value in known.enum_type.values]


def _kind(known: FieldDescriptor) -> str:
    names: dict[int, str] = {
        known.CPPTYPE_INT32: "int32",
        known.CPPTYPE_INT64: "int64",
        known.CPPTYPE_UINT32: "uint32",
        known.CPPTYPE_UINT64: "uint64",
        known.CPPTYPE_FLOAT: "float",
        known.CPPTYPE_DOUBLE: "double",
        known.CPPTYPE_BOOL: "bool",
    }
    return names.get(known.cpp_type, "string")


def _read(value: Scalar, known: FieldDescriptor) -> None:
    """Read a value as its type; raises PrototxtError where it is none of it."""
    if known.enum_type is not None:
        _read_word(value, known)
        return
    kind = _kind(known)
    if kind in _RANGES:
        value.as_int(*_RANGES[kind])
    elif kind in ("float", "double"):
        value.as_float()
        if _NOT_DECIMAL.match(value.text):
            raise value.error(f"found {value.shown}, expected a decimal number")
    elif kind == "bool":
        value.as_bool()
    else:
        value.as_string()


def _read_word(value: Scalar, known: FieldDescriptor) -> None:
    words: Any = known.enum_type.values_by_name
    if value.kind == "word" and value.text in words:
        return
    if value.kind == "number" and value.as_int() in known.enum_type.values_by_number:
        return
    expected = _listed(_words(known), "or")
    raise value.error(f"found {value.shown}, expected {expected} for {known.name}")


def _word_hint(value: Scalar, known: FieldDescriptor) -> str:
    """Which of an enum's words may have been meant: "; did you mean ...?", or ""."""
    if known.enum_type is None or value.kind == "number":
        return ""
    words = _words(known)
    bare = value.text.strip("\"'")
    if value.kind == "string" and bare in words:
        return f"; did you mean {bare}, without quotes?"
    return did_you_mean(bare, words)


def _missing(
    message: Message, schemas: tuple[_Schema, ...], seen: set[str], path: str
) -> Iterator[Problem]:
    """Required fields that are not there, by every schema that is left."""
    lacking = [
        {field.name for field in each.message.fields if is_required(field)} - seen
        for each in schemas
    ]
    for name in sorted(set.intersection(*lacking)):
        of = message_name(schemas[0].message)
        yield Problem(message.error(f"{of} without {name}"), f"{path}{name}", message.start)
