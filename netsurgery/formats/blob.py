"""A blob as it lies in a file: shape and place of its numbers, without reading them.

A BlobProto has its shape either as a BlobShape (field 7) or, until 2015, as num, channels, height
and width (fields 1 to 4, always four axes); Caffe looks at the latter first, and so do we. Its
numbers are float (field 5) or double (field 8, preferred by Caffe where there are any), packed
into one run of bytes or several, or a tag before each.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from netsurgery.io.wire import Field, Wire, WireReader

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Blob", "Shape", "Span", "blob_fields", "read_blob", "shape_text"]

Shape = tuple[int, ...]

DATA, DIFF, SHAPE, DOUBLE_DATA, DOUBLE_DIFF = 5, 6, 7, 8, 9
LEGACY = (1, 2, 3, 4)
_HALF = (10, 12)
NUMBERS = (DATA, DIFF, DOUBLE_DATA, DOUBLE_DIFF)
#: Caffe counts in an int, and knows no more axes than this.
LARGEST = 2**31 - 1
MAX_AXES = 32
#: Numbers lie in one piece, or have a tag each, which counts as one.
_PIECES = 100_000
_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Span:
    """`count` numbers, the first at byte `offset`, each `step` bytes after the one before."""

    offset: int
    count: int
    step: int


@dataclass(frozen=True)
class Blob:
    """A param blob (or a mean) in a file.

    shape: its axes, four for a `legacy` blob. where: for messages, "layer 'fc6', blob 0".
    width: bytes a number, 4 for float, 8 for double. spans: where the numbers are, in order.
    start, end: the bytes of the BlobProto's fields.
    """

    reader: WireReader = field(repr=False, compare=False)
    where: str
    shape: Shape
    legacy: bool
    width: int
    spans: tuple[Span, ...]
    start: int
    end: int

    @property
    def count(self) -> int:
        """How many numbers."""
        return math.prod(self.shape)

    @property
    def packed(self) -> tuple[int, int] | None:
        """(byte offset, bytes) of the numbers where they are one run of float32, else None."""
        if self.width == 4 and len(self.spans) == 1 and self.spans[0].step == 4:
            return self.spans[0].offset, self.count * 4
        return None

    def numpy(self) -> NDArray[np.float32]:
        """The numbers, float32 of the blob's shape.

        A read-only view of the mapped file where `packed`, else an array of its own (doubles are
        rounded, as Caffe does). Raises CaffemodelError where the file has changed since.
        """
        import numpy as np

        self.reader.check_unchanged()
        if self.packed is not None and self.count:
            return self.reader.floats(self.packed[0], self.shape)
        values = np.empty(self.count, dtype=np.float32)
        at = 0
        with np.errstate(over="ignore"):
            for piece in self._pieces():
                values[at : at + piece.size] = piece
                at += piece.size
        return values.reshape(self.shape)

    def _pieces(self) -> Iterator[NDArray[np.float32] | NDArray[np.float64]]:
        import numpy as np

        kind = np.dtype("<f4" if self.width == 4 else "<f8")
        for span in self.spans:
            for first in range(0, span.count, _AT_ONCE):
                count = min(_AT_ONCE, span.count - first)
                start = span.offset + first * span.step
                length = (count - 1) * span.step + self.width
                raw = self.reader.exactly(start, start + length)
                yield np.ndarray((count,), dtype=kind, buffer=raw, strides=(span.step,))


def shape_text(shape: Shape) -> str:
    """``"20 x 1 x 5 x 5"``."""
    return " x ".join(map(str, shape)) or "no axes"


def blob_fields(reader: WireReader, start: int, end: int) -> Iterator[Field]:
    """The fields of a BlobProto; numbers with a tag each come as one long field."""
    while start < end:
        found = reader.field(start, end)
        if found.number in NUMBERS:
            found = reader.run(found, end)
        yield found
        start = found.end


def read_blob(reader: WireReader, start: int, end: int, where: str) -> Blob:
    """The blob whose BlobProto has the bytes `start` to `end`. Raises CaffemodelError.

    Refused: numbers that do not agree with the shape in their count (none included), shapes that
    Caffe could not hold, half precision.
    """
    legacy: dict[int, int] = {}
    dims: list[int] = []
    floats: list[Span] = []
    doubles: list[Span] = []
    half = False
    for found in blob_fields(reader, start, end):
        if found.number in LEGACY:
            reader.expect(found, Wire.VARINT)
            legacy[found.number] = found.value
        elif found.number == SHAPE:
            reader.expect(found, Wire.DELIMITED)
            dims += _dims(reader, found, where)
            if len(dims) > MAX_AXES:
                break  # told below
        elif found.number == DATA:
            floats.append(_span(reader, found, 4, where))
        elif found.number == DOUBLE_DATA:
            doubles.append(_span(reader, found, 8, where))
        half = half or found.number in _HALF
        if len(floats) + len(doubles) > _PIECES:
            raise reader.error(f"{where}: numbers in more than {_PIECES} pieces", start)
    shape = [legacy.get(axis, 0) for axis in LEGACY] if legacy else dims
    floats, doubles = ([span for span in spans if span.count] for spans in (floats, doubles))
    blob = Blob(
        reader=reader,
        where=where,
        shape=_checked_shape(reader, shape, start, where),
        legacy=bool(legacy),
        width=8 if doubles else 4,
        spans=tuple(doubles or floats),
        start=start,
        end=end,
    )
    _check_count(blob, half)
    return blob


def _check_count(blob: Blob, half: bool) -> None:
    there = sum(span.count for span in blob.spans)
    if there == blob.count:
        return
    if half and not there:
        raise blob.reader.error(
            f"{blob.where}: its numbers are in half precision (NVIDIA's Caffe), which is not "
            "read; save the model as float32 with the Caffe that made it",
            blob.start,
        )
    raise blob.reader.error(
        f"{blob.where}: {there} numbers for a shape of {shape_text(blob.shape)}, "
        f"which takes {blob.count}",
        blob.start,
    )


def _dims(reader: WireReader, shape: Field, where: str) -> list[int]:
    dims = []
    for found in reader.fields(shape.body, shape.end):
        if found.number != 1:
            continue
        reader.expect(found, Wire.VARINT, Wire.DELIMITED)
        for value in _varints(reader, found):
            dims.append(value)
            if len(dims) > MAX_AXES:
                raise reader.error(f"{where}: a shape of more than {MAX_AXES} axes", shape.start)
    return dims


def _varints(reader: WireReader, found: Field) -> Iterator[int]:
    if found.wire == Wire.VARINT:
        yield found.value
        return
    at = found.body
    while at < found.end:
        value, at = reader.varint(at, found.end)
        yield value


def _checked_shape(reader: WireReader, dims: Iterable[int], offset: int, where: str) -> Shape:
    shape = tuple(dim - (1 << 64) if dim >> 63 else dim for dim in dims)
    if any(dim < 0 for dim in shape):
        raise reader.error(f"{where}: a negative axis in the shape {shape_text(shape)}", offset)
    if len(shape) > MAX_AXES:
        raise reader.error(f"{where}: a shape of more than {MAX_AXES} axes", offset)
    if max((*shape, math.prod(shape))) > LARGEST:
        raise reader.error(
            f"{where}: a shape of {shape_text(shape)} is more than Caffe can count", offset
        )
    return shape


def _span(reader: WireReader, found: Field, width: int, where: str) -> Span:
    single = Wire.FIXED32 if width == 4 else Wire.FIXED64
    reader.expect(found, Wire.DELIMITED, single)
    if found.wire == single:
        step = width + found.body - found.start
        return Span(found.body, (found.end - found.start) // step, step)
    if (found.end - found.body) % width:
        raise reader.error(
            f"{where}: {found.end - found.body} bytes of numbers of {width} bytes each",
            found.start,
        )
    return Span(found.body, (found.end - found.body) // width, width)
