"""A prototxt as a document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from caffe_schema import caffe_messages
from google.protobuf import text_format
from others_data import bound

from netsurgery.errors import FormatError
from netsurgery.formats.prototxt import Prototxt, insert_field, quoted, remove_field
from netsurgery.formats.textformat import Message, Scalar


def first(document: Prototxt, name: str = "a") -> Scalar:
    scalar = document.root.scalar(name)
    assert scalar is not None
    return scalar


def inserted(text: str) -> str:
    document = Prototxt.parse(text)
    edits = document.edits()
    for new in ("x: 1", "y: 2"):
        insert_field(edits, document.root.all("a")[0], new)
    return edits.apply()


def removed(text: str) -> str:
    document = Prototxt.parse(text)
    edits = document.edits()
    remove_field(edits, document.root.all("a")[0])
    return edits.apply()


def test_standard_input_that_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(FormatError) as caught:
        Prototxt.read("-")
    assert str(caught.value) == "<stdin>: is closed"


@pytest.mark.parametrize(
    ("text", "generation", "count"),
    [
        ('layer { name: "a" } layer { name: "b" }', "V2", 2),
        ("layers { type: RELU }", "V1", 1),
        ('layers { layer { type: "relu" } bottom: "x" }', "V0", 1),
        ('name: "empty"', "V2", 0),
    ],
)
def test_generations(text: str, generation: str, count: int) -> None:
    document = Prototxt.parse(text)
    assert (document.generation, len(document.layers)) == (generation, count)


def test_a_mixture_of_generations_is_refused_with_both_lines() -> None:
    with pytest.raises(FormatError) as caught:
        Prototxt.parse("layers { }\n\nlayer { }", "n.prototxt")
    assert str(caught.value) == (
        "n.prototxt:3:1: `layer` here and `layers` in line 1; Caffe reads only files of one kind"
    )


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("a: 1", "a: 1\nx: 1\ny: 2"),
        ("  a: 1\n  b: 2\n", "  a: 1\n  x: 1\n  y: 2\n  b: 2\n"),
        ("\ta: 1 # why\n\tb: 2\n", "\ta: 1 # why\n\tx: 1\n\ty: 2\n\tb: 2\n"),
        ("  a: 1\r\n  b: 2\r\n", "  a: 1\r\n  x: 1\r\n  y: 2\r\n  b: 2\r\n"),
        ("b: 2\r\na: 1", "b: 2\r\na: 1\r\nx: 1\r\ny: 2"),
        ("a: 1; b: 2", "a: 1 x: 1 y: 2; b: 2"),
        ("b: 2 a: 1 }".replace(" }", ""), "b: 2 a: 1 x: 1 y: 2"),
        ("a: 1 b: 2", "a: 1 x: 1 y: 2 b: 2"),
        ("  a: 1;\n", "  a: 1;\n  x: 1\n  y: 2\n"),
    ],
)
def test_an_inserted_field_takes_the_files_own_layout(text: str, result: str) -> None:
    assert inserted(text) == result


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("b: 1\n  a: 1 # why\nc: 2\n", "b: 1\nc: 2\n"),
        ("b: 1\r\na: 1\r\nc: 2\r\n", "b: 1\r\nc: 2\r\n"),
        ("b: 1\na: 1", "b: 1\n"),
        ("a: 1", ""),
        ("b: 1 a: 1; c: 2", "b: 1 c: 2"),
        ("a: 1 c: 2", "c: 2"),
    ],
)
def test_a_removed_field_takes_its_line_and_comment(text: str, result: str) -> None:
    assert removed(text) == result


@pytest.mark.parametrize(
    ("value", "like", "text"),
    [
        ("fc6", "'x'", "'fc6'"),
        ("fc6", '"x"', '"fc6"'),
        ('a"b', '"x"', '"a\\"b"'),
        ("a\\b\n", "'x'", "'a\\\\b\\n'"),
    ],
)
def test_a_string_is_written_with_the_authors_quotes(value: str, like: str, text: str) -> None:
    written = quoted(value, first(Prototxt.parse(f"a: {like}")))
    assert written == text
    assert first(Prototxt.parse(f"a: {written}")).as_string() == value


def test_bytes_that_are_no_utf8_survive(tmp_path: Path) -> None:
    data = b'# caf\xe9\nname: "\xff\xfe"\r\nlayer { name: "\xc3\xa9" }'
    path = tmp_path / "net.prototxt"
    path.write_bytes(data)
    document = Prototxt.read(path)
    assert document.to_bytes() == data
    assert document.name.encode("utf-8", "surrogateescape") == b"\xff\xfe"


def test_a_byte_order_mark_is_accepted_and_not_written(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_bytes(b"\xef\xbb\xbflayer { type: 'x' }")
    document = Prototxt.read(path)
    assert document.bom
    assert document.to_bytes() == b"layer { type: 'x' }"


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\x89HDF\r\n\x1a\n", "is an HDF5 file, expected a prototxt"),
        (b"\x1f\x8b\x08", "is a gzip file, expected a prototxt; unpack it first"),
        (
            b"\n\x04net\0\0",
            "is binary data, expected a prototxt; are the prototxt and the caffemodel exchanged?",
        ),
        (
            b"<!DOCTYPE html>",
            "is a web page, expected a prototxt; the download of the file itself went wrong",
        ),
    ],
)
def test_files_that_are_no_prototxt(tmp_path: Path, data: bytes, what: str) -> None:
    path = tmp_path / "net.prototxt"
    path.write_bytes(data)
    with pytest.raises(FormatError) as caught:
        Prototxt.read(path)
    assert str(caught.value) == f"{path}: {what}"


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="No such file or directory"):
        Prototxt.read(tmp_path / "none.prototxt")
    with pytest.raises(FormatError, match="is a folder, expected a prototxt"):
        Prototxt.read(tmp_path)


def reading(field: Any, scalar: Scalar) -> object:
    """Our scalar as the type that protobuf's schema says."""
    kind = field.type
    if kind == field.TYPE_STRING:
        return scalar.as_string()
    if kind == field.TYPE_BYTES:
        return scalar.as_string().encode("utf-8", "surrogateescape")
    if kind == field.TYPE_BOOL:
        return scalar.as_bool()
    if kind == field.TYPE_FLOAT:
        return float(np.float32(scalar.as_float()))
    if kind == field.TYPE_DOUBLE:
        return scalar.as_float()
    if kind == field.TYPE_ENUM:
        word = scalar.as_word()
        return int(word) if word.isdigit() else field.enum_type.values_by_name[word].number
    return scalar.as_int()


def values(ours: Message, theirs: Any) -> int:
    """Assert that both hold the same values, in both directions; how many there are."""
    count = 0
    for field in theirs.DESCRIPTOR.fields:
        mine = ours.all(field.name)
        repeated = field.is_repeated
        if repeated:
            reference_values = list(getattr(theirs, field.name))
        else:
            reference_values = [getattr(theirs, field.name)] if theirs.HasField(field.name) else []
        assert len(mine) == len(reference_values), field.full_name
        for own, reference in zip(mine, reference_values, strict=True):
            if isinstance(own.value, Message):
                count += values(own.value, reference)
            else:
                assert reading(field, own.value) == reference, field.full_name
                count += 1
    return count


def test_values_are_those_that_protobuf_reads(repo_root: Path, shared_data: Path) -> None:
    paths = [*(repo_root / "prototxt").rglob("*.prototxt"), *shared_data.rglob("*.prototxt")]
    count = 0
    for path in sorted(paths):
        message = caffe_messages().NetParameter()
        # Fields of forks are left out on their side; ours keeps them and they are not compared.
        text_format.Parse(path.read_bytes(), message, allow_unknown_field=True)
        count += values(Prototxt.read(path).root, message)
    assert count > bound(shared_data, whole=10_000, served=5_000)


def test_every_prototxt_of_the_project_comes_back_byte_for_byte(repo_root: Path) -> None:
    paths = sorted((repo_root / "prototxt").rglob("*.prototxt"))
    assert paths
    for path in paths:
        document = Prototxt.read(path)
        assert document.edits().apply() == document.text
        assert document.to_bytes() == path.read_bytes(), path


def test_real_prototxts_come_back_byte_for_byte(shared_data: Path) -> None:
    paths = sorted(shared_data.rglob("*.prototxt"))
    assert len(paths) > bound(shared_data, whole=40, served=20)
    for path in paths:
        assert Prototxt.read(path).to_bytes() == path.read_bytes(), path
