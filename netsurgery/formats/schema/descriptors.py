"""The whole schemas: every message, field, type, default and enum, as protobuf's descriptors.

Each schema has a descriptor pool and a package of its own: nothing here meets a caffe_pb2 that the
same process may have imported. protobuf is imported when the first schema is asked for.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, FieldDescriptor
else:
    Descriptor = FieldDescriptor = Any

__all__ = [
    "CAFFE",
    "Descriptor",
    "FieldDescriptor",
    "descriptor",
    "is_repeated",
    "is_required",
    "message_name",
    "schema_keys",
    "why_not_parsed",
]

#: The key of Caffe 1.0's schema; a fork's is its Fork.key.
CAFFE = "caffe"

_HERE = Path(__file__).parent


def schema_keys() -> tuple[str, ...]:
    """The keys of all schemas, Caffe 1.0's first."""
    from netsurgery.formats.schema.index import forks

    return (CAFFE, *(fork.key for fork in forks()))


def descriptor(message: str, key: str = CAFFE) -> Descriptor | None:
    """The descriptor of a message ("NetParameter"); None where the schema does not have it."""
    pool, package = _pool(key)
    try:
        return pool.FindMessageTypeByName(f"{package}.{message}")
    except KeyError:
        return None


def message_name(of: Descriptor) -> str:
    """A message's name without the package: "PoolingParameter", "BlobProto.Inner"."""
    package: str = of.file.package
    name: str = of.full_name
    return name.removeprefix(f"{package}.")


def is_repeated(field: FieldDescriptor) -> bool:
    """Whether a field may have several values."""
    return _label(field, "is_repeated", 3)


def is_required(field: FieldDescriptor) -> bool:
    """Whether a field has to be there."""
    return _label(field, "is_required", 2)


def why_not_parsed(message: str, data: bytes) -> str:
    """Why the encoded `data` is not a message of Caffe 1.0 of that name; "" if it is.

    Fields that the schema does not have are stepped over, as protobuf does.
    """
    from google.protobuf.message import DecodeError
    from google.protobuf.message_factory import GetMessageClass

    kind = descriptor(message)
    if kind is None:
        return f"the schema has no message {message}"
    parsed = GetMessageClass(kind)()
    try:
        parsed.MergeFromString(data)
    except DecodeError:
        return "a field of it is broken"
    missing = parsed.FindInitializationErrors()
    return f"it lacks {', '.join(missing)}" if missing else ""


def _label(field: FieldDescriptor, name: str, number: int) -> bool:
    # Older versions of protobuf have `label` alone, which newer ones warn of.
    label = getattr(field, name, None)
    return bool(field.label == number if label is None else label)


@functools.cache
def _pool(key: str) -> tuple[Any, str]:
    from google.protobuf import descriptor_pb2, descriptor_pool

    files = descriptor_pb2.FileDescriptorSet.FromString((_HERE / f"{key}.desc").read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool, files.file[0].package
