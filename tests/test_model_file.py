"""A caffemodel's top level: whole, cut short, or something else altogether."""

from __future__ import annotations

from pathlib import Path

import pytest

from netsurgery.engines.model_file import check_model, check_saved
from netsurgery.errors import CaffemodelError, EngineFailed

NAME = b"\n\x03net"
LAYER = b"\xa2\x06\x02\n\x00"
V1_LAYER = b"\x12\x02\n\x00"
#: force_backward as a varint, and fields of 8 and 4 bytes that Caffe does not know.
OTHERS = b"\x28\x81\x01" + b"\xf9\x3f12345678" + b"\xfd\x3f1234"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "net.caffemodel"


@pytest.mark.parametrize("model", [NAME + LAYER, V1_LAYER, OTHERS + LAYER, LAYER + OTHERS])
def test_whole(path: Path, model: bytes) -> None:
    path.write_bytes(model)
    check_model(path)


@pytest.mark.parametrize(
    ("model", "offset"),
    [
        (b"<!doctype html>\n<html>", 0),
        (b"version https://git-lfs.github.com/spec/v1\n", 0),
        (NAME + LAYER[:-1], 5),
        (NAME + LAYER + LAYER[:2], 10),
        (NAME + LAYER + b"\x28\x81", 10),
        (OTHERS[:-1], 13),
        (LAYER + b"\x00\x00", 5),
        (LAYER + b"\xff" * 12, 5),
    ],
)
def test_something_else_or_cut_short(path: Path, model: bytes, offset: int) -> None:
    path.write_bytes(model)
    with pytest.raises(CaffemodelError) as caught:
        check_model(path)
    assert str(caught.value) == (
        f"{path}: byte {offset}: this is not a caffemodel, or it was cut short"
    )


@pytest.mark.parametrize("model", [b"", NAME])
def test_no_layers(path: Path, model: bytes) -> None:
    path.write_bytes(model)
    with pytest.raises(CaffemodelError) as caught:
        check_model(path)
    assert str(caught.value) == f"{path}: this has no layers, so no weights"


def test_hdf5_is_known_by_its_name(path: Path) -> None:
    path.write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(CaffemodelError) as caught:
        check_model(path)
    assert str(caught.value) == (
        f"{path}: this is HDF5, which Caffe takes only from a name that ends in .h5"
    )
    check_model(path.rename(path.with_suffix(".caffemodel.h5")))


def test_saved(path: Path) -> None:
    path.write_bytes(NAME + LAYER + LAYER)
    check_saved(path, 2)


@pytest.mark.parametrize("model", [NAME + LAYER, NAME + LAYER + LAYER[:-1], b""])
def test_saved_but_cut_short(path: Path, model: bytes) -> None:
    path.write_bytes(model)
    with pytest.raises(EngineFailed) as caught:
        check_saved(path, 2)
    assert str(caught.value) == f"{path}: Caffe's save was cut short; is the disk full?"
