"""A blob stored in a file: its shape and where its numbers are, without reading them.

A BlobProto has its shape either as a BlobShape (field 7) or, until 2015, as num, channels, height
and width (fields 1 to 4, always four axes); Caffe looks at the latter first, and so do we. Its
numbers are float (field 5) or double (field 8, preferred by Caffe where there are any), packed
into one run of bytes or several, or a tag before each. NVIDIA's Caffe has them as bytes
(raw_data, field 12) of a type of their own (raw_data_type, field 10), which count where there are
no others; Caffe 1.0 does not know these fields.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from netsurgery.io.memory import empty
from netsurgery.io.segments import Computed, FileRange, Segment
from netsurgery.io.shape_text import shape_text
from netsurgery.io.wire import Wire, WireField, WireReader
from netsurgery.io.wording import counted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "RAW_FIELDS",
    "Shape",
    "Span",
    "StoredBlob",
    "blob_fields",
    "plain_numbers",
    "raw_blob",
    "raw_width",
    "read_blob",
]

Shape = tuple[int, ...]

DATA, DIFF, SHAPE, DOUBLE_DATA, DOUBLE_DIFF = 5, 6, 7, 8, 9
LEGACY = (1, 2, 3, 4)
RAW_DATA_TYPE, RAW_DIFF_TYPE, RAW_DATA, RAW_DIFF = 10, 11, 12, 13
NUMBERS = (DATA, DIFF, DOUBLE_DATA, DOUBLE_DIFF)
#: NVCaffe's enum Type, by its values, and the bytes of a number of those that hold weights.
_RAW_TYPES = ("DOUBLE", "FLOAT", "FLOAT16", "INT", "UINT", "BOOL")
_RAW_WIDTHS = {0: 8, 1: 4, 2: 2}
#: Bytes of a number -> how numpy calls it.
_DTYPES = {2: "<f2", 4: "<f4", 8: "<f8"}
#: Caffe counts in an int, and knows no more axes than this.
LARGEST = 2**31 - 1
MAX_AXES = 32
#: Numbers lie in one piece, or have a tag each, which counts as one.
_PIECES = 100_000
#: What is kept of a blob, beside its layer's name, and of one piece of its numbers.
_BLOB_MEMORY, _PIECE_MEMORY = 600, 200
#: Numbers that are converted at a time: 4 or 8 MiB of them.
_AT_ONCE = 1 << 20


@dataclass(frozen=True, slots=True)
class Span:
    """`count` numbers, the first at byte `offset`, each `step` bytes after the one before."""

    offset: int
    count: int
    step: int


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A param blob (or a mean) in a file.

    shape: its axes, four for a `legacy` blob. where: for messages, "layer 'fc6', blob 0".
    width: bytes a number, 2 for half, 4 for float, 8 for double. spans: where the numbers are, in
    order. start, end: the bytes of the BlobProto's fields. raw: whether the numbers are in
    raw_data of NVIDIA's Caffe, where Caffe 1.0 does not find them.
    """

    reader: WireReader = field(repr=False, compare=False)
    where: str
    shape: Shape
    legacy: bool
    width: int
    spans: tuple[Span, ...]
    start: int
    end: int
    raw: bool = False

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
        rounded, as Caffe does; half is widened, exactly). Raises CaffemodelError where the file
        has changed since.
        """
        import numpy as np

        self.reader.check_unchanged()
        if self.packed is not None and self.count:
            return self.reader.floats(self.packed[0], self.shape)
        what = f"{self.reader.path}: an array of the numbers of {self.where}"
        values: NDArray[np.float32] = empty((self.count,), "f4", what)
        at = 0
        # A double beyond float32 becomes inf, as in Caffe's own conversion (blob.cpp).
        with np.errstate(over="ignore"):
            for piece in self._pieces():
                values[at : at + piece.size] = piece
                at += piece.size
        return values.reshape(self.shape)

    def _pieces(self) -> Iterator[NDArray[np.float32] | NDArray[np.float64]]:
        """The numbers in order, at most a million at a time; half is widened to float32."""
        import numpy as np

        kind = np.dtype(_DTYPES[self.width])
        for span in self.spans:
            for first in range(0, span.count, _AT_ONCE):
                count = min(_AT_ONCE, span.count - first)
                start = span.offset + first * span.step
                length = (count - 1) * span.step + self.width
                raw = self.reader.exactly(start, start + length)
                # Where each number has a tag of its own the strides step over it.
                piece = np.ndarray((count,), dtype=kind, buffer=raw, strides=(span.step,))
                yield piece.astype("<f4") if self.width == 2 else piece


def blob_fields(reader: WireReader, start: int, end: int) -> Iterator[WireField]:
    """The fields of a BlobProto; numbers with a tag each come as one long field."""
    while start < end:
        entry = reader.field(start, end)
        if entry.number in NUMBERS:
            entry = reader.run(entry, end)
        yield entry
        start = entry.end


def read_blob(reader: WireReader, start: int, end: int, where: str) -> StoredBlob:
    """The blob whose BlobProto has the bytes `start` to `end`. Raises CaffemodelError.

    Refused: numbers that do not agree with the shape in their count (none included), shapes that
    Caffe could not hold, raw data of a type that is not a weight's.
    """
    reader.claim.add(_BLOB_MEMORY + 4 * len(where))
    legacy: dict[int, int] = {}
    dims: list[int] = []
    # A repeated field may be in several places, as after a merge: protobuf joins them.
    spans: dict[int, list[Span]] = {4: [], 8: []}
    raw: dict[int, WireField] = {}
    for entry in blob_fields(reader, start, end):
        if entry.number in LEGACY:
            reader.expect(entry, Wire.VARINT)
            legacy[entry.number] = entry.value
        elif entry.number == SHAPE:
            reader.expect(entry, Wire.DELIMITED)
            dims += _dims(reader, entry, where)
            if len(dims) > MAX_AXES:
                break  # reported below
        elif entry.number in (DATA, DOUBLE_DATA):
            width = 4 if entry.number == DATA else 8
            reader.claim.add(_PIECE_MEMORY)
            spans[width].append(_span(reader, entry, width, where))
        elif entry.number in (RAW_DATA_TYPE, RAW_DATA):
            raw[entry.number] = entry
        if len(spans[4]) + len(spans[8]) > _PIECES:
            raise reader.error(f"{where}: numbers in more than {_PIECES} pieces", start)
    # A dimension that is left out is 0, BlobProto's default.
    shape = [legacy.get(axis, 0) for axis in LEGACY] if legacy else dims
    filled = {width: [span for span in each if span.count] for width, each in spans.items()}
    width = 8 if filled[8] else 4
    is_raw = RAW_DATA in raw and not filled[width]
    if is_raw:
        width = raw_width(reader, raw.get(RAW_DATA_TYPE), raw[RAW_DATA], where)
        filled = {width: [_span(reader, raw[RAW_DATA], width, where)]}
    blob = StoredBlob(
        reader=reader,
        where=where,
        shape=_checked_shape(reader, shape, start, where),
        legacy=bool(legacy),
        width=width,
        spans=tuple(filled[width]),
        start=start,
        end=end,
        raw=is_raw,
    )
    count = sum(span.count for span in blob.spans)
    if count != blob.count:
        raise reader.error(
            f"{where}: {counted(count, 'number')} for shape {shape_text(blob.shape)}, "
            f"which takes {blob.count}",
            start,
        )
    return blob


def raw_width(reader: WireReader, kind: WireField | None, data: WireField, where: str) -> int:
    """Bytes of a number of NVCaffe's raw data or diff `data`, whose type is in the field `kind`.

    Raises CaffemodelError for a type that is missing, unknown or no weight's.
    """
    reader.expect(data, Wire.DELIMITED)
    if kind is not None:
        reader.expect(kind, Wire.VARINT)
        if kind.value in _RAW_WIDTHS:
            return _RAW_WIDTHS[kind.value]
    name = "raw_data" if data.number == RAW_DATA else "raw_diff"
    raise reader.error(
        f"{where}: {name} of {_raw_type(kind)} ({name}_type, NVIDIA's Caffe); expected FLOAT, "
        "DOUBLE or FLOAT16",
        data.start,
    )


def _raw_type(kind: WireField | None) -> str:
    if kind is None:
        return "no type"
    return f"type {_RAW_TYPES[kind.value] if kind.value < len(_RAW_TYPES) else kind.value}"


def _dims(reader: WireReader, shape: WireField, where: str) -> list[int]:
    dims = []
    for entry in reader.fields(shape.body, shape.end):
        if entry.number != 1:  # BlobShape has `dim` alone; protobuf steps over the rest
            continue
        reader.expect(entry, Wire.VARINT, Wire.DELIMITED)
        for value in _varints(reader, entry):
            dims.append(value)
            if len(dims) > MAX_AXES:
                raise reader.error(f"{where}: a shape of more than {MAX_AXES} axes", shape.start)
    return dims


def _varints(reader: WireReader, entry: WireField) -> Iterator[int]:
    if entry.wire == Wire.VARINT:
        yield entry.value
        return
    at = entry.body
    while at < entry.end:
        value, at = reader.varint(at, entry.end)
        yield value


def _checked_shape(reader: WireReader, dims: Iterable[int], offset: int, where: str) -> Shape:
    # The dims are int64: as varints, two's complement of 64 bits.
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


def _span(reader: WireReader, entry: WireField, width: int, where: str) -> Span:
    if entry.wire != Wire.DELIMITED:
        reader.expect(entry, Wire.DELIMITED, Wire.FIXED32 if width == 4 else Wire.FIXED64)
        step = width + entry.body - entry.start  # its tag, and the number
        return Span(entry.body, (entry.end - entry.start) // step, step)
    if (entry.end - entry.body) % width:
        raise reader.error(
            f"{where}: {counted(entry.end - entry.body, 'byte')} of numbers "
            f"of {counted(width, 'byte')} each",
            entry.start,
        )
    return Span(entry.body, (entry.end - entry.body) // width, width)


#: The fields of a BlobProto that Caffe 1.0 lacks.
RAW_FIELDS = (RAW_DATA_TYPE, RAW_DIFF_TYPE, RAW_DATA, RAW_DIFF)


def raw_blob(reader: WireReader, start: int, end: int) -> StoredBlob | None:
    """The blob of those bytes where its numbers are raw, else None. Raises CaffemodelError."""
    if not any(entry.number == RAW_DATA for entry in blob_fields(reader, start, end)):
        return None
    blob = read_blob(reader, start, end, "a blob")
    return blob if blob.raw else None


def plain_numbers(blob: StoredBlob) -> dict[int, Segment]:
    """Field number -> its bytes, instead of all RAW_FIELDS of a `raw` blob: as Caffe 1.0 reads it.

    float32 and double become `data` and `double_data`, their bytes a range of the old file; half
    has no field in Caffe 1.0 and is widened to float32, exactly. The gradients likewise.
    Raises CaffemodelError for a diff of a type that no weight has, or of another count.
    """
    plain = {DOUBLE_DATA if blob.width == 8 else DATA: _plain(blob)}
    diff = _raw_diff(blob)
    if diff is not None:
        plain[DOUBLE_DIFF if diff.width == 8 else DIFF] = _plain(diff)
    return plain


def _plain(blob: StoredBlob) -> Segment:
    if blob.width != 2:
        (span,) = blob.spans
        return FileRange(blob.reader.source, span.offset, span.count * blob.width)

    def widened() -> Iterator[memoryview]:
        for piece in blob._pieces():
            yield piece.data.cast("B")

    return Computed(4 * blob.count, widened)


def _raw_diff(blob: StoredBlob) -> StoredBlob | None:
    """The blob with its raw gradients for numbers; None where it has none."""
    # Of fields given twice the last counts, as in protobuf.
    fields = {raw.number: raw for raw in blob_fields(blob.reader, blob.start, blob.end)}
    if RAW_DIFF not in fields or DIFF in fields or DOUBLE_DIFF in fields:
        return None
    raw = fields[RAW_DIFF]
    width = raw_width(blob.reader, fields.get(RAW_DIFF_TYPE), raw, blob.where)
    if raw.end - raw.body != blob.count * width:
        raise blob.reader.error(
            f"{blob.where}: {counted(raw.end - raw.body, 'byte')} of raw_diff for "
            f"{counted(blob.count, 'number')} of {counted(width, 'byte')} each",
            raw.start,
        )
    return replace(blob, width=width, spans=(Span(raw.body, blob.count, width),))
