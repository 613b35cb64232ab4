"""The protobuf wire format: varints, tags and length-delimited fields, read in place.

A message is a run of fields; a field is a tag (number and wire type) and its value. The reader
looks at tags and lengths only and steps over what is long, so that a file of any size costs a
few small reads. Every length is checked against its message before it is believed.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from netsurgery.io.memory import Claim
from netsurgery.io.reader import Reader
from netsurgery.io.segments import FileSource
from netsurgery.io.wording import counted

__all__ = [
    "FIELD_MEMORY",
    "Wire",
    "WireField",
    "WireReader",
    "delimited",
    "encode_varint",
    "header",
    "packed_varints",
    "tag",
    "text_field",
    "varint_field",
]

#: What a field takes that is kept in a list, with what is made of it there.
FIELD_MEMORY = 400

_WINDOW = 1 << 14
_GROUPS = 100
#: The longest value that is read; numbers, which are longer, are not.
_SMALL = 1 << 20


class Wire(enum.IntEnum):
    """Wire types."""

    VARINT = 0
    FIXED64 = 1
    DELIMITED = 2
    GROUP = 3
    END_GROUP = 4
    FIXED32 = 5


class WireField(NamedTuple):
    """One field: bytes `start` to `end` of the file, its value from `body` on.

    `value` is that of a varint (0 to 2**64 - 1), 0 for other wire types.
    """

    number: int
    wire: int
    start: int
    body: int
    end: int
    value: int


class _Fields(list[WireField]):
    """Fields, and the claim to their memory."""

    def __init__(self, claim: Claim) -> None:
        super().__init__()
        self.claim = claim


class WireReader(Reader):
    """Fields of a file, read through a small window. Raises CaffemodelError, with the offset.

    claim: the memory of what is kept of the fields for as long as the file is open.
    """

    def __init__(self, source: FileSource) -> None:
        super().__init__(source)
        self.size = source.size
        self.claim = Claim(0, f"{self.path}: the list of its fields")
        self._window, self._at = b"", 0

    def read(self, start: int, end: int) -> bytes:
        """The bytes from `start` to `end`, at most 1 MiB of them."""
        if end - start > _SMALL:
            raise self.error(
                f"{counted(end - start, 'byte')} where at most {_SMALL} make sense", start
            )
        return self.exactly(start, end)

    def _byte(self, offset: int) -> int:
        inside = offset - self._at
        if not 0 <= inside < len(self._window):
            self._window = self.exactly(offset, min(offset + _WINDOW, self.size))
            self._at, inside = offset, 0
        return self._window[inside]

    def varint(self, offset: int, end: int) -> tuple[int, int]:
        """The varint at `offset` and where it ends, at `end` at most."""
        value = shift = 0
        for at in range(offset, min(offset + 10, end)):
            byte = self._byte(at)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if value >> 64:
                    raise self.error("a number of more than 64 bits", offset)
                return value, at + 1
            shift += 7
        if end - offset >= 10:
            raise self.error("a number of more than 10 bytes", offset)
        raise self.error(f"a number is cut off{self._cut(end)}", offset)

    def _cut(self, end: int) -> str:
        return ": the file is cut short" if end == self.size else " by the end of its message"

    def field(self, offset: int, end: int) -> WireField:
        """The field whose tag is at `offset`, in a message that ends at `end`."""
        key, body = self.varint(offset, end)
        number, wire = key >> 3, key & 7
        if not 0 < number < 1 << 29:
            raise self.error(f"there is no field number {number}", offset)
        value = 0
        if wire == Wire.VARINT:
            value, stop = self.varint(body, end)
        elif wire == Wire.DELIMITED:
            length, body = self.varint(body, end)
            stop = body + length
        elif wire in (Wire.FIXED32, Wire.FIXED64):
            stop = body + (4 if wire == Wire.FIXED32 else 8)
        elif wire == Wire.GROUP:
            stop = self._end_of_group(number, body, end)
        else:
            raise self.error(f"field {number} has wire type {wire}, which nothing begins", offset)
        if stop > end:
            raise self.error(
                f"field {number} has {counted(stop - body, 'byte')}, {end - body} "
                f"are left{self._cut(end)}",
                offset,
            )
        return WireField(number, wire, offset, body, stop, value)

    def _end_of_group(self, number: int, offset: int, end: int) -> int:
        """Where the group ends: groups are of old, but unknown fields may be of any kind."""
        start, inside = offset, [number]
        while inside:
            key, body = self.varint(offset, end)
            if key & 7 == Wire.END_GROUP:
                if key >> 3 != inside.pop():
                    raise self.error(f"group {number} is ended by another's end", offset)
                offset = body
            elif key & 7 == Wire.GROUP:
                inside.append(key >> 3)
                offset = body
            else:
                offset = self.field(offset, end).end
            if len(inside) > _GROUPS:
                raise self.error(f"more than {_GROUPS} groups in each other", start)
        return offset

    def fields(self, start: int, end: int) -> Iterator[WireField]:
        """The fields of the message from `start` to `end`, in file order."""
        while start < end:
            field = self.field(start, end)
            yield field
            start = field.end

    def listed(self, fields: Iterable[WireField]) -> list[WireField]:
        """The fields as a list, its memory claimed for as long as it lives."""
        listed = _Fields(Claim(0, f"{self.path}: the list of its fields"))
        for field in fields:
            listed.claim.add(FIELD_MEMORY)
            listed.append(field)
        return listed

    def run(self, field: WireField, end: int) -> WireField:
        """`field` stretched over those after it with the same tag, one byte, and fixed width.

        A value a field is how an unpacked array is written: millions of them cost one step.
        """
        step = field.end - field.start
        key = field.number << 3 | field.wire
        if key > 0x7F or field.wire not in (Wire.FIXED32, Wire.FIXED64):
            return field
        # Ever more at once: a short run among others must not cost what a long one does.
        stop, count = field.end, 16
        while stop < end:
            count = min(2 * count, min(end - stop, _SMALL) // step)
            tags = self.exactly(stop, stop + count * step)[::step]
            same = len(tags) - len(tags.lstrip(bytes([key])))
            stop += same * step
            if same < count or not count:
                break
        return field._replace(end=stop)

    def text(self, field: WireField) -> str:
        """A string field; bytes that are not UTF-8 survive as surrogates, to be written back."""
        self.expect(field, Wire.DELIMITED)
        return self.read(field.body, field.end).decode("utf-8", "surrogateescape")

    def expect(self, field: WireField, *wires: Wire) -> None:
        """Refuse a known field of a wire type it never has."""
        if field.wire not in wires:
            expected = " or ".join(str(int(wire)) for wire in wires)
            raise self.error(
                f"field {field.number} has wire type {field.wire} instead of {expected}",
                field.start,
            )


def encode_varint(value: int) -> bytes:
    """A varint; a negative number as protobuf's int32 and int64, in ten bytes."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def tag(number: int, wire: Wire) -> bytes:
    """The tag of a field."""
    return encode_varint(number << 3 | wire)


def header(number: int, length: int) -> bytes:
    """Tag and length of a length-delimited field, whose `length` bytes follow."""
    return tag(number, Wire.DELIMITED) + encode_varint(length)


def delimited(number: int, data: bytes) -> bytes:
    """A length-delimited field: bytes or a message."""
    return header(number, len(data)) + data


def text_field(number: int, text: str) -> bytes:
    """A string field; surrogates become the bytes they stand for again."""
    return delimited(number, text.encode("utf-8", "surrogateescape"))


def varint_field(number: int, value: int) -> bytes:
    """A field with one integer, bool or enum."""
    return tag(number, Wire.VARINT) + encode_varint(value)


def packed_varints(number: int, values: Iterable[int]) -> bytes:
    """A packed repeated integer field; nothing at all for no values."""
    data = b"".join(map(encode_varint, values))
    return delimited(number, data) if data else b""
