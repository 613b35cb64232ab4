"""A caffemodel's top level: whole, cut short, or something else altogether."""

from __future__ import annotations

from pathlib import Path

import pytest
from golden import V2

from netsurgery.engines.model_file import check_model, check_params, check_saved
from netsurgery.errors import CaffemodelError, EngineFailed, NetsurgeryError
from netsurgery.net.net_with_weights import NetWithWeights

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
    ("model", "what"),
    [
        (bytes(range(255, 0, -1)), "byte 0: a number of more than 10 bytes"),
        (NAME + LAYER[:-1], "byte 5: field 100 has 2 bytes, 1 are left: the file is cut short"),
        (NAME + LAYER + LAYER[:2], "byte 12: a number is cut off: the file is cut short"),
        (NAME + LAYER + b"\x28\x81", "byte 11: a number is cut off: the file is cut short"),
        (OTHERS[:-1], "byte 13: field 1023 has 4 bytes, 3 are left: the file is cut short"),
        (LAYER + b"\x00\x00", "byte 5: there is no field number 0"),
        (LAYER + b"\xff" * 12, "byte 5: a number of more than 10 bytes"),
    ],
)
def test_something_else_or_cut_short(path: Path, model: bytes, what: str) -> None:
    path.write_bytes(model)
    with pytest.raises(CaffemodelError) as caught:
        check_model(path)
    assert str(caught.value) == f"{path}: {what}"


def test_what_cannot_be_opened(path: Path) -> None:
    with pytest.raises(CaffemodelError) as caught:
        check_model(path)
    assert str(caught.value) == f"{path}: No such file or directory"


@pytest.mark.parametrize(
    ("model", "what"),
    [
        (
            b"<!doctype html>\n<html>",
            "is a web page, expected a caffemodel; the download of the file itself went wrong",
        ),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "is a git-lfs pointer, not the file it stands for, expected a caffemodel; "
            "fetch that with 'git lfs pull'",
        ),
        (b"", "is empty, expected a caffemodel"),
    ],
)
def test_what_it_is_is_said_as_elsewhere(path: Path, model: bytes, what: str) -> None:
    path.write_bytes(model)
    with pytest.raises(CaffemodelError) as caught:
        check_model(path)
    assert str(caught.value) == f"{path}: {what}"


def test_no_layers(path: Path) -> None:
    path.write_bytes(NAME)
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


#: The golden caffemodel has one layer with params: ip1, 2 x 3.
NET = """input: "data" input_shape { dim: 1 dim: 3 }
layer { name: "NAME" type: "InnerProduct" bottom: "data" top: "out"
  inner_product_param { num_output: 2 MORE } }
"""
NO_SHAPE = """layer { name: "data" type: "Data" top: "data" }
layer { name: "NAME" type: "InnerProduct" bottom: "data" top: "out"
  inner_product_param { num_output: 2 MORE } }
"""
#: Two layers of which one has the params of the other.
SHARED = """input: "data" input_shape { dim: 1 dim: 3 }
layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "one"
  param { name: "w" } param { name: "b" } inner_product_param { num_output: 2 } }
layer { name: "again" type: "InnerProduct" bottom: "data" top: "two"
  param { name: "w" } param { name: "b" } inner_product_param { num_output: 2 } }
"""
CONSTANTS = "weight_filler { value: 1 } bias_filler { value: 2 }"
MISSING = "MODEL: no params for LAYERS of NET; netsurgery init --missing fills them on purpose"
RENAMED = MISSING.replace(
    "NET; ",
    "NET; layer 'ip1', which the net does not have, has params of its shapes: name it 'ip1' if it "
    "is the same layer; ",
)
V0 = bytes.fromhex("1202 0a00")


def checked(path: Path, text: str, model: bytes = V2, name: str = "ip1", more: str = "") -> str:
    """What is said of the net with the weights; "" where they fit."""
    net = path.with_name("net.prototxt")
    net.write_text(text.replace("NAME", name).replace("MORE", more))
    path.write_bytes(model)
    try:
        with NetWithWeights.open(net, path) as opened:
            check_params(opened)
    except NetsurgeryError as error:
        return str(error).replace(str(net), "NET").replace(str(path), "MODEL")
    return ""


@pytest.mark.parametrize("text", [NET, NO_SHAPE])
def test_weights_that_lack_a_layer(path: Path, text: str) -> None:
    assert checked(path, text) == ""
    # Of a layer whose shapes are not known nothing can be said to fit.
    missing = (MISSING if text is NO_SHAPE else RENAMED).replace("LAYERS", "layer 'ip2'")
    assert checked(path, text, name="ip2") == missing
    assert checked(path, text, name="ip2", more=CONSTANTS) == missing


def test_weights_of_other_shapes_and_numbers(path: Path) -> None:
    assert checked(path, NET.replace("dim: 3", "dim: 4")) == (
        "layer 'ip1' (InnerProduct): param 0 is 2x3 in MODEL, expected 2x4"
    )
    assert checked(path, NET, more="bias_term: false") == (
        "layer 'ip1' (InnerProduct): MODEL has 2 params for it, expected 1"
    )


def test_shared_params_need_one_layer_of_the_weights(path: Path) -> None:
    assert checked(path, SHARED) == ""
    missing = RENAMED.replace("LAYERS", "layers 'ip2', 'again'")
    assert checked(path, SHARED.replace("ip1", "ip2")) == missing


def test_a_layer_that_shares_and_has_no_params_in_the_file(path: Path) -> None:
    bare = b"\xa2\x06\x07\n\x05again"
    assert checked(path, SHARED, V2 + bare) == (
        "layer 'again' (InnerProduct): MODEL has 0 params for it, expected 2"
    )


def test_what_caffe_has_to_judge(path: Path) -> None:
    assert checked(path, NET, V0, name="ip2") == ""


def test_saved(path: Path) -> None:
    path.write_bytes(NAME + LAYER + LAYER)
    check_saved(path, 2)


@pytest.mark.parametrize("model", [NAME + LAYER, NAME + LAYER + LAYER[:-1], b""])
def test_saved_but_cut_short(path: Path, model: bytes) -> None:
    path.write_bytes(model)
    with pytest.raises(EngineFailed) as caught:
        check_saved(path, 2)
    assert str(caught.value) == f"{path}: Caffe's save was cut short; is the disk full?"
