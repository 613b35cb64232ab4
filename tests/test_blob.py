from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from golden import floats

from netsurgery.errors import CaffemodelError
from netsurgery.formats.blob import Span, StoredBlob, read_blob
from netsurgery.io.segments import FileSource
from netsurgery.io.shape_text import shape_text
from netsurgery.io.wire import (
    WireReader,
    delimited,
    header,
    packed_varints,
    varint_field,
)


def shape(*dims: int) -> bytes:
    return delimited(7, packed_varints(1, dims))


def data(*values: float) -> bytes:
    return delimited(5, floats(*values))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def blob(folder: Path, *fields: bytes) -> StoredBlob:
    path = folder / "b"
    path.write_bytes(b"".join(fields))
    reader = WireReader(FileSource(path))
    return read_blob(reader, 0, reader.size, "layer 'x', blob 0")


def refused(folder: Path, *fields: bytes) -> str:
    with pytest.raises(CaffemodelError) as caught:
        blob(folder, *fields)
    return str(caught.value).removeprefix(f"{folder / 'b'}: ")


def test_one_packed_run_is_a_view_of_the_file(folder: Path) -> None:
    content = blob(folder, data(1, 2, 3, 4), shape(2, 2))
    assert content.packed == (2, 16)
    assert content.spans == (Span(2, 4, 4),)
    assert content.numpy().tolist() == [[1, 2], [3, 4]]
    assert content.numpy().base is not None
    assert not content.numpy().flags.writeable


def test_several_packed_runs(folder: Path) -> None:
    content = blob(folder, data(1), shape(3), data(), data(2, 3))
    assert content.packed is None
    assert content.spans == (Span(2, 1, 4), Span(15, 2, 4))
    assert content.numpy().tolist() == [1, 2, 3]


def test_a_tag_before_each_number(folder: Path) -> None:
    content = blob(folder, shape(3), *(b"\x2d" + floats(value) for value in (1, 2, 3)))
    assert content.packed is None
    assert content.spans == (Span(6, 3, 5),)
    assert content.numpy().tolist() == [1, 2, 3]


def test_tags_and_runs_mixed(folder: Path) -> None:
    content = blob(folder, b"\x2d" + floats(1), data(2, 3), b"\x2d" + floats(4), shape(4))
    assert content.spans == (Span(1, 1, 5), Span(7, 2, 4), Span(16, 1, 5))
    assert content.numpy().tolist() == [1, 2, 3, 4]


def test_a_long_run_of_tagged_numbers(folder: Path) -> None:
    numbers = np.arange(1_100_000, dtype="<f4")
    tagged = np.empty((numbers.size, 5), np.uint8)
    tagged[:, 0] = 0x2D
    tagged[:, 1:] = numbers.view(np.uint8).reshape(-1, 4)
    content = blob(folder, tagged.tobytes(), shape(numbers.size))
    assert len(content.spans) == 1
    assert content.numpy().tobytes() == numbers.tobytes()


def test_doubles_go_before_floats(folder: Path) -> None:
    doubles = delimited(8, struct.pack("<2d", 1.1, 1e300))
    content = blob(folder, shape(2), data(5, 6), doubles)
    assert content.width == 8
    assert content.packed is None
    assert content.numpy().tolist() == [np.float32(1.1), np.inf]


def test_doubles_with_a_tag_each(folder: Path) -> None:
    content = blob(folder, shape(2), *(b"\x41" + struct.pack("<d", value) for value in (1, 2)))
    assert content.spans == (Span(6, 2, 9),)
    assert content.numpy().tolist() == [1, 2]


def test_old_dimensions_go_before_a_shape(folder: Path) -> None:
    old = varint_field(1, 1) + varint_field(2, 1) + varint_field(3, 2) + varint_field(4, 3)
    content = blob(folder, old, data(1, 2, 3, 4, 5, 6), shape(6))
    assert (content.shape, content.legacy) == ((1, 1, 2, 3), True)


def test_bits_are_kept(folder: Path) -> None:
    odd = struct.pack("<4I", 0x7FC00001, 0xFF800000, 0x80000000, 0x00000001)
    assert blob(folder, shape(4), delimited(5, odd)).numpy().tobytes() == odd


@pytest.mark.parametrize("dims", [(), (1,)])
def test_one_number(folder: Path, dims: tuple[int, ...]) -> None:
    assert blob(folder, shape(*dims), data(5)).numpy().shape == dims


def test_no_shape_at_all_is_no_axes(folder: Path) -> None:
    assert blob(folder, data(5)).shape == ()


def test_no_numbers(folder: Path) -> None:
    content = blob(folder, shape(0, 3))
    assert content.spans == ()
    assert content.numpy().shape == (0, 3)


def test_a_shape_in_pieces(folder: Path) -> None:
    piece = delimited(7, varint_field(1, 2))
    content = blob(folder, piece, data(1, 2, 3, 4), delimited(7, varint_field(1, 2) + b"\x18\x01"))
    assert content.shape == (2, 2)


def test_diffs_are_stepped_over(folder: Path) -> None:
    diff = b"\x35" + floats(9)
    assert blob(folder, shape(1), data(5), diff, delimited(9, b"8" * 8)).numpy().tolist() == [5]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            [shape(2, 2), data(1, 2, 3)],
            "layer 'x', blob 0: 3 numbers for shape 2x2, which takes 4",
        ),
        (
            [shape(2, 2), data(1, 2, 3, 4, 5)],
            "layer 'x', blob 0: 5 numbers for shape 2x2, which takes 4",
        ),
        (
            [shape(2, 2)],
            "layer 'x', blob 0: 0 numbers for shape 2x2, which takes 4",
        ),
        ([], "layer 'x', blob 0: 0 numbers for shape scalar, which takes 1"),
        (
            [varint_field(1, 3), data(1, 2, 3)],
            "layer 'x', blob 0: 3 numbers for shape 3x0x0x0, which takes 0",
        ),
        (
            [shape(2), header(5, 7) + b"1234567"],
            "layer 'x', blob 0: 7 bytes of numbers of 4 bytes each",
        ),
        (
            [shape(2), header(8, 7) + b"1234567"],
            "layer 'x', blob 0: 7 bytes of numbers of 8 bytes each",
        ),
        (
            [shape(2, -3), data(1)],
            "layer 'x', blob 0: a negative axis in the shape 2x-3",
        ),
        (
            [shape(65536, 32768), data(1)],
            "layer 'x', blob 0: a shape of 65536x32768 is more than Caffe can count",
        ),
        (
            [shape(0, 2**31)],
            "layer 'x', blob 0: a shape of 0x2147483648 is more than Caffe can count",
        ),
        (
            [shape(*[1] * 33), data(1)],
            "layer 'x', blob 0: a shape of more than 32 axes",
        ),
        (
            [shape(1), varint_field(5, 1)],
            "field 5 has wire type 0 instead of 2 or 5",
        ),
        (
            [shape(2), varint_field(10, 2), delimited(12, b"12345")],
            "layer 'x', blob 0: 5 bytes of numbers of 2 bytes each",
        ),
        (
            [shape(2), varint_field(10, 1), delimited(12, b"1234")],
            "layer 'x', blob 0: 1 number for shape 2, which takes 2",
        ),
        (
            [shape(2), varint_field(10, 0), delimited(12, bytes(24))],
            "layer 'x', blob 0: 3 numbers for shape 2, which takes 2",
        ),
        (
            [shape(2), delimited(12, bytes(8))],
            "layer 'x', blob 0: raw_data of no type (raw_data_type, NVIDIA's Caffe); expected "
            "FLOAT, DOUBLE or FLOAT16",
        ),
        (
            [shape(2), varint_field(10, 3), delimited(12, bytes(8))],
            "layer 'x', blob 0: raw_data of type INT (raw_data_type, NVIDIA's Caffe); expected "
            "FLOAT, DOUBLE or FLOAT16",
        ),
        (
            [shape(2), varint_field(10, 6), delimited(12, bytes(8))],
            "layer 'x', blob 0: raw_data of type 6 (raw_data_type, NVIDIA's Caffe); expected "
            "FLOAT, DOUBLE or FLOAT16",
        ),
        (
            [shape(2), varint_field(10, 1), varint_field(12, 5)],
            "field 12 has wire type 0 instead of 2",
        ),
        (
            [shape(2), delimited(10, b"\x01"), delimited(12, bytes(8))],
            "field 10 has wire type 2 instead of 0",
        ),
        (
            [shape(2), varint_field(10, 1), header(12, 1 << 40)],
            f"field 12 has {1 << 40} bytes, 0 are left: the file is cut short",
        ),
    ],
)
def test_what_is_refused(folder: Path, fields: list[bytes], message: str) -> None:
    assert refused(folder, *fields).split(": ", 1)[1] == message


def test_as_many_axes_as_caffe_knows(folder: Path) -> None:
    assert blob(folder, shape(*[1] * 32), data(7)).numpy().ravel().tolist() == [7]


def test_too_few_floats_beside_raw_numbers(folder: Path) -> None:
    what = "layer 'x', blob 0: 1 number for shape 2, which takes 2"
    assert refused(folder, shape(2), data(1), delimited(10, b"ab")).endswith(what)


def test_floats_beside_raw_numbers_are_read(folder: Path) -> None:
    """As in NVIDIA's Caffe, which looks at raw_data last."""
    content = blob(folder, shape(1), data(5), varint_field(10, 2), delimited(12, b"12"))
    assert (content.numpy().tolist(), content.raw) == ([5], False)


def test_raw_floats_are_a_view_of_the_file(folder: Path) -> None:
    content = blob(folder, delimited(12, floats(1, 2)), varint_field(10, 1), shape(2))
    assert (content.packed, content.width, content.raw) == ((2, 8), 4, True)
    assert content.numpy().tolist() == [1, 2]
    assert content.numpy().base is not None


def test_raw_doubles_are_rounded(folder: Path) -> None:
    values = np.array([1 / 3, 1e300, -2], "<f8")
    content = blob(folder, shape(3), varint_field(10, 0), delimited(12, values.tobytes()))
    assert (content.packed, content.width, content.raw) == (None, 8, True)
    assert content.numpy().tolist() == [np.float32(1 / 3), np.inf, -2]


def test_every_half_is_widened_exactly(folder: Path) -> None:
    """All 65,536, subnormals, infinities and NaNs among them, against IEEE 754's own words."""
    bits = np.arange(1 << 16, dtype="<u2")
    content = blob(folder, shape(1 << 16), varint_field(10, 2), delimited(12, bits.tobytes()))
    assert content.packed is None
    sign, exponent, fraction = bits >> 15, bits >> 10 & 31, (bits & 1023).astype("f8")
    value = np.where(exponent > 0, 2.0 ** (exponent - 15.0) * (1 + fraction / 1024), 0)
    value = np.where(exponent == 0, 2.0**-14 * fraction / 1024, value)
    value = np.where(exponent == 31, np.where(fraction > 0, np.nan, np.inf), value)
    expected = np.where(sign == 1, -value, value)
    values = content.numpy()
    np.testing.assert_array_equal(values, expected)
    assert (np.signbit(values) == (sign == 1))[~np.isnan(expected)].all()


def test_of_raw_data_given_twice_the_last_counts(folder: Path) -> None:
    twice = [delimited(12, floats(1)), delimited(12, floats(2)), varint_field(10, 0)]
    assert blob(folder, shape(1), *twice, varint_field(10, 1)).numpy().tolist() == [2]


def test_shapes_in_words() -> None:
    assert shape_text((20, 1, 5, 5)) == "20x1x5x5"
    assert shape_text(()) == "scalar"
