"""ONNX messages written on the protobuf wire.

The engine writes a graph for every input shape, in a process whose whole life is a third of a
second; importing the onnx package for that costs 40 ms and 12 MB on top of ONNX Runtime (measured
on 2 cores). The few messages a graph needs are these; the tests hold them against onnx.checker.

A message is a list of `Piece`s: literal bytes, and ranges of a file that whoever writes the
message copies into it, so that a model larger than memory can be written.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from netsurgery.io.wire import Wire, delimited, header, packed_varints, tag, varint_field

__all__ = [
    "FLOAT",
    "INT64",
    "Attribute",
    "ExternalData",
    "Piece",
    "attribute",
    "external_tensor",
    "field",
    "join",
    "message",
    "model",
    "node",
    "size_of",
    "tensor",
    "value_info",
]

#: TensorProto.DataType
FLOAT, INT64 = 1, 7

#: What is written: ONNX's operator set, and the file format that came with it.
OPSET, IR_VERSION = 21, 10


class ExternalData(NamedTuple):
    """Bytes [offset, offset + length) of the file at `path`, or of the weights' without one."""

    offset: int
    length: int
    path: str = ""


Piece: TypeAlias = bytes | ExternalData
Attribute: TypeAlias = int | float | str | Sequence[int] | Sequence[float]


def size_of(pieces: Iterable[Piece]) -> int:
    """How many bytes `pieces` are when written."""
    return sum(p.length if isinstance(p, ExternalData) else len(p) for p in pieces)


def join(pieces: Sequence[Piece]) -> bytes:
    """The bytes of pieces that hold no file range. Raises TypeError for one that does."""
    return b"".join(pieces)  # type: ignore[arg-type]


def field(number: int, value: int | float | str | bytes) -> bytes:
    """One field: ints as varints, floats as 32 bits, text and bytes with their length."""
    if isinstance(value, int):
        return varint_field(number, value)
    if isinstance(value, float):
        return tag(number, Wire.FIXED32) + struct.pack("<f", value)
    return delimited(number, value.encode("utf-8", "replace") if isinstance(value, str) else value)


def message(number: int, pieces: Sequence[Piece]) -> list[Piece]:
    """The field `number` that holds `pieces` as one message (or as one run of bytes)."""
    return [header(number, size_of(pieces)), *pieces]


def attribute(name: str, value: Attribute) -> bytes:
    """An AttributeProto; a list's kind is that of its first element."""
    encoded = field(1, name)
    if isinstance(value, int):
        # Field 20 is the type: FLOAT 1, INT 2, STRING 3, FLOATS 6, INTS 7.
        return encoded + field(3, value) + field(20, 2)
    if isinstance(value, float):
        return encoded + field(2, value) + field(20, 1)
    if isinstance(value, str):
        return encoded + field(4, value) + field(20, 3)
    if value and isinstance(value[0], float):
        packed = struct.pack(f"<{len(value)}f", *value)
        return encoded + field(7, packed) + field(20, 6)
    return encoded + packed_varints(8, map(int, value)) + field(20, 7)


def node(
    kind: str,
    inputs: Sequence[str],
    outputs: Sequence[str],
    attributes: Mapping[str, Attribute],
    name: str,
    domain: str = "",
) -> bytes:
    """A NodeProto. domain: whose operation it is, "" for ONNX's own."""
    encoded = b"".join(field(1, name) for name in inputs)
    encoded += b"".join(field(2, name) for name in outputs)
    encoded += field(3, name) + field(4, kind) + (field(7, domain) if domain else b"")
    return encoded + b"".join(field(5, attribute(k, v)) for k, v in attributes.items())


def tensor(name: str, kind: int, shape: Sequence[int], raw: Sequence[Piece]) -> list[Piece]:
    """A TensorProto whose little-endian data lie inside the model."""
    head = packed_varints(1, shape) + field(2, kind) + field(8, name)
    return [head, *message(9, raw)]


def external_tensor(name: str, shape: Sequence[int], location: str, where: ExternalData) -> bytes:
    """A TensorProto of float32 whose data are a range of a file: of `location` without a path."""
    place = {"offset": str(where.offset), "length": str(where.length)}
    entries = {"location": where.path or location, **place}
    encoded = packed_varints(1, shape) + field(2, FLOAT) + field(8, name)
    encoded += b"".join(field(13, field(1, k) + field(2, v)) for k, v in entries.items())
    return encoded + field(14, 1)  # data_location: EXTERNAL


def value_info(name: str, shape: Sequence[int | str]) -> bytes:
    """A ValueInfoProto of floats; an axis given by name is dynamic."""
    dims = [field(1, field(2 if isinstance(dim, str) else 1, dim)) for dim in shape]
    typed = field(1, FLOAT) + field(2, b"".join(dims))
    return field(1, name) + field(2, field(1, typed))


def model(
    graph: Sequence[Piece], metadata: Mapping[str, str], version: str, domains: Sequence[str] = ()
) -> list[Piece]:
    """A ModelProto around the pieces of a GraphProto.

    domains: whose operations it has besides ONNX's own, of version 1 each.
    """
    head = field(1, IR_VERSION) + field(2, "netsurgery") + field(3, version)
    tail = field(8, field(1, "") + field(2, OPSET))
    tail += b"".join(field(8, field(1, domain) + field(2, 1)) for domain in domains)
    tail += b"".join(field(14, field(1, k) + field(2, v)) for k, v in metadata.items())
    return [head, *message(7, graph), tail]
