"""Fields of a binary layer as they are carried from one generation to the next.

Weights stay where they are: a blob is a range of the old file, or several where NVCaffe's raw
numbers become what Caffe 1.0 reads. All else of a layer is small, and read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from netsurgery.formats.blob import raw_blob
from netsurgery.formats.caffemodel import check_parts
from netsurgery.formats.caffemodel_write import plain_blob
from netsurgery.formats.upgrade.splices import UpgradeStep
from netsurgery.io.segments import Bytes, FileRange, FileSource, Segment, segments_length
from netsurgery.io.wire import FIELD_MEMORY, Wire, WireField, WireReader, header, tag
from netsurgery.io.wording import counted

__all__ = [
    "COUNTED",
    "JoinedParts",
    "WirePart",
    "encoded",
    "fixed32s",
    "last_text",
    "part",
    "parts",
    "plain_step",
    "text_part",
]


_FLOATS = frozenset(
    "dropout_ratio alpha beta k scale det_fg_threshold det_bg_threshold det_fg_fraction".split()
)
_FLOAT_LISTS = frozenset({"blobs_lr", "weight_decay", "loss_weight"})
_INTEGERS = frozenset(
    "num_output biasterm pad kernelsize group stride pool local_size batchsize cropsize mirror "
    "rand_skip det_context_pad new_num new_channels new_height new_width shuffle_images "
    "concat_dim".split()
)


#: What a layer has more and more of, if it has much.
COUNTED = frozenset({"bottom", "top", "blobs"})
#: A value is kept as it is read, as it is written, and may be a text of four bytes a character.
_COPIES = 10


@dataclass(frozen=True)
class WirePart:
    """A field by its name: its value, for blobs (`data` is None) only where the value lies.

    start, end: the bytes of the value in the file; 0 for a new value. plain: of a blob with
    raw numbers, its message as Caffe 1.0 has it.
    """

    name: str
    wire: int
    data: bytes | None
    start: int = 0
    end: int = 0
    plain: tuple[Segment, ...] | None = None

    @property
    def length(self) -> int:
        """How many bytes the value has."""
        if self.plain is not None:
            return segments_length(self.plain)
        return self.end - self.start if self.data is None else len(self.data)

    @property
    def bytes(self) -> bytes:
        """The value of a part that is not a blob."""
        return self.data or b""

    @property
    def text(self) -> str:
        """A string; bytes that are not UTF-8 survive as surrogates."""
        return self.bytes.decode("utf-8", "surrogateescape")


def text_part(name: str, text: str) -> WirePart:
    """A string field."""
    return WirePart(name, Wire.DELIMITED, text.encode("utf-8", "surrogateescape"))


def part(reader: WireReader, field: WireField, name: str) -> WirePart:
    """The field under a name. Raises CaffemodelError for a wire type it never has."""
    reader.expect(field, *_wires(name))
    reader.claim.add(FIELD_MEMORY)
    if name == "blobs":
        # The name of its layer may come later in the file.
        raw = raw_blob(reader, field.body, field.end)
        plain = None if raw is None else tuple(plain_blob(raw))
        return WirePart(name, field.wire, None, field.body, field.end, plain)
    data = reader.read(field.body, field.end)
    reader.claim.add(_COPIES * len(data))
    return WirePart(name, field.wire, data, field.body, field.end)


def _wires(name: str) -> tuple[Wire, ...]:
    """How a field is written; a type is a number in V1 and a string in V0 and V2."""
    if name in _FLOATS:
        return (Wire.FIXED32,)
    if name in _FLOAT_LISTS:
        return (Wire.FIXED32, Wire.DELIMITED)
    if name in _INTEGERS:
        return (Wire.VARINT,)
    return (
        (Wire.VARINT, Wire.DELIMITED) if name in ("type", "blob_share_mode") else (Wire.DELIMITED,)
    )


def plain_step(layer: str, fields: Iterable[WirePart]) -> list[UpgradeStep]:
    """What is done to raw numbers of a layer's blobs; nothing where there are none."""
    count = sum(each.plain is not None for each in fields)
    if not count:
        return []
    what = f"raw_data of {counted(count, 'blob')} (NVIDIA's Caffe) becomes data"
    return [UpgradeStep(layer, what, ("raw_data",), "raw_data", "data")]


def last_text(fields: Sequence[WirePart], name: str) -> str:
    """The string field `name`: of several the last, as in protobuf; "" for none."""
    return next((each.text for each in reversed(fields) if each.name == name), "")


def parts(
    reader: WireReader, layer: WireField, numbers: Mapping[str, int]
) -> tuple[list[WirePart], list[int]]:
    """The fields of a layer that have a name in `numbers`; the numbers of all others."""
    names = {number: name for name, number in numbers.items()}
    known, unknown, count = [], [], 0
    for field in reader.fields(layer.body, layer.end):
        if field.number in names:
            known.append(part(reader, field, names[field.number]))
            count += known[-1].name in COUNTED
            check_parts(reader, count, layer.start)
        else:
            reader.claim.add(FIELD_MEMORY)
            unknown.append(field.number)
    return known, unknown


def encoded(number: int, each: WirePart) -> bytes:
    """A part that is not a blob, as a field of that number."""
    if each.wire == Wire.DELIMITED:
        return header(number, each.length) + each.bytes
    return tag(number, Wire(each.wire)) + each.bytes


def fixed32s(fields: Iterable[WirePart]) -> list[bytes]:
    """The values, four bytes each, of a repeated float, packed or not."""
    # A packed list is its numbers one after another, and so is a number by itself.
    data = b"".join(each.bytes for each in fields)
    return [data[at : at + 4] for at in range(0, len(data), 4)]


class JoinedParts:
    """A list of segments, bytes and ranges of one file; neighbours become one."""

    def __init__(self, source: FileSource) -> None:
        self.source = source
        self.segments: list[Segment] = []
        self._pending = bytearray()

    def add(self, data: bytes) -> None:
        """Append bytes."""
        self._pending += data

    def copy(self, start: int, end: int) -> None:
        """Append the bytes `start` to `end` of the file."""
        # Bytes that are pending lie between two ranges: these cannot become one.
        last = self.segments[-1] if self.segments and not self._pending else None
        if isinstance(last, FileRange) and last.offset + last.length == start:
            self.segments[-1] = FileRange(self.source, last.offset, last.length + end - start)
        elif start < end:
            self._flush()
            self.segments.append(FileRange(self.source, start, end - start))

    def field(self, number: int, each: WirePart) -> None:
        """Append a part as a field."""
        if each.plain is not None:
            self.add(header(number, each.length))
            self.extend(each.plain)
        elif each.data is None:
            self.add(header(number, each.length))
            self.copy(each.start, each.end)
        else:
            self.add(encoded(number, each))

    def message(self, number: int, body: JoinedParts) -> None:
        """Append a message."""
        inside = body.done()
        self.add(header(number, segments_length(inside)))
        self.extend(inside)

    def extend(self, segments: Iterable[Segment]) -> None:
        """Append segments of the same file."""
        for segment in segments:
            if isinstance(segment, FileRange):
                self.copy(segment.offset, segment.offset + segment.length)
            elif isinstance(segment, Bytes):
                self.add(segment.data)
            else:
                self._flush()
                self.segments.append(segment)

    def done(self) -> list[Segment]:
        """All of it."""
        self._flush()
        return self.segments

    def _flush(self) -> None:
        if self._pending:
            self.segments.append(Bytes(bytes(self._pending)))
            self._pending = bytearray()
