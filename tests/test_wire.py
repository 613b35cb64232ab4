from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsurgery.errors import CaffemodelError
from netsurgery.io.segments import FileSource
from netsurgery.io.wire import (
    Wire,
    WireField,
    WireReader,
    delimited,
    encode_varint,
    packed_varints,
    tag,
    varint_field,
)

Reader = Callable[[bytes], WireReader]


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    def make(data: bytes) -> WireReader:
        path = tmp_path / "m"
        path.write_bytes(data)
        return WireReader(FileSource(path))

    return make


def fields(reader: WireReader) -> list[WireField]:
    return list(reader.fields(0, reader.size))


def refused(reader: WireReader) -> str:
    with pytest.raises(CaffemodelError) as caught:
        fields(reader)
    return str(caught.value).removeprefix(reader.path + ": ")


def test_every_wire_type(reader: Reader) -> None:
    data = b"\x08\x96\x01" + b"\x11" + b"8" * 8 + b"\x1a\x02hi" + b"\x25" + b"4" * 4
    assert fields(reader(data)) == [
        WireField(1, Wire.VARINT, 0, 1, 3, 150),
        WireField(2, Wire.FIXED64, 3, 4, 12, 0),
        WireField(3, Wire.DELIMITED, 12, 14, 16, 0),
        WireField(4, Wire.FIXED32, 16, 17, 21, 0),
    ]


def test_a_field_of_two_tag_bytes(reader: Reader) -> None:
    assert fields(reader(b"\xa2\x06\x00")) == [WireField(100, Wire.DELIMITED, 0, 3, 3, 0)]


def test_groups_are_stepped_over(reader: Reader) -> None:
    inner = b"\x13\x18\x05\x14"  # group 2 with field 3 in it
    data = b"\x0b" + inner + b"\x22\x01x" + b"\x0c" + b"\x08\x01"
    actual = fields(reader(data))
    assert [(field.number, field.start, field.end) for field in actual] == [(1, 0, 9), (1, 9, 11)]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x08", "byte 1: a number is cut off: the file is cut short"),
        (b"\x88", "byte 0: a number is cut off: the file is cut short"),
        (b"\x08" + b"\x80" * 10 + b"\x01", "byte 1: a number of more than 10 bytes"),
        (b"\x08" + b"\xff" * 9 + b"\x02", "byte 1: a number of more than 64 bits"),
        (b"\x02\x00", "byte 0: there is no field number 0"),
        (b"\x80\x80\x80\x80\x10\x00", "byte 0: there is no field number 536870912"),
        (b"\x0e", "byte 0: field 1 has wire type 6, which nothing begins"),
        (b"\x0c", "byte 0: field 1 has wire type 4, which nothing begins"),
        (b"\x1a\x05hi", "byte 0: field 3 has 5 bytes, 2 are left: the file is cut short"),
        (
            b"\x1a" + b"\xff" * 9 + b"\x01",
            "byte 0: field 3 has 18446744073709551615 bytes, 0 are left: the file is cut short",
        ),
        (b"\x25abc", "byte 0: field 4 has 4 bytes, 3 are left: the file is cut short"),
        (b"\x11abc", "byte 0: field 2 has 8 bytes, 3 are left: the file is cut short"),
        (b"\x0b\x18\x05", "byte 3: a number is cut off: the file is cut short"),
        (b"\x0b\x14", "byte 1: group 1 is ended by another's end"),
        (b"\x0b" * 200, "byte 1: more than 100 groups in each other"),
    ],
)
def test_what_is_refused(reader: Reader, data: bytes, message: str) -> None:
    assert refused(reader(data)) == message


def test_a_field_that_leaves_its_message(reader: Reader) -> None:
    whole = reader(b"\x1a\x02\x1a\x05hello")
    outer = next(whole.fields(0, whole.size))
    with pytest.raises(CaffemodelError, match="5 bytes, 0 are left by the end of its message"):
        list(whole.fields(outer.body, outer.end))


def test_a_wrong_wire_type_of_a_known_field(reader: Reader) -> None:
    whole = reader(b"\x08\x01")
    with pytest.raises(CaffemodelError, match=r"field 1 has wire type 0 instead of 2$"):
        whole.text(fields(whole)[0])


def test_what_is_long_is_not_read_as_text(reader: Reader) -> None:
    whole = reader(delimited(1, bytes((1 << 20) + 1)))
    with pytest.raises(CaffemodelError, match="1048577 bytes where at most 1048576 make sense"):
        whole.text(fields(whole)[0])


def test_a_file_that_became_shorter(reader: Reader) -> None:
    whole = reader(b"\x08\x01" * 10)
    Path(whole.path).write_bytes(b"\x08\x01")
    with pytest.raises(CaffemodelError, match="byte 2: the file became shorter while it was"):
        fields(whole)


def test_names_survive_whatever_their_bytes(reader: Reader) -> None:
    whole = reader(b"\x0a\x03\xff\xc3\x28")
    assert whole.text(fields(whole)[0]).encode("utf-8", "surrogateescape") == b"\xff\xc3\x28"


@pytest.mark.parametrize("count", [1, 2, 5000, 300_000])
def test_a_run_of_tagged_floats_is_one_step(reader: Reader, count: int) -> None:
    whole = reader(b"\x2dABCD" * count + b"\x08\x2d")
    first = whole.field(0, whole.size)
    assert whole.run(first, whole.size) == first._replace(end=5 * count)


def test_short_runs_cost_no_more_than_they_are_long(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    pread = FileSource.pread

    def counted(source: FileSource, length: int, offset: int) -> bytes:
        read.append(length)
        return pread(source, length, offset)

    monkeypatch.setattr(FileSource, "pread", counted)
    whole = reader((b"\x2dABCD" + b"\x35ABCD") * 5000)
    assert (
        sum(1 for position in fields(whole) if whole.run(position, whole.size) == position)
        == 10_000
    )
    assert sum(read) < 100 * whole.size


def test_only_fixed_fields_make_runs(reader: Reader) -> None:
    whole = reader(b"\x08\x01\x08\x02")
    first = whole.field(0, whole.size)
    assert whole.run(first, whole.size) == first


def test_windows_are_crossed(reader: Reader) -> None:
    names = [bytes([65 + index % 26]) * (index % 90) for index in range(1000)]
    whole = reader(b"".join(delimited(7, name) for name in names))
    assert [whole.text(field).encode() for field in fields(whole)] == names


@given(st.integers(-(2**63), 2**64 - 1))
def test_varints_as_protobuf_writes_them(value: int) -> None:
    from google.protobuf.internal import encoder

    write = encoder._VarintEncoder()  # type: ignore[attr-defined,unused-ignore]
    pieces: list[bytes] = []
    write(pieces.append, value & (1 << 64) - 1, None)
    assert encode_varint(value) == b"".join(pieces)


def test_encoders() -> None:
    assert tag(106, Wire.DELIMITED) == b"\xd2\x06"
    assert delimited(1, b"ip1") == b"\x0a\x03ip1"
    assert varint_field(5, 14) == b"\x28\x0e"
    assert varint_field(1, -1) == b"\x08" + b"\xff" * 9 + b"\x01"
    assert packed_varints(1, (20, 1, 300)) == b"\x0a\x04\x14\x01\xac\x02"
    assert packed_varints(1, ()) == b""
