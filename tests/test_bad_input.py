# ruff: noqa: E501 - the lines are compared as they are
"""Ways to be wrong, each with the one line that reports it: exit code 1, and nothing written."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from fuzz.seeds import PICTURE as PNG
from fuzz.seeds import PROTOTXT, blob, layer, npy, picture
from fuzz.seeds import model as make_model

from netsurgery.cli import files, run
from netsurgery.io.wire import delimited, packed_varints, varint_field

MODEL = make_model()
#: An input of 1 x 1 x 8 x 8, on a line of its own.
IN = b"input: 'd' input_shape { dim: 1 dim: 1 dim: 8 dim: 8 }\n"
#: A layer of IN's, but for its type's own fields and what closes it.
CONV = b"layer { name: 'c' type: 'Convolution' bottom: 'd' top: 'c' convolution_param { "
DENSE = b"layer { name: 'f' type: 'InnerProduct' bottom: 'd' top: 'f' inner_product_param { "

SETTINGS = b"[model]\nprototxt = 'net.prototxt'\nweights = 'model.caffemodel'\n"

Table = list[tuple[str, bytes, str]]


def npz(array: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, array)
    return file.getvalue()


def pickled(value: object) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([value], object), allow_pickle=True)
    return file.getvalue()


def claims(shape: str, kind: str = "'<f8'") -> bytes:
    """A .npy file of 24 bytes of numbers, with that for its shape and type."""
    head = f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode() + bytes(24)


def hdf5(data: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as hdf5_file:
        for name, value in data.items():
            hdf5_file[name] = value
    return file.getvalue()


HDF5 = hdf5({"data/ip/0": np.ones((2, 2), "f4"), "data/ip/1": np.ones(2, "f4")})


def bomb(width: int, height: int) -> bytes:
    """A PNG of so many white pixels in a few bytes: the header says it all."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(kind + data).to_bytes(4, "big")
        return len(data).to_bytes(4, "big") + kind + data + crc

    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    header = chunk(b"IHDR", size + bytes([8, 0, 0, 0, 0]))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000)))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a net and its weights that are right."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NETSURGERY_ENGINE", "embedded")
    Path("net.prototxt").write_bytes(PROTOTXT)
    Path("model.caffemodel").write_bytes(MODEL)
    Path("cat.png").write_bytes(PNG)
    return tmp_path


def contents() -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in Path().rglob("*") if p.is_file()}


def refusal(capsys: pytest.CaptureFixture[str], *words: str, code: int = 1) -> str:
    """The line on standard error; nothing is on standard output, and no file was touched."""
    before = contents()
    assert run(list(words)) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert contents() == before
    assert err.endswith("\n")
    lines = [line for line in err.splitlines() if not line.startswith("model: ")]
    assert len(lines) == 1, err
    assert lines[0].isprintable()
    return lines[0].removeprefix("error: ")


def named(table: Table) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("content", "message"), [pytest.param(b, m, id=name) for name, b, m in table]
    )


TEXTS: Table = [
    (
        "an empty field value",
        b"name:\n",
        "bad.prototxt:2:1: found the end of the file, expected a value for name",
    ),
    (
        "a stray mark",
        b"layer { name: $x }",
        "bad.prototxt:1:15: a stray '$'; expected a field name or a value",
    ),
    (
        "a string that does not end",
        b'name: "half\n"',
        "bad.prototxt:1:7: a string that does not end on its line",
    ),
    (
        "a message that is never closed",
        b"layer { name: 'a'\n",
        "bad.prototxt:1:7: this message is never closed with }",
    ),
    ("a brace too many", b"layer { } }", "bad.prototxt:1:11: found }, expected a field name"),
    (
        "brackets of two kinds",
        b"layer { name: 'a' >",
        "bad.prototxt:1:19: found >, expected a field name or }",
    ),
    ("a field without a name", b": 3", "bad.prototxt:1:1: found :, expected a field name"),
    (
        "a value without a colon",
        b"name 'net'",
        "bad.prototxt:1:6: found 'net', expected : or { after name",
    ),
    (
        "a list that does not end",
        b"input_dim: [1, 2",
        "bad.prototxt:1:17: found the end of the file, expected , or ]",
    ),
    (
        "nothing behind a minus",
        b"input: 'd' input_dim: - ",
        "bad.prototxt:1:25: found the end of the file, expected a number after -",
    ),
    (
        "letters behind a number",
        b"input_dim: 12abc",
        "bad.prototxt:1:14: letters right after a number; put a space between",
    ),
    ("an extension", b"[caffe.ext]: 1", "bad.prototxt:1:1: found [, expected a field name"),
    (
        "a byte order mark in the middle",
        "name: 'a'\n\ufefflayer { }".encode(),
        "bad.prototxt:2:1: a byte order mark in the middle of the text",
    ),
    (
        "UTF-16",
        "name: 'a'".encode("utf-16"),
        "bad.prototxt: is binary data, expected a prototxt; are the prototxt and the caffemodel exchanged?",
    ),
    (
        "a byte that is not text",
        b"layer \xff { }",
        "bad.prototxt:1:7: the byte 0xff outside a string",
    ),
    (
        "messages 101 deep",
        b"a {" * 101 + b"}" * 101,
        "bad.prototxt:1:303: nested deeper than 100 messages",
    ),
    (
        "messages 100,000 deep",
        b"a <" * 100_000,
        "bad.prototxt:1:303: nested deeper than 100 messages",
    ),
    (
        "an HTML page",
        b"<!DOCTYPE html><html>not found</html>",
        "bad.prototxt: is a web page, expected a prototxt; the download of the file itself went wrong",
    ),
    (
        "a caffemodel for a prototxt",
        MODEL,
        "bad.prototxt: is binary data, expected a prototxt; are the prototxt and the caffemodel exchanged?",
    ),
    ("a PNG for a prototxt", PNG, "bad.prototxt: is a PNG picture, expected a prototxt"),
    (
        "gzip for a prototxt",
        b"\x1f\x8b\x08\0",
        "bad.prototxt: is a gzip file, expected a prototxt; unpack it first",
    ),
    (
        "layer and layers",
        b"layers { type: RELU }\nlayer { type: 'ReLU' }\n",
        "bad.prototxt:2:1: `layer` here and `layers` in line 1; Caffe reads only files of one kind",
    ),
    (
        "a scalar given twice",
        IN + b"layer { name: 'a' name: 'b' type: 'ReLU' }",
        "bad.prototxt:2:19: name is given twice here",
    ),
    (
        "a message for a scalar",
        b"layer { name { } type: 'ReLU' }",
        "bad.prototxt:1:14: found a message, expected a value for name",
    ),
    ("a scalar for a message", b"layer: 3", "bad.prototxt:1:8: found 3, expected layer { ... }"),
    (
        "a bare word for a string",
        IN + b"name: net",
        "bad.prototxt:2:7: found net, expected a quoted string",
    ),
    (
        "an escape of nothing",
        IN + b'name: "a\\q"',
        "bad.prototxt:2:9: a backslash that escapes nothing; write \\\\ for a backslash",
    ),
    (
        "a bottom that nobody makes",
        IN + b"layer { name: 'a' type: 'ReLU' bottom: 'x' top: 'a' }",
        "bad.prototxt:2:7: layer 'a' (ReLU): its bottom 'x' is made by no layer before it",
    ),
    (
        "a top made twice",
        IN + b"layer { name: 'a' type: 'ReLU' bottom: 'd' top: 'a' }\n" * 2,
        "bad.prototxt:3:7: layer 'a' (ReLU): its top 'a' is made by a layer before it too",
    ),
    (
        "no bottom",
        IN + b"layer { name: 'a' type: 'Pooling' top: 'a' }",
        "bad.prototxt:2:7: layer 'a' (Pooling): found bottoms none; this layer takes more, or more axes",
    ),
    (
        "too few axes",
        b"input: 'd' input_shape { dim: 3 } layer { name: 'p' type: 'PReLU' bottom: 'd' top: 'p' }",
        "bad.prototxt:1:41: layer 'p' (PReLU): found bottoms 3; this layer takes more, or more axes",
    ),
    (
        "a negative dim",
        b"input: 'd' input_shape { dim: -1 }",
        "bad.prototxt:1:31: found -1, expected a number from 0 to 2147483647",
    ),
    (
        "a dim beyond an int",
        b"input: 'd' input_shape { dim: 2147483648 }",
        "bad.prototxt:1:31: found 2147483648, expected a number from 0 to 2147483647",
    ),
    (
        "a dim of 5000 digits",
        b"input: 'd' input_shape { dim: " + b"9" * 5000 + b" }",
        "bad.prototxt:1:31: found 999999999999999999999999999999999999999999999999999999999999... (5000 characters), expected a whole number",
    ),
    (
        "a dim that is not a number",
        b"input: 'd' input_shape { dim: wide }",
        "bad.prototxt:1:31: found wide, expected a whole number",
    ),
    (
        "a dim with a fraction",
        b"input: 'd' input_shape { dim: 1.5 }",
        "bad.prototxt:1:31: found 1.5, expected a whole number",
    ),
    (
        "three input_dim",
        b"input: 'd' input_dim: [1, 2, 3]",
        "bad.prototxt:1:24: 3 input_dim for 1 input; each takes four",
    ),
    (
        "input_shape and input_dim",
        b"input: 'd' input_dim: [1, 1, 8, 8] input_shape { dim: 1 }",
        "bad.prototxt:1:48: input_shape and input_dim are both given; Caffe takes one of them",
    ),
    (
        "two shapes for three tops",
        b"layer { name: 'i' type: 'Input' top: 'a' top: 'b' top: 'c' input_param { shape { } shape { } } }",
        "bad.prototxt:1:7: layer 'i' (Input): 2 shapes for 3 tops",
    ),
    (
        "no num_output",
        IN + CONV + b"kernel_size: 3 } }",
        "bad.prototxt:2:7: layer 'c' (Convolution): num_output is missing",
    ),
    (
        "no kernel",
        IN + CONV + b"num_output: 3 } }",
        "bad.prototxt:2:7: layer 'c' (Convolution): kernel_size is missing",
    ),
    (
        "a kernel larger than its bottom",
        IN + CONV + b"num_output: 3 kernel_size: 9 } }",
        "bad.prototxt:2:7: layer 'c' (Convolution): its top 'c' would be 1x3x-1x-1: the input is too small",
    ),
    (
        "a stride of 0",
        IN + CONV + b"num_output: 3 kernel_size: 3 stride: 0 } }",
        "bad.prototxt:2:117: found 0, expected a number from 1 to 2147483647",
    ),
    (
        "groups that do not divide",
        IN + CONV + b"num_output: 3 kernel_size: 3 group: 2 } }",
        "bad.prototxt:2:7: layer 'c' (Convolution): group 2 does not divide both its 1 channel and its 3 outputs",
    ),
    (
        "an axis that is not there",
        IN + DENSE + b"num_output: 3 axis: 7 } }",
        "bad.prototxt:2:7: layer 'f' (InnerProduct): axis 7 of a blob with 4 axes",
    ),
    (
        "more outputs than Caffe counts",
        IN + CONV + b"num_output: 2000000000 kernel_size: 3 } }",
        "bad.prototxt:2:7: layer 'c' (Convolution): its top 'c' would be 1x2000000000x6x6: more than Caffe counts",
    ),
    (
        "bottoms that differ",
        IN
        + CONV
        + b"num_output: 1 kernel_size: 3 } }\nlayer { name: 'e' type: 'Eltwise' bottom: 'd' bottom: 'c' top: 'e' }",
        "bad.prototxt:3:7: layer 'e' (Eltwise): its bottoms differ in shape: (1, 1, 8, 8) and (1, 1, 6, 6)",
    ),
    (
        "a reshape that loses numbers",
        IN
        + b"layer { name: 'r' type: 'Reshape' bottom: 'd' top: 'r' reshape_param { shape { dim: 7 } } }",
        "bad.prototxt:2:7: layer 'r' (Reshape): 64 elements cannot become (7,)",
    ),
    (
        "a slice of nothing",
        IN + b"layer { name: 's' type: 'Slice' bottom: 'd' top: 'a' top: 'b' }",
        "bad.prototxt:2:7: layer 's' (Slice): 1 channel cannot be divided into 2 equal tops",
    ),
    (
        "a bool that is none",
        IN + DENSE + b"num_output: 3 bias_term: maybe } }",
        "bad.prototxt:2:108: found maybe, expected true or false",
    ),
    (
        "escape sequences in a layer's name",
        IN + b"layer { name: '\x1b[2J\x1b[31m' type: 'ReLU' bottom: '\\033]0;x\\007' top: 'a' }",
        "bad.prototxt:2:7: layer '\\x1b[2J\\x1b[31m' (ReLU): its bottom '\\x1b]0;x\\x07' is made by no layer before it",
    ),
]

MODELS: Table = [
    ("an empty file", b"", "bad.caffemodel: is empty, expected a caffemodel"),
    (
        "a model cut behind the net's name",
        MODEL[:6],
        "bad.caffemodel: holds no layers, so it is not a caffemodel",
    ),
    (
        "a model cut in a tag",
        MODEL[:7],
        "bad.caffemodel: byte 6: a number is cut off: the file is cut short",
    ),
    (
        "a model cut in a name",
        MODEL[:3],
        "bad.caffemodel: byte 0: field 1 has 4 bytes, 1 are left: the file is cut short",
    ),
    (
        "a model cut in a layer's length",
        MODEL[:8],
        "bad.caffemodel: byte 8: a number is cut off: the file is cut short",
    ),
    (
        "a model cut in a layer",
        MODEL[:20],
        "bad.caffemodel: byte 6: field 100 has 120 bytes, 11 are left: the file is cut short",
    ),
    (
        "a model cut in the numbers",
        MODEL[:90],
        "bad.caffemodel: byte 6: field 100 has 120 bytes, 81 are left: the file is cut short",
    ),
    (
        "a model without its last byte",
        MODEL[:-1],
        "bad.caffemodel: byte 477: field 100 has 98 bytes, 97 are left: the file is cut short",
    ),
    (
        "an HTML page for a model",
        b"<html><body>404</body></html>",
        "bad.caffemodel: is a web page, expected a caffemodel; the download of the file itself went wrong",
    ),
    (
        "XML for a model",
        b"<?xml version='1.0'?>",
        "bad.caffemodel: is a web page, expected a caffemodel; the download of the file itself went wrong",
    ),
    (
        "a git-lfs pointer",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n",
        "bad.caffemodel: is a git-lfs pointer, not the file it stands for, expected a caffemodel; fetch that with 'git lfs pull'",
    ),
    (
        "gzip for a model",
        b"\x1f\x8b\x08\0\0\0",
        "bad.caffemodel: is a gzip file, expected a caffemodel; unpack it first",
    ),
    (
        "zip for a model",
        b"PK\x03\x04",
        "bad.caffemodel: is a zip archive, expected a caffemodel; unpack it first",
    ),
    (
        "a PNG for a model",
        PNG,
        "bad.caffemodel: is a PNG picture, expected a caffemodel",
    ),
    (
        "a mean for a model",
        blob(1, 3, 2, 2, legacy=True),
        "bad.caffemodel: byte 0: begins with a number where a net has its name: a mean (.binaryproto) or a .solverstate, perhaps, but no caffemodel",
    ),
    (
        "a model of a net without layers",
        delimited(1, b"net"),
        "bad.caffemodel: holds no layers, so it is not a caffemodel",
    ),
    (
        "random bytes",
        bytes(range(255, 0, -3)),
        "bad.caffemodel: byte 0: a number of more than 10 bytes",
    ),
    (
        "a length beyond the file",
        MODEL + b"\xa2\x06\xff\xff\xff\xff\x0f",
        "bad.caffemodel: byte 578: field 100 has 4294967295 bytes, 0 are left: the file is cut short",
    ),
    (
        "a length of 64 bits",
        MODEL + b"\xa2\x06" + b"\xff" * 9 + b"\x01",
        "bad.caffemodel: byte 578: field 100 has 18446744073709551615 bytes, 0 are left: the file is cut short",
    ),
    (
        "a length of 11 bytes",
        MODEL + b"\xa2\x06" + b"\x80" * 10 + b"\x01",
        "bad.caffemodel: byte 580: a number of more than 10 bytes",
    ),
    ("field number 0", MODEL + b"\x02\x00", "bad.caffemodel: byte 578: there is no field number 0"),
    (
        "a wire type that is none",
        MODEL + b"\x0f",
        "bad.caffemodel: byte 578: field 1 has wire type 7, which nothing begins",
    ),
    (
        "groups 200 deep",
        MODEL + b"\x0b" * 200,
        "bad.caffemodel: byte 579: more than 100 groups in each other",
    ),
    (
        "a group ended by another",
        MODEL + b"\x0b\x14",
        "bad.caffemodel: byte 579: group 1 is ended by another's end",
    ),
    (
        "a layer that is a number",
        b"\xa0\x06\x01",
        "bad.caffemodel: byte 0: field 100 has wire type 0 instead of 2",
    ),
    (
        "a name of 2 MiB",
        delimited(100, delimited(1, b"x" * (2 << 20))),
        "bad.caffemodel: byte 11: 2097152 bytes where at most 1048576 make sense",
    ),
    (
        "more numbers than the shape",
        layer("a", "ReLU", delimited(7, packed_varints(1, (2, 2))) + delimited(5, bytes(20))),
        "bad.caffemodel: byte 14: layer 'a', blob 0: 5 numbers for shape 2x2, which takes 4",
    ),
    (
        "fewer numbers than the shape",
        layer("a", "ReLU", delimited(7, packed_varints(1, (2, 2))) + delimited(5, bytes(12))),
        "bad.caffemodel: byte 14: layer 'a', blob 0: 3 numbers for shape 2x2, which takes 4",
    ),
    (
        "a shape without numbers",
        layer("a", "ReLU", delimited(7, packed_varints(1, (2, 2)))),
        "bad.caffemodel: byte 14: layer 'a', blob 0: 0 numbers for shape 2x2, which takes 4",
    ),
    (
        "numbers cut in the middle of one",
        layer("a", "ReLU", delimited(5, bytes(7))),
        "bad.caffemodel: byte 14: layer 'a', blob 0: 7 bytes of numbers of 4 bytes each",
    ),
    (
        "a dim of 2**62",
        layer("a", "ReLU", delimited(7, packed_varints(1, (1 << 62, 2)))),
        "bad.caffemodel: byte 14: layer 'a', blob 0: a shape of 4611686018427387904x2 is more than Caffe can count",
    ),
    (
        "dims that multiply to 2**64",
        layer("a", "ReLU", delimited(7, packed_varints(1, (1 << 16,) * 4))),
        "bad.caffemodel: byte 14: layer 'a', blob 0: a shape of 65536x65536x65536x65536 is more than Caffe can count",
    ),
    (
        "a negative dim in a model",
        layer("a", "ReLU", delimited(7, packed_varints(1, (-1, 4)))),
        "bad.caffemodel: byte 14: layer 'a', blob 0: a negative axis in the shape -1x4",
    ),
    (
        "33 axes",
        layer("a", "ReLU", delimited(7, packed_varints(1, (1,) * 33))),
        "bad.caffemodel: byte 14: layer 'a', blob 0: a shape of more than 32 axes",
    ),
    (
        "a negative legacy dim",
        layer("a", "ReLU", varint_field(1, -5)),
        "bad.caffemodel: byte 14: layer 'a', blob 0: a negative axis in the shape -5x0x0x0",
    ),
    (
        "raw integers",
        layer(
            "a",
            "ReLU",
            delimited(7, packed_varints(1, (2,))) + varint_field(10, 3) + delimited(12, bytes(8)),
        ),
        "bad.caffemodel: byte 21: layer 'a', blob 0: raw_data of type INT (raw_data_type, NVIDIA's Caffe); expected FLOAT, DOUBLE or FLOAT16",
    ),
    (
        "layers of two generations",
        MODEL + delimited(2, delimited(4, b"old") + varint_field(5, 18)),
        "bad.caffemodel: byte 578: holds layers of two generations (fields 2 and 100); Caffe reads only files of one kind",
    ),
    (
        "V0 layers in a binary",
        delimited(2, delimited(1, delimited(1, b"conv"))),
        "bad.caffemodel: byte 0: its layers are of Caffe's first generation (V0), which is not read; `netsurgery upgrade` brings the file up to date",
    ),
    (
        "escape sequences in a model",
        layer("\x1b[2J", "ReLU", delimited(5, bytes(7))),
        "bad.caffemodel: byte 17: layer '\\x1b[2J', blob 0: 7 bytes of numbers of 4 bytes each",
    ),
]

MANY: Table = [
    (
        "100,001 layers",
        b"\xa2\x06\x00" * 100_001,
        "bad.caffemodel: byte 300000: holds more than 100000 layers",
    ),
    (
        "100,001 blobs",
        delimited(100, b"\x3a\x00" * 100_001),
        "bad.caffemodel: byte 0: a layer with more than 100000 bottoms, tops and blobs",
    ),
    (
        "100,001 pieces of numbers",
        delimited(100, delimited(7, b"\x2a\x04\0\0\0\0" * 100_001)),
        "bad.caffemodel: byte 9: layer '', blob 0: numbers in more than 100000 pieces",
    ),
    (
        "100,001 shapes",
        delimited(100, delimited(7, b"\x3a\x02\x08\x01" * 100_001)),
        "bad.caffemodel: byte 9: layer '', blob 0: a shape of more than 32 axes",
    ),
]


HDF5S: Table = [
    (
        "HDF5 cut short",
        HDF5[:600],
        "bad.h5: HDF5 that cannot be read: truncated file: eof = 600, sblock->base_addr = 0, stored_eof = 3760",
    ),
    (
        "HDF5 with nothing behind its signature",
        b"\x89HDF\r\n\x1a\n" + bytes(100),
        "bad.h5: HDF5 that cannot be read: bad byte number in an address",
    ),
    (
        "HDF5 without params",
        hdf5({}),
        "bad.h5: HDF5 without a group 'data', where Caffe keeps params; found nothing",
    ),
    (
        "HDF5 of inputs",
        hdf5({"data": np.ones(3)}),
        "bad.h5: HDF5 in which 'data' is an array: inputs for an HDF5Data layer, perhaps, no weights",
    ),
    (
        "HDF5 of a solver",
        hdf5({"learned_net": np.ones(3), "iter": 3}),
        "bad.h5: HDF5 of a solver (.solverstate.h5), not of weights",
    ),
    (
        "HDF5 params of whole numbers",
        hdf5({"data/ip/0": np.ones((2, 2), int)}),
        "bad.h5: layer 'ip', blob 0: numbers of type int64, expected float32 or float64",
    ),
    (
        "HDF5 params of words",
        hdf5({"data/ip/weights": np.ones(3, "f4")}),
        "bad.h5: 'data/ip/weights': expected a param's number (0, 1, ...)",
    ),
    (
        "HDF5 params with a gap",
        hdf5({"data/ip/1": np.ones(3, "f4")}),
        "bad.h5: layer 'ip': it has no param 0, but 1; shared with another layer, perhaps; only the net's prototxt can say",
    ),
]

A_MEAN = "a .npy file, a .binaryproto file or numbers such as 104,117,123"
MEANS: Table = [
    (
        "mean.npy, a pickled array",
        pickled({}),
        "mean.npy: not a .npy file of numbers (Python objects, which are not unpickled)",
    ),
    (
        "mean.npy, a pickle",
        pickle.dumps({"mean": 1}),
        f"mean.npy: is a Python pickle, expected {A_MEAN}; pickles are never read",
    ),
    (
        "mean.npy, an empty .npy",
        b"",
        "mean.npy: not a .npy file of numbers (it does not begin with \\x93NUMPY)",
    ),
    (
        "mean.npy, a .npy cut short",
        npy(np.ones((1, 8, 8)))[:200],
        "mean.npy: not a .npy file of numbers (they take 512 bytes, the file has 72)",
    ),
    (
        "mean.npy, a .npy header without an end",
        npy(np.ones(3)).replace(b"}", b" "),
        "mean.npy: not a .npy file of numbers (its header is broken)",
    ),
    (
        "mean.npy, a .npy that claims 2**40 numbers",
        claims("(1099511627776,)"),
        "mean.npy: not a .npy file of numbers (they take 8796093022208 bytes, the file has 24)",
    ),
    (
        "mean.npy, a .npy that claims a negative shape",
        claims("(-3, 8)"),
        "mean.npy: not a .npy file of numbers (its header is broken)",
    ),
    *(
        (
            f"mean.npy, a .npy whose shape is {shape}",
            claims(shape),
            "mean.npy: not a .npy file of numbers (its header is broken)",
        )
        for shape in ("(True,)", "(3, False)", "(1.0,)", "3", "((3,),)", "[3]", "(1,) * 3", "None")
    ),
    *(
        (
            f"mean.npy, a .npy of no numbers whose shape is {shape}",
            claims(shape),
            "mean.npy: a shape that is more than Caffe can count",
        )
        for shape in ("(0, 99999999999999999999)", "(0, 2147483648)", "(65536, 0, 65536)")
    ),
    *(
        (
            f"mean.npy, a .npy of {kind}",
            claims("(1,)", kind),
            f"mean.npy: an array of {refusal}, expected numbers",
        )
        for kind, refusal in (
            ("'3<f4'", "('<f4', (3,))"),
            ("('<f4', (3, 1))", "('<f4', (3, 1))"),
            ("[('a', '<f4')]", "[('a', '<f4')]"),
            ("'V0'", "|V0"),
            ("'S0'", "|S0"),
            ("'<M8[s]'", "datetime64[s]"),
        )
    ),
    *(
        (
            f"mean.npy, a .npy of version {version[0]} with an endless header",
            b"\x93NUMPY" + version + length,
            f"mean.npy: not a .npy file of numbers (its header is {refusal} bytes long, where at "
            "most 10000 make sense)",
        )
        for version, length, refusal in (
            (b"\1\0", b"\xff\xff", 65535),
            (b"\2\0", b"\xff\xff\xff\xff", 4294967295),
            (b"\3\0", b"\x11\x27\0\0", 10001),
        )
    ),
    (
        "mean.npy, a .npy of version 4",
        b"\x93NUMPY\4\0v\0\0\0" + claims("(3,)")[10:],
        "mean.npy: not a .npy file of numbers (its header is broken)",
    ),
    (
        "mean.npy, a .npz",
        npz(np.ones(3)),
        "mean.npy: is a .npz archive, expected one array (.npy); take one .npy out of it",
    ),
    (
        "mean.npy, complex numbers",
        npy(np.ones(1, complex)),
        "mean.npy: an array of complex128, expected numbers",
    ),
    ("mean.npy, words", npy(np.array(["a"])), "mean.npy: an array of <U1, expected numbers"),
    (
        "mean.npy, a NaN",
        npy(np.array([np.nan])),
        "mean.npy: holds values that are not finite float32 numbers",
    ),
    (
        "mean.npy, more than float32 holds",
        npy(np.array([1e300])),
        "mean.npy: holds values that are not finite float32 numbers",
    ),
    (
        "mean.npy, five axes",
        npy(np.ones((1, 1, 1, 1, 1))),
        "mean.npy: 1x1x1x1x1: a mean is channels x height x width, or channels",
    ),
    (
        "mean.npy, no numbers",
        npy(np.ones((1, 0, 8))),
        "mean.npy: 1x0x8: a mean is channels x height x width, or channels",
    ),
    (
        "mean.npy, two means",
        npy(np.ones((2, 1, 8, 8))),
        "mean.npy: 2x1x8x8: 2 means, expected one",
    ),
    (
        "mean.npy, channels last",
        npy(np.ones((8, 8, 3))),
        "mean.npy: 8x8x3: a mean is channels x height x width, this one has its channels last; turn it with .transpose(2, 0, 1)",
    ),
    (
        "mean.npy, another number of channels",
        npy(np.ones(3)),
        "mean mean.npy: 3 channels, but the net's input has 1; --mean takes a number a channel, one for all, or a file of 1 x height x width",
    ),
    (
        "mean.binaryproto, an empty .binaryproto",
        b"",
        f"mean.binaryproto: is empty, expected {A_MEAN}",
    ),
    (
        "mean.binaryproto, a .binaryproto cut short",
        blob(1, 1, 8, 8, legacy=True)[:-5],
        "mean.binaryproto: byte 8: field 5 has 256 bytes, 251 are left: the file is cut short",
    ),
    (
        "mean.binaryproto, a caffemodel for a mean",
        MODEL,
        f"mean.binaryproto: is a net (a caffemodel), expected {A_MEAN}",
    ),
    (
        "mean.npy, a code for a shape",
        claims("__import__('os')"),
        "mean.npy: not a .npy file of numbers (its header is broken)",
    ),
    (
        "mean.txt, words for a mean",
        b"1 2 three",
        f"mean.txt: is text, and not of numbers alone, expected {A_MEAN}",
    ),
    (
        "mean.txt, a text of as many numbers as there are not channels",
        b"1 2 3",
        "mean mean.txt: 3 channels, but the net's input has 1; --mean takes a number a channel, one for all, or a file of 1 x height x width",
    ),
]

LABELS: Table = [
    ("no labels", b"\n\n", "labels.txt: is empty, expected one label a line"),
    (
        "an empty line between labels",
        b"zero\n\ntwo\n",
        "labels.txt:2: an empty line, expected a label",
    ),
    (
        "labels in Latin-1",
        b"zero\nr\xe9sum\xe9\ntwo\n",
        "labels.txt:2: not UTF-8 text, expected one label a line",
    ),
    ("a picture for labels", PNG, "labels.txt: is a PNG picture, expected one label a line"),
    ("binary labels", b"zero\0one", "labels.txt: not text, expected one label a line"),
    (
        "two labels for three classes",
        b"zero\none\n",
        "labels.txt: 2 labels, but blob 'prob' has 3 classes",
    ),
]

IMAGES: Table = [
    ("an empty picture", b"", "bad.png: is empty, expected a picture"),
    ("a PNG cut short", PNG[:60], "bad.png: broken picture (image file is truncated)"),
    (
        "a PNG cut in its header",
        PNG[:12],
        "bad.png: not a picture of a kind that can be read (JPEG, PNG, PPM, BMP, GIF, TIFF, WebP)",
    ),
    (
        "a text for a picture",
        b"a cat\n",
        "bad.png: not a picture of a kind that can be read (JPEG, PNG, PPM, BMP, GIF, TIFF, WebP)",
    ),
    (
        "an SVG",
        b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        "bad.png: not a picture of a kind that can be read (JPEG, PNG, PPM, BMP, GIF, TIFF, WebP)",
    ),
    (
        "a caffemodel for a picture",
        MODEL,
        "bad.png: not a picture of a kind that can be read (JPEG, PNG, PPM, BMP, GIF, TIFF, WebP)",
    ),
    (
        "a bomb of 2**31 pixels",
        bomb(65535, 32768),
        "bad.png: 32768x65535 is more than 134217728 pixels (--max-pixels); scale it down first",
    ),
    (
        "a bomb of 2**28 pixels",
        bomb(16384, 16384),
        "bad.png: 16384x16384 is more than 134217728 pixels (--max-pixels); scale it down first",
    ),
    (
        "a picture of floats",
        picture("TIFF", "F"),
        "bad.png: its pixels are floats, which have no agreed range; save it with 8 or 16 bits a channel",
    ),
]

TOMLS: Table = [
    (
        "an unknown section",
        b"[modle]\nprototxt = 'a'\n",
        "netsurgery.toml:1: unknown section 'modle'; expected [model], [preprocess], [classes], [engine]",
    ),
    (
        "an unknown key",
        b"[model]\n\nweight = 'a'\n",
        "netsurgery.toml:3: unknown key 'weight' in [model]; expected prototxt, weights, window, stages, level",
    ),
    (
        "a key outside a section",
        b"mean = 3\n",
        "netsurgery.toml:1: unknown key 'mean'; expected [model], [preprocess], [classes], [engine]",
    ),
    (
        "a section that is none",
        b"model = 'a'\n",
        "netsurgery.toml:1: model is not a section; write [model]",
    ),
    (
        "a path that is a number",
        b"[model]\nprototxt = 3\n",
        "netsurgery.toml:2: prototxt: found 3, expected a file's path in quotes",
    ),
    (
        "an empty path",
        b"[model]\nweights = ''\n",
        "netsurgery.toml:2: weights: found '', expected a file's path in quotes",
    ),
    (
        "a path with a zero byte",
        b'[model]\nweights = "a\\u0000b"\n',
        "netsurgery.toml:2: weights: found 'a\\x00b', expected a file's path in quotes",
    ),
    (
        "a window of one number",
        b"[model]\nwindow = [227]\n",
        "netsurgery.toml:2: window: found [227], expected [height, width], whole numbers from 1",
    ),
    (
        "a window of 0",
        b"[model]\nwindow = [0, 227]\n",
        "netsurgery.toml:2: window: found [0, 227], expected [height, width], whole numbers from 1",
    ),
    (
        "a huge window",
        b"[model]\nwindow = [1000001, 8]\n",
        "netsurgery.toml:2: window: found [1000001, 8], expected [height, width], whole numbers from 1",
    ),
    (
        "a number of 5000 digits",
        b"[preprocess]\nraw_scale = " + b"9" * 5000,
        "netsurgery.toml: a number of too many digits",
    ),
    (
        "an endless number",
        b"[preprocess]\nraw_scale = inf\n",
        "netsurgery.toml:2: raw_scale: found inf, expected a number",
    ),
    (
        "a NaN for a factor",
        b"[preprocess]\ninput_scale = nan\n",
        "netsurgery.toml:2: input_scale: found nan, expected a number",
    ),
    (
        "a true for a factor",
        b"[preprocess]\ninput_scale = true\n",
        "netsurgery.toml:2: input_scale: found True, expected a number",
    ),
    (
        "code for a number",
        b"[preprocess]\nraw_scale = \"__import__('os').system('id')\"\n",
        "netsurgery.toml:2: raw_scale: found \"__import__('os').system('id')\", expected a number",
    ),
    (
        "a list of words for a mean",
        b"[preprocess]\nmean = ['a']\n",
        "netsurgery.toml:2: mean: found ['a'], expected a file's path in quotes or a list of numbers, one a channel",
    ),
    (
        "a channel twice",
        b"[preprocess]\nchannel_swap = [2, 2, 0]\n",
        "netsurgery.toml:2: channel_swap: found [2, 2, 0], expected each channel once, as in [2, 1, 0]",
    ),
    (
        "a key given twice",
        b"[model]\nweights = 'a'\nweights = 'b'\n",
        "netsurgery.toml:3:14: Cannot overwrite a value",
    ),
    ("no value", b"[model]\nweights =\n", "netsurgery.toml:2:10: Invalid value"),
    (
        "lists 5000 deep",
        b"[preprocess]\nmean = " + b"[" * 5000,
        "netsurgery.toml: nested too deeply",
    ),
    (
        "a key of 2000 parts",
        b"[model]\nprototxt." + b"a." * 2000 + b"a = 1\n",
        "netsurgery.toml:2: more than 200 dots, expected a short line",
    ),
    (
        "settings in UTF-16",
        "[model]".encode("utf-16"),
        "netsurgery.toml:1: not UTF-8 text, expected settings as TOML",
    ),
    (
        "settings in Latin-1",
        b"[model]\nweights = '\xe9'\n",
        "netsurgery.toml:2: not UTF-8 text, expected settings as TOML",
    ),
    (
        "settings of 65 KiB",
        b"#" * (65 << 10),
        "netsurgery.toml: 66560 bytes, where at most 65536 make sense",
    ),
]


@named(TEXTS)
def test_prototxts(content: bytes, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.prototxt").write_bytes(content)
    assert refusal(capsys, "convert", "bad.prototxt", "model.caffemodel", "-o", "out") == message


@named(MODELS + MANY)
def test_caffemodels(content: bytes, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.caffemodel").write_bytes(content)
    assert refusal(capsys, "convert", "net.prototxt", "bad.caffemodel", "-o", "out") == message


@pytest.mark.parametrize("generation", [2, 100])
def test_upgrade_counts_layers_and_their_parts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, generation: int
) -> None:
    """By the limits of `convert`, whose own size is seen above."""
    monkeypatch.setattr("netsurgery.formats.caffemodel._MANY", 1_000)
    monkeypatch.setattr("netsurgery.formats.caffemodel._MANY_PARTS", 1_200)
    blob = b"\x32\x00" if generation == 2 else b"\x3a\x00"
    full = delimited(generation, blob * 999)
    for data, said in [
        (delimited(generation, b"") * 1_001, "holds more than 1000 layers"),
        (full * 2, "holds layers with more than 1200 bottoms, tops and blobs"),
        (
            delimited(generation, blob * 1_001),
            "byte 0: a layer with more than 1000 bottoms, tops and blobs",
        ),
    ]:
        Path("bad.caffemodel").write_bytes(data)
        line = refusal(capsys, "upgrade", "bad.caffemodel", "-o", "out.caffemodel")
        assert line.startswith("bad.caffemodel: byte ")
        assert line.endswith(said)


def test_a_prototxt_without_end_on_standard_input(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netsurgery.formats.prototxt.MAX_PROTOTXT", 100)
    monkeypatch.setattr(files.PROTOTXT, "most", 100)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"#" * 1000)))
    line = refusal(capsys, "init", "-", "-o", "out.caffemodel")
    assert line.startswith("<stdin>: 101 bytes, expected a prototxt of at most 100")


@named(HDF5S)
def test_hdf5(content: bytes, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.h5").write_bytes(content)
    assert refusal(capsys, "inspect", "bad.h5") == message


@pytest.mark.parametrize(("name", "content", "message"), MEANS, ids=[row[0] for row in MEANS])
def test_means(name: str, content: bytes, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    name = name.split(",")[0]
    Path(name).write_bytes(content)
    words = ["convert", "net.prototxt", "model.caffemodel", "-o", "out", "--mean", name]
    assert refusal(capsys, *words) == message


@named(LABELS)
def test_labels(content: bytes, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("labels.txt").write_bytes(content)
    words = ["convert", "net.prototxt", "model.caffemodel", "-o", "out", "--labels", "labels.txt"]
    assert refusal(capsys, *words) == message


@named(IMAGES)
def test_pictures(content: bytes, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.png").write_bytes(content)
    Path("netsurgery.toml").write_bytes(SETTINGS)
    words = ["classify-map", "bad.png", "--blob", "conv", "--npy", "out.npy"]
    assert refusal(capsys, *words) == message


@named(TOMLS)
def test_settings(
    content: bytes, message: str, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    Path("netsurgery.toml").write_bytes(content)
    line = refusal(capsys, "classify-map", "cat.png", "--npy", "out.npy")
    assert line.replace(f"{folder}/", "") == message


def special(folder: Path) -> None:
    """Things that are not regular files, and are not there."""
    os.mkfifo("fifo")
    Path("folder").mkdir()
    Path("ring").symlink_to("ring")
    Path("file").write_bytes(b"")
    Path("netsurgery.toml").write_bytes(SETTINGS)
    Path("mean.npy").symlink_to("fifo")
    Path("mean.binaryproto").symlink_to("folder")


CONVERT = ("convert", "net.prototxt", "model.caffemodel")
INPUTS_AND_OUTPUTS = [
    (("convert", "none", "model.caffemodel"), "none: No such file or directory"),
    (("convert", "folder", "model.caffemodel"), "folder: is a folder, expected a prototxt"),
    (("convert", "fifo", "model.caffemodel"), "fifo: is not a regular file"),
    (("convert", "ring", "model.caffemodel"), "ring: Too many levels of symbolic links"),
    (("convert", "net.prototxt", "none"), "none: No such file or directory"),
    (("convert", "net.prototxt", "folder"), "folder: is a folder, expected a caffemodel"),
    (("convert", "net.prototxt", "fifo"), "fifo: is not a regular file"),
    (("convert", "net.prototxt", "/dev/zero"), "/dev/zero: is not a regular file"),
    ((*CONVERT, "--mean", "mean.npy"), "mean.npy: is not a regular file"),
    ((*CONVERT, "--mean", "mean.binaryproto"), f"mean.binaryproto: is a folder, expected {A_MEAN}"),
    ((*CONVERT, "--labels", "fifo"), "fifo: is not a regular file"),
    ((*CONVERT, "--labels", "/dev/zero"), "/dev/zero: is not a regular file"),
    (("classify-map", "none", "--blob", "conv"), "none: No such file or directory"),
    (
        ("classify-map", "folder", "--blob", "conv"),
        "folder: is a folder, expected a picture",
    ),
    (("classify-map", "/dev/null", "--blob", "conv"), "/dev/null: is empty, expected a picture"),
    ((*CONVERT, "--weights-out", "file"), "file: exists already; --force replaces it"),
    ((*CONVERT, "--force", "--weights-out", "folder"), "folder: is a folder, expected a file's name"),
    ((*CONVERT, "--force", "--weights-out", "fifo"), "fifo: is not a regular file, which an output must be"),
    ((*CONVERT, "--force", "--weights-out", "ring"), "ring: Too many levels of symbolic links"),
    (
        (*CONVERT, "--force", "--weights-out", "model.caffemodel"),
        "model.caffemodel: is an input too (model.caffemodel); give the output another name",
    ),
    (
        (*CONVERT, "--force", "--prototxt-out", "net.prototxt"),
        "net.prototxt: is an input too (net.prototxt); give the output another name",
    ),
    (
        (*CONVERT, "--prototxt-out", "one", "--weights-out", "one"),
        "one: is the output one too; give one another name",
    ),
    ((*CONVERT, "--weights-out", "file/out"), "file/out: file is a file, expected a folder"),
    ((*CONVERT, "-o", "no/such/place"), "no/such/place/model_full_conv.caffemodel: there is no folder no/such/place; make it first (mkdir -p)"),
    ((*CONVERT, "--weights-out", "/proc/out"), "/proc/out: No such file or directory"),
    ((*CONVERT, "--weights-out", "n" * 256), "n" * 256 + ": File name too long"),
    (("init", "net.prototxt", "-o", "fifo", "--force"), "fifo: is not a regular file, which an output must be"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "message"), INPUTS_AND_OUTPUTS, ids=lambda v: str(v)[-40:])
def test_places(
    words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    special(folder)
    assert refusal(capsys, *words).replace(str(folder), "FOLDER") == message
    Path("fifo").unlink()


USAGE = [
    ("convect", "convect: no such command; did you mean convert?"),
    ("\x1b[2Jconvert", "\\x1b[2Jconvert: no such command; did you mean convert?"),
    ("nonsense", "nonsense: no such command; its commands are convert, classify-map, dense, inspect, draw, check and 17 more"),
    ("convert", "missing argument DEPLOY.prototxt"),
    ("convert a b --nonsense", "--nonsense: no such option"),
    ("convert a b --enginee caffe", "--enginee: no such option; did you mean --engine?"),
    ("convert a b --engine cafe", "--engine: found 'cafe', expected auto, caffe or embedded; did you mean caffe?"),
    ("convert a b --threads 999", "--threads: found '999', expected a whole number from 1 to 256"),
    ("convert a b c", "unexpected c; expected DEPLOY.prototxt MODEL.caffemodel"),
    ("inspect", "missing argument [NET.prototxt] [MODEL.caffemodel]"),
    ("edit a b -o c", "missing argument OPERATION..."),
    ("caffe", "netsurgery caffe: expected a command: forget, info, install, use"),
    ("caffe insall", "insall: no such command; did you mean install?"),
    ("convert a b --input-size 0", "--input-size: '0' is not a size between 1 and 1000000"),
    ("convert a b --input-size " + "9" * 5000, f"--input-size: '{'9' * 60}' is not a size between 1 and 1000000"),
    ("convert a b --map-size 2 --input-size 9", "--input-size and --map-size exclude each other"),
    ("convert a b --input-shape d=1x-1", "--input-shape: 'd=1x-1' is not BLOB=NxCxHxW, as in data=1x3x227x227"),
    ("convert a b --channel-swap 1,1", "--channel-swap: '1,1' is not each channel once, as in 2,1,0 or bgr"),
    ("convert a b --raw-scale nan", "--raw-scale: 'nan' is not a finite number"),
    ("classify-map a --timeout 0", "--timeout: found '0.0', expected a number above 0"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "message"), USAGE, ids=lambda v: v[:40])
def test_usage(line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents()
    assert run(line.split(" ")) == 2
    out, err = capsys.readouterr()
    assert (out, err.partition(" (try netsurgery ")[0]) == ("", f"error: {message}")
    assert err.count("\n") == 1
    assert contents() == before


def test_what_a_file_says_cannot_steer_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    evil = b"\x1b[2J\x1b]0;title\x07\x9b31m"
    net = PROTOTXT.replace(b"conv", evil).replace(b"# 6", b"# \x1b[31m6")
    Path(os.fsdecode(b"\x1b[31m.prototxt")).write_bytes(net)
    model = MODEL.replace(b"conv", b"\x1b[1m")
    Path("evil.caffemodel").write_bytes(model)
    names = [os.fsdecode(b"\x1b[31m.prototxt"), "evil.caffemodel"]
    for words in (
        ["inspect", *names, "--stats", "--field"],
        ["inspect", names[1]],
        ["convert", *names, "--dry-run"],
        ["convert", *names, "--layers", "\x1b[31m"],
        ["diff", names[0], "net.prototxt", "--text"],
        ["diff", names[1], "model.caffemodel"],
        ["init", names[0], "-o", "\x1b[31m.caffemodel"],
        ["inspect", names[0], "--json"],
        ["caffe", "info", "--caffe-python", "\x07\x1b[31m"],
        ["classify-map", "\x1b[31m.png", "--prototxt", names[0], "--weights", names[1]],
    ):
        run(words)
        out, err = capsys.readouterr()
        assert out + err
        for char in (out + err).replace("\n", "").replace("\t", ""):
            assert char.isprintable(), (words, out, err)


def test_errors_in_json_are_errors_too(capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.caffemodel").write_bytes(MODEL[:90])
    before = contents()
    assert run([*CONVERT[:2], "bad.caffemodel", "--json", "--dry-run"]) == 1
    out, err = capsys.readouterr()
    assert err.endswith("the file is cut short\n")
    assert err.count("\n") == 1
    assert err.rstrip("\n").isprintable()
    assert contents() == before
    assert json.loads(out)["error"]["message"] in err
    assert run([*CONVERT, "--json", "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out)["dry_run"] is True


@pytest.mark.parametrize("words", [["--help"], ["inspect", "net.prototxt"]])
def test_a_full_standard_output(words: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "netsurgery", *words], stdout=full, stderr=subprocess.PIPE
        )
    assert done.returncode == 1
    assert done.stderr == b"error: standard output: No space left on device\n"


def test_a_closed_standard_output() -> None:
    command = [sys.executable, "-m", "netsurgery", "inspect", "net.prototxt"]
    done = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *command], capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_endless_names_make_no_endless_lines(capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.prototxt").write_bytes(
        IN + b"layer { name: '" + b"n" * 100_000 + b"' type: 'ReLU' bottom: 'x' top: 'x' }"
    )
    assert len(refusal(capsys, "inspect", "bad.prototxt")) < 1600


def test_there_are_enough_of_them() -> None:
    tables = (TEXTS, MODELS, HDF5S, MEANS, LABELS, IMAGES, TOMLS)
    assert sum(map(len, tables)) + len(INPUTS_AND_OUTPUTS) + len(USAGE) >= 180
