"""Whether a caffemodel that Caffe wrote is whole.

Caffe's save looks at the stream once, before its last buffer is flushed; on a disk that fills
up just then the file is cut short and nothing is said.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from netsurgery.errors import EngineFailed

__all__ = ["check_saved"]

#: NetParameter.layer, and protobuf's code for a field with a length.
LAYER_FIELD, WITH_LENGTH = 100, 2


def check_saved(path: Path, layers: int) -> None:
    """Raise EngineFailed unless `path` is a net of so many layers, to the last byte."""
    with open(path, "rb") as file:
        found = count_layers(file, os.fstat(file.fileno()).st_size)
    if found != layers:
        raise EngineFailed(f"{path}: Caffe's save was cut short; is the disk full?")


def count_layers(file: BinaryIO, size: int) -> int | None:
    """How many layers a NetParameter has; None if it does not end where its fields do.

    Caffe's own save writes only a name and layers, all of them fields with a length.
    """
    layers = place = 0
    while place < size:
        file.seek(place)
        head = file.read(20)
        tag, used = varint(head, 0)
        length, used = varint(head, used)
        place += used + length
        if used > len(head) or tag & 7 != WITH_LENGTH:
            return None
        layers += tag >> 3 == LAYER_FIELD
    return layers if place == size else None


def varint(data: bytes, start: int) -> tuple[int, int]:
    """The number at `start` and where it ends; past the end of `data` if it is cut short."""
    value = 0
    for place in range(start, len(data)):
        value |= (data[place] & 0x7F) << 7 * (place - start)
        if data[place] < 0x80:
            return value, place + 1
    return value, len(data) + 1
