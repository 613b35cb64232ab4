"""Which fields the messages of Caffe 1.0 and of its forks have: names only, without protobuf.

Messages are named as in caffe.proto ("ConvolutionParameter"). A field's value here is the name of
its own message, "" for a field that is none.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

__all__ = ["Fields", "Fork", "caffe_fields", "fields_of_forks", "forks", "forks_with"]

Fields = Mapping[str, str]

_HERE = Path(__file__).parent
_NONE: Fields = MappingProxyType({})


@dataclass(frozen=True)
class Fork:
    """What a fork has and Caffe 1.0 has not.

    key: the name of its descriptors. fields: message -> its fields. words: enum ->
    ("PoolingParameter.PoolMethod") the words it adds, with their numbers.
    """

    key: str
    name: str
    fields: Mapping[str, Fields]
    words: Mapping[str, Mapping[str, int]]


def caffe_fields(message: str) -> Fields:
    """The fields of a message of Caffe 1.0; none for a message that it does not have."""
    return _caffe().get(message, _NONE)


def forks_with(message: str, field: str) -> tuple[str, ...]:
    """The names of the forks that have `field` in `message`, where Caffe 1.0 does not."""
    return tuple(fork.name for fork in forks() if field in fork.fields.get(message, _NONE))


@functools.cache
def fields_of_forks(message: str) -> Fields:
    """The fields that any fork has in `message` and Caffe 1.0 has not."""
    found: dict[str, str] = {}
    for fork in forks():
        for name, kind in fork.fields.get(message, _NONE).items():
            found.setdefault(name, kind)
    return MappingProxyType(found)


@functools.cache
def _caffe() -> Mapping[str, Fields]:
    found: Mapping[str, Fields] = json.loads((_HERE / "caffe.json").read_text("utf-8"))
    return found


@functools.cache
def forks() -> tuple[Fork, ...]:
    """Every fork, in the order in which they are named."""
    found = json.loads((_HERE / "forks.json").read_text("utf-8"))
    return tuple(Fork(one["file"], one["name"], one["fields"], one["words"]) for one in found)
