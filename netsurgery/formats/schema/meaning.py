"""What each field of a message is, by Caffe 1.0's schema or by those of the forks that have it.

Messages are named as in caffe.proto. Where forks differ about a field, what they differ in is not
known.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from netsurgery.formats.schema.descriptors import (
    CAFFE,
    FieldDescriptor,
    descriptor,
    is_repeated,
    message_name,
)
from netsurgery.formats.schema.index import caffe_fields, forks

__all__ = ["Known", "known_fields"]


@dataclass(frozen=True)
class Known:
    """One field.

    message: the name of the message that it is, "" for none. words: number -> word, of an enum.
    default: what Caffe reads where the field is left out, None where the schema states none. An
    enum's is its word.
    """

    repeated: bool
    message: str = ""
    is_bool: bool = False
    words: Mapping[int, str] = field(default_factory=dict)
    default: str | bytes | bool | int | float | None = None


@functools.cache
def known_fields(message: str) -> Mapping[str, Known]:
    """Every field that Caffe 1.0 or a fork has in the message; none for one that is not known."""
    fields: dict[str, Known | None] = {}
    for key in (CAFFE, *(fork.key for fork in forks() if message in fork.fields)):
        of = descriptor(message, key)
        for each in of.fields if of is not None else ():
            # What a fork made of one of Caffe's own fields does not change how Caffe reads it.
            if key != CAFFE and each.name in caffe_fields(message):
                continue
            known = _known(each)
            fields[each.name] = _agreed(fields.get(each.name, known), known)
    return MappingProxyType({name: known for name, known in fields.items() if known is not None})


def _agreed(first: Known | None, second: Known) -> Known | None:
    """What both say; None where they do not even agree on what kind of field it is."""
    if first is None or (first.repeated, first.message) != (second.repeated, second.message):
        return None
    if first == second:
        return first
    same_words = first.words if first.words == second.words else {}
    same_default = first.default if first.default == second.default else None
    return Known(
        first.repeated, first.message, first.is_bool and second.is_bool, same_words, same_default
    )


def _known(of: FieldDescriptor) -> Known:
    words: dict[int, str] = {}
    default = of.default_value if of.has_default_value else None
    if of.enum_type is not None:
        words = {value.number: value.name for value in of.enum_type.values}
        default = None if default is None else words[default]  # protobuf gives an enum's number
    return Known(
        repeated=is_repeated(of),
        message=message_name(of.message_type) if of.message_type is not None else "",
        is_bool=of.cpp_type == of.CPPTYPE_BOOL,
        words=words,
        default=default,
    )
