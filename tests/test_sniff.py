"""Files that are none of Caffe's, under names of Caffe's, wherever a file is read."""

from __future__ import annotations

import bz2
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from small_models import model_layer

import netsurgery as ns
from netsurgery.formats.labels import read_labels
from netsurgery.formats.mean import load_mean
from netsurgery.formats.prototxt import Prototxt, is_prototxt
from netsurgery.formats.settings import read_settings
from netsurgery.formats.weights import open_weights
from netsurgery.io.npy import read_npy
from netsurgery.io.sniff import refusal, what_it_is
from netsurgery.io.unreadable import url_in
from netsurgery.io.wire import delimited, varint_field

#: A file's first bytes -> what it is called.
KINDS = {
    b"version https://git-lfs.github.com/spec/v1\noid": "a git-lfs pointer, ",
    b"\xef\xbb\xbf\n<!DOCTYPE html>": "a web page",
    b"<HTML lang=en>": "a web page",
    b"\x1f\x8b\x08": "a gzip file",
    bz2.compress(b"name"): "a bzip2 file",
    bz2.compress(b""): "a bzip2 file",
    b"\0" * 257 + b"ustar\x0000": "a tar archive",
    b"net".ljust(257, b"\0") + b"ustar  \0": "a tar archive",
    b"\x89PNG\r\n\x1a\n": "a PNG picture",
    b"\xff\xd8\xff\xe0": "a JPEG picture",
    b"RIFF\x24\0\0\0WEBPVP8 ": "a WebP picture",
    b"\x1c\0\0\0TFL3\0\0": "a TensorFlow Lite model",
    b"\x80\x02}q\0": "a Python pickle",
    varint_field(1, 7) + delimited(2, b"pytorch") + delimited(7, b""): "an ONNX model",
    delimited(1, delimited(1, b"conv1/weights") + delimited(2, b"Const")): "a TensorFlow graph",
}
#: What reads a file, and what it expects.
READERS: dict[str, tuple[Callable[[str], object], str]] = {
    "prototxt": (Prototxt.read, "a prototxt"),
    "caffemodel": (open_weights, "a caffemodel"),
    "either": (lambda name: is_prototxt(Path(name)), "a prototxt or a caffemodel"),
    "mean": (load_mean, "a .npy file, "),
    "array": (read_npy, "one array"),
    "labels": (read_labels, "one label a line"),
    "settings": (read_settings, "settings as TOML"),
}


@pytest.mark.parametrize("head", KINDS, ids=KINDS.values())
@pytest.mark.parametrize("reader", READERS)
def test_every_reader_says_what_it_is(head: bytes, reader: str, tmp_path: Path) -> None:
    read, expected = READERS[reader]
    path = tmp_path / "file"
    path.write_bytes(head + bytes(700))
    with pytest.raises(ns.NetsurgeryError) as caught:
        read(str(path))
    message = str(caught.value)
    assert message.startswith(f"{path}: is {KINDS[head]}")
    assert f"expected {expected}" in message


@pytest.mark.parametrize(
    "text",
    [
        'name:  "WEBPNet"\n',
        "    TFL3 { }\n",
        "BZh9: 1AY\n",
        f"# {'-' * 253}: ustar, the tape's\n",
        f"# {'-' * 253}: ustar  are tapes\n",
    ],
)
def test_text_is_taken_for_nothing_else(text: str) -> None:
    assert what_it_is(text.encode()) == ""


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_says_what_it_cannot_open(reader: str, tmp_path: Path) -> None:
    read, expected = READERS[reader]
    (tmp_path / "net.npy").touch()
    for name, reason in {
        str(tmp_path): f"{tmp_path}: is a folder, expected {expected}",
        str(tmp_path / "nte.npy"): "nte.npy: No such file or directory; did you mean net.npy?",
        "https:/host/net.npy": "https://host/net.npy: is a URL, not a file; download it first",
    }.items():
        with pytest.raises(ns.NetsurgeryError) as caught:
            read(name)
        assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("lenet_x", "; did you mean lenet_x.prototxt or lenet_x.txt?"),
        ("lenet_y", "; did you mean lenet_x.prototxt or lenet_x.txt?"),
        ("lenet_y.prototxt", "; did you mean lenet_x.prototxt?"),
        ("lenet_x.protoxt", "; did you mean lenet_x.prototxt?"),
        ("mooel", "; did you mean model?"),
        ("other", ""),
        ("zzz.prototxt", ""),  # the ending alone is alike
    ],
)
def test_a_name_that_is_offered_is_of_a_file(name: str, hint: str, tmp_path: Path) -> None:
    for each in ("lenet_x.prototxt", "lenet_x.txt", "model", "model.h5"):
        (tmp_path / each).touch()
    with pytest.raises(ns.NetsurgeryError) as caught:
        ns.inspect(tmp_path / name)
    assert str(caught.value) == f"{tmp_path / name}: No such file or directory{hint}"


def test_archives_are_recognised_by_what_they_begin_with(tmp_path: Path) -> None:
    for name, what in {
        "arr_0.npy": "a .npz archive",
        "archive/data.pkl": "a PyTorch model",
        "lenet.prototxt": "a zip archive",
    }.items():
        with zipfile.ZipFile(tmp_path / "z", "w") as archive:
            archive.writestr(name, "x")
        assert what_it_is((tmp_path / "z").read_bytes()) == what


@pytest.mark.parametrize("name", ["LeNet", "pytorch", "conv1/weights", "\n\x05conv1"])
def test_a_caffemodel_is_none_of_them(name: str) -> None:
    head = delimited(1, name.encode()) + model_layer("conv1", "Convolution")
    assert refusal(head, "x") == refusal(model_layer("conv1", "Convolution") + head, "x") == ""


def test_urls() -> None:
    assert url_in("http:/host//a") == url_in("http://host//a") == "http://host//a"
    assert url_in("net.prototxt") == url_in("C:/x") == url_in("http") == ""
