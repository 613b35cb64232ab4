"""Weights in either form through one interface."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from golden import V1, V2

from netsurgery.errors import CaffemodelError, OutputError
from netsurgery.formats.caffemodel import Caffemodel
from netsurgery.formats.caffemodel_new import NewBlob, NewLayer, layer_segments
from netsurgery.formats.hdf5 import Hdf5Weights
from netsurgery.formats.prototxt import Prototxt
from netsurgery.formats.weights import (
    check_size,
    check_weights,
    is_hdf5_name,
    numbers,
    open_weights,
    write_weights,
)
from netsurgery.io.files import Outputs
from netsurgery.io.segments import Computed, FileRange
from netsurgery.net.net import NetDefinition

#: Layer -> the numbers of its params; what golden.V2 holds.
GOLDEN = {"ip1": [[1, 2, 3, 4, 5, 6], [7, 8]], "relu": []}


def held(path: Path) -> dict[str, list[list[float]]]:
    with open_weights(path) as weights:
        return {
            layer.name: [blob.numpy().ravel().tolist() for blob in layer.blobs]
            for layer in weights.layers
        }


def copied(source: Path, target: Path) -> Path:
    with open_weights(source) as weights, Outputs([target], inputs=[source]) as outputs:
        layers = [
            NewLayer(
                layer.name,
                layer.type,
                tuple(layer.bottoms),
                tuple(layer.tops),
                tuple(NewBlob(blob.shape, numbers(blob)) for blob in layer.blobs),
            )
            for layer in weights.layers
        ]
        size = write_weights(outputs[target], layers, net_name=weights.net_name)
    assert target.stat().st_size == size
    return target


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    (tmp_path / "golden").write_bytes(V2)
    return tmp_path / "golden"


def test_each_form_becomes_the_other(golden: Path, tmp_path: Path) -> None:
    hdf5 = copied(golden, tmp_path / "a.caffemodel.h5")
    back = copied(hdf5, tmp_path / "b.caffemodel")
    for path, kind in ((golden, Caffemodel), (hdf5, Hdf5Weights), (back, Caffemodel)):
        with open_weights(path) as weights:
            assert isinstance(weights, kind)
            assert weights.path == str(path)
        assert held(path) == GOLDEN


def test_a_caffemodel_keeps_what_hdf5_has_no_place_for(golden: Path, tmp_path: Path) -> None:
    with Caffemodel.open(copied(golden, tmp_path / "b.caffemodel")) as model:
        ip1, relu = model.layers
        assert (model.net_name, model.generation) == ("n", "V2")
        assert (ip1.type, ip1.bottoms, ip1.tops) == ("InnerProduct", ("data",), ("ip1",))
        assert (relu.name, relu.type, relu.blobs) == ("relu", "ReLU", ())


def test_the_content_says_the_form_not_the_name(golden: Path, tmp_path: Path) -> None:
    hdf5 = copied(golden, tmp_path / "a.h5")
    assert held(hdf5.rename(tmp_path / "a.caffemodel")) == GOLDEN
    assert held(golden.rename(tmp_path / "b.h5")) == GOLDEN


@pytest.mark.parametrize(
    ("name", "hdf5"),
    [("a.h5", True), ("a.caffemodel.h5", True), (".h5", True), ("a.H5", False),
     ("a.hdf5", False), ("h5", False), ("a.h5.caffemodel", False)],
)  # fmt: skip
def test_the_name_says_what_to_write_as_caffe_has_it(name: str, hdf5: bool) -> None:
    assert is_hdf5_name(name) is hdf5
    assert is_hdf5_name(Path(name)) is hdf5


def test_numbers_in_one_run_are_a_range(golden: Path, tmp_path: Path) -> None:
    for path in (golden, copied(golden, tmp_path / "a.h5")):
        with open_weights(path) as weights:
            actual = numbers(weights.layer("ip1").blobs[0])
            assert isinstance(actual, FileRange)
            assert actual.source.pread(actual.length, actual.offset) == (
                np.arange(1, 7, dtype="<f4").tobytes()
            )


def test_numbers_with_a_tag_each_are_computed(tmp_path: Path) -> None:
    (tmp_path / "v1").write_bytes(V1)
    with open_weights(tmp_path / "v1") as weights:
        actual = numbers(weights.layer("ip1").blobs[1])
        assert not isinstance(actual, FileRange)
        assert b"".join(bytes(piece) for piece in actual()) == np.float32(7).tobytes()
    assert held(copied(tmp_path / "v1", tmp_path / "a.h5"))["ip1"][1] == [7]


def test_neither_form(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("layer { }")
    with pytest.raises(CaffemodelError) as caught:
        open_weights(path)
    assert str(caught.value) == (f"{path}: is text, a prototxt perhaps, expected a caffemodel")
    with pytest.raises(CaffemodelError) as caught:
        open_weights(tmp_path / "none")
    assert str(caught.value) == f"{tmp_path / 'none'}: No such file or directory"


def test_a_file_without_place_for_a_name_is_not_written(tmp_path: Path) -> None:
    layer = NewLayer("a/b", "", (), (), (NewBlob((1,), lambda: [b"\0\0\0\0"]),))
    target = tmp_path / "a.h5"
    with pytest.raises(OutputError) as caught, Outputs([target]) as outputs:
        write_weights(outputs[target], [layer])
    assert str(caught.value) == (
        f"{target}: layer 'a/b': Caffe finds no layer of that name in HDF5 again; "
        "write a .caffemodel"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_caffemodel_of_two_gib_is_not_written() -> None:
    half = Computed(1 << 30, lambda: [])
    check_size([half], "a.caffemodel")
    with pytest.raises(OutputError) as caught:
        check_size([half, half], "a.caffemodel")
    assert str(caught.value) == (
        "a.caffemodel: would have 2147483648 bytes; Caffe reads at most 2147483647 of a "
        "caffemodel. Give it a name that ends in .h5 to write HDF5"
    )


def test_what_was_written_is_read_back(golden: Path) -> None:
    check_weights(golden, {"ip1": ((2, 3), (2,)), "relu": ()})
    with pytest.raises(OutputError) as caught:
        check_weights(golden, {"ip1": ((3, 2), (2,))})
    assert str(caught.value) == f"{golden}: layer 'ip1' was written with 2x3, 2"
    with pytest.raises(OutputError) as caught:
        check_weights(golden, {"fc": ((3,),)})
    assert str(caught.value) == f"{golden}: layer 'fc' was written with no params"


def test_a_new_layer_for_an_old_file(tmp_path: Path) -> None:
    layer = NewLayer("fc", "InnerProduct", ("a",), ("b",), (NewBlob((1,), lambda: [b"\0\0\0\0"]),))
    segments = layer_segments(layer, "V1")
    with Outputs([tmp_path / "v1"]) as outputs:
        outputs[tmp_path / "v1"].write_segments(segments)
    with Caffemodel.open(tmp_path / "v1") as model:
        (only_layer,) = model.layers
        assert (only_layer.name, only_layer.type, only_layer.generation) == (
            "fc",
            "InnerProduct",
            "V1",
        )
        assert (only_layer.bottoms, only_layer.tops, only_layer.blobs[0].shape) == (
            ("a",),
            ("b",),
            (1,),
        )
    with pytest.raises(OutputError) as caught:
        layer_segments(NewLayer("bn", "BatchNorm", (), (), ()), "V1")
    assert str(caught.value) == (
        "layer 'bn': the model is of an old kind (V1), which has no type 'BatchNorm'"
    )


def test_which_params_are_shared() -> None:
    ip = 'type: "InnerProduct" inner_product_param { num_output: 2 } bottom: "x"'
    net = NetDefinition.of(
        Prototxt.parse(
            'input: "x" input_shape { dim: [1, 3] }\n'
            f'layer {{ name: "a" top: "a" {ip} param {{ name: "w" }} param {{ lr_mult: 2 }} }}\n'
            f'layer {{ name: "b" top: "b" {ip} param {{ name: "w" }} param {{ name: "v" }} }}\n'
            f'layer {{ name: "c" top: "c" {ip} param {{ name: "v" }} param {{ name: "w" }} }}\n'
        )
    )
    assert net.sharing.owners == {
        ("b", 0): ("a", 0),
        ("c", 0): ("b", 1),
        ("c", 1): ("a", 0),
    }
