"""Which fields the messages of Caffe 1.0 and of its forks have: names only, without protobuf.

Messages are named as in caffe.proto ("ConvolutionParameter"). A field's value here is the name of
its own message, "" for a field that is none.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

__all__ = [
    "Fields",
    "Fork",
    "Words",
    "bare_name",
    "caffe_fields",
    "caffe_words",
    "fields_of_forks",
    "forks",
    "forks_with",
    "has_word",
]

Fields = Mapping[str, str]

#: Word -> number, of an enum.
Words = Mapping[str, int]

_HERE = Path(__file__).parent
_NONE: Mapping[str, Any] = MappingProxyType({})


class Fork(NamedTuple):
    """What a fork adds to Caffe 1.0.

    key: the name of its descriptors. fields: message -> its fields. words: enum ->
    ("PoolingParameter.PoolMethod") the words it adds, with their numbers.
    """

    key: str
    name: str
    fields: Mapping[str, Fields]
    words: Mapping[str, Words]


def caffe_fields(message: str) -> Fields:
    """The fields of a message of Caffe 1.0; none for a message that it does not have."""
    fields: Fields = _caffe()["fields"].get(message, _NONE)
    return fields


def caffe_words(message: str, field: str) -> Words | None:
    """The words of a field that is an enum in Caffe 1.0; None for any other."""
    words: Words | None = _caffe()["words"].get(message, _NONE).get(field)
    return words


def has_word(enum: str, word: str) -> bool:
    """Whether a fork adds `word` to an enum ("ConvolutionParameter.Engine")."""
    return any(word in fork.words.get(enum, ()) for fork in forks())


def bare_name(name: str) -> str:
    """What a type's name and that of its message's field have in common.

    >>> bare_name("inner_product_param") == bare_name("InnerProduct")
    True
    """
    return re.sub("_param$|[^a-z0-9]", "", name.lower())


def forks_with(message: str, field: str) -> tuple[str, ...]:
    """The names of the forks that have `field` in `message`, where Caffe 1.0 does not."""
    return tuple(fork.name for fork in forks() if field in fork.fields.get(message, _NONE))


@functools.cache
def fields_of_forks(message: str) -> Fields:
    """The fields that any fork adds to `message`."""
    fields: dict[str, str] = {}
    for fork in forks():
        for name, kind in fork.fields.get(message, _NONE).items():
            fields.setdefault(name, kind)
    return MappingProxyType(fields)


@functools.cache
def _caffe() -> Mapping[str, Mapping[str, Any]]:
    index: Mapping[str, Mapping[str, Any]] = json.loads((_HERE / "caffe.json").read_text("utf-8"))
    return index


@functools.cache
def forks() -> tuple[Fork, ...]:
    """Every fork, in the order in which they are named."""
    records = json.loads((_HERE / "forks.json").read_text("utf-8"))
    return tuple(
        Fork(record["file"], record["name"], record["fields"], record["words"])
        for record in records
    )
