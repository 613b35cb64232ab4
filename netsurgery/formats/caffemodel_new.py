"""A new caffemodel, or a blob of one, as segments to write.

Layers are written as of today ("V2": field 100) unless they go to an older file, blobs with a
BlobShape and packed floats; of a layer only its name, type, bottoms, tops and blobs, and of those
Caffe reads no more than the name and the blobs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from netsurgery.errors import OutputError
from netsurgery.formats.blob import DATA, SHAPE, Shape
from netsurgery.formats.caffemodel import FIELDS, NET_NAME, NET_V1, NET_V2
from netsurgery.formats.generations import V1_TYPES
from netsurgery.io.segments import Bytes, Computed, FileRange, Segment, segments_length
from netsurgery.io.wire import delimited, header, packed_varints, text_field, varint_field

__all__ = [
    "Chunks",
    "NewBlob",
    "NewLayer",
    "blob_segments",
    "layer_segments",
    "new_caffemodel",
    "numbers_segment",
    "type_field",
]

#: Gives a blob's numbers as float32 bytes, little-endian, in order, in pieces of any size.
Chunks = Callable[[], Iterable[bytes | bytearray | memoryview]]


class NewBlob(NamedTuple):
    """A blob to write: its shape, and its numbers.

    data: a range of another file, or what gives the numbers when asked (once per writing).
    """

    shape: Shape
    data: Chunks | FileRange


class NewLayer(NamedTuple):
    """A layer to write; the type by its name of today."""

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    blobs: tuple[NewBlob, ...]


def new_caffemodel(name: str, layers: Sequence[NewLayer]) -> list[Segment]:
    """The segments of a caffemodel of that net name and those layers."""
    segments: list[Segment] = [Bytes(text_field(NET_NAME, name))] if name else []
    for layer in layers:
        segments += layer_segments(layer)
    return segments


def layer_segments(layer: NewLayer, generation: str = "V2") -> list[Segment]:
    """One layer, to stand anywhere in a caffemodel of that generation ("V1" or "V2").

    Raises OutputError for a type that V1 has no number for.
    """
    numbers = FIELDS[generation]
    texts = text_field(numbers.name, layer.name)
    try:
        texts += type_field(generation, layer.type)
    except ValueError:
        raise OutputError(
            f"layer {layer.name!r}: the model is of an old kind (V1), which has no type "
            f"{layer.type!r}"
        ) from None
    texts += b"".join(text_field(numbers.bottom, bottom) for bottom in layer.bottoms)
    texts += b"".join(text_field(numbers.top, top) for top in layer.tops)
    body = [Bytes(texts), *blob_segments(numbers.blobs, layer.blobs)]
    number = NET_V2 if generation == "V2" else NET_V1
    return [Bytes(header(number, segments_length(body))), *body]


def type_field(generation: str, kind: str) -> bytes:
    """A layer's type; ValueError for one that V1 has no number for."""
    number = FIELDS[generation].type
    if generation == "V2":
        return text_field(number, kind)
    return varint_field(number, V1_TYPES.index(kind))  # V1's types are an enum


def blob_segments(number: int, blobs: Iterable[NewBlob]) -> list[Segment]:
    """The blobs as fields `number` of a layer's message (7 in V2, 6 in V1)."""
    segments: list[Segment] = []
    for blob in blobs:
        # Lengths go before what they are of: the shape gives them, and the numbers can wait.
        length = 4 * math.prod(blob.shape)
        head = delimited(SHAPE, packed_varints(1, blob.shape)) + header(DATA, length)
        segments.append(Bytes(header(number, len(head) + length) + head))
        segments.append(numbers_segment(blob))
    return segments


def numbers_segment(blob: NewBlob) -> Segment:
    """The blob's numbers as float32 bytes."""
    if isinstance(blob.data, FileRange):
        return blob.data
    return Computed(4 * math.prod(blob.shape), blob.data)
