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
    found: dict[str, Known | None] = {}
    for key in (CAFFE, *(fork.key for fork in forks() if message in fork.fields)):
        of = descriptor(message, key)
        for each in of.fields if of is not None else ():
            if key != CAFFE and each.name in caffe_fields(message):
                continue
            one = _known(each)
            found[each.name] = _agreed(found.get(each.name, one), one)
    return MappingProxyType({name: one for name, one in found.items() if one is not None})


def _agreed(one: Known | None, other: Known) -> Known | None:
    """What both say; None where they do not even agree on what kind of field it is."""
    if one is None or (one.repeated, one.message) != (other.repeated, other.message):
        return None
    if one == other:
        return one
    same_words = one.words if one.words == other.words else {}
    same_default = one.default if one.default == other.default else None
    return Known(one.repeated, one.message, one.is_bool and other.is_bool, same_words, same_default)


def _known(of: FieldDescriptor) -> Known:
    words: dict[int, str] = {}
    default = of.default_value if of.has_default_value else None
    if of.enum_type is not None:
        words = {value.number: value.name for value in of.enum_type.values}
        default = None if default is None else words[default]
    return Known(
        repeated=is_repeated(of),
        message=message_name(of.message_type) if of.message_type is not None else "",
        is_bool=of.cpp_type == of.CPPTYPE_BOOL,
        words=words,
        default=default,
    )
