"""An open net that is run with its present params, by the embedded engine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_models import model_layer, write_hdf5, write_model

import netsurgery as ns

NET = """\
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 2 dim: 4 dim: 4 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 3 kernel_size: 2 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "relu" }
layer { name: "sum" type: "Pooling" bottom: "relu" top: "sum"
  pooling_param { pool: AVE global_pooling: true } }
"""
TWO_INPUTS = """\
layer { name: "in" type: "Input" top: "a" top: "b" input_param { shape { dim: 1 dim: 3 } } }
layer { name: "c" type: "Eltwise" bottom: "a" bottom: "b" top: "c" }
"""
WEIGHT = np.zeros((3, 2, 2, 2), np.float32)
BIAS = np.array([1, -2, 3], np.float32)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NETSURGERY_CAFFE_PYTHON", str(tmp_path / "no-caffe"))
    Path("net.prototxt").write_text(NET)
    Path("two.prototxt").write_text(TWO_INPUTS)
    write_model(Path("net.caffemodel"), model_layer("conv", "Convolution", WEIGHT, BIAS))
    write_hdf5(Path("net.h5"), conv=[WEIGHT, BIAS])


def opened(weights: str = "net.caffemodel") -> ns.Net:
    return ns.Net("net.prototxt", weights, engine="embedded")


def x(*shape: int) -> Any:
    return np.arange(np.prod(shape)).reshape(shape)


def test_it_returns_the_outputs_and_the_blobs_asked_for() -> None:
    with opened() as net:
        assert net.engine == ""
        results = net.forward(data=x(1, 2, 4, 4))
        assert [(name, array.shape) for name, array in results.items()] == [("sum", (1, 3, 1, 1))]
        results = net.forward(data=x(1, 2, 4, 4), blobs=["relu", "conv", "sum"])
        assert list(results) == ["sum", "relu", "conv"]
        assert results["conv"].dtype == np.float32
        assert results["conv"][0, :, 0, 0].tolist() == [1, -2, 3]
        assert results["relu"][0, :, 0, 0].tolist() == [1, 0, 3]
        assert list(net.forward(blobs="conv")) == ["sum", "conv"]
        assert net.engine.startswith("embedded (ONNX Runtime ")


@pytest.mark.parametrize("weights", ["net.caffemodel", "net.h5"])
def test_it_computes_with_the_params_as_they_are_now(weights: str) -> None:
    before = Path(weights).read_bytes()
    with opened(weights) as net:
        data = np.ones((1, 2, 4, 4))
        for number in range(3):
            net.params["conv"][0].data[0] = number
            net.params["conv"][1][1] += 1
            values = net.forward(data=data)["sum"].ravel()
            assert values.tolist() == [1 + 8 * number, max(number - 1, 0), 3]
        net.params["conv"][0][...] = 0  # as in the file again
        net.params["conv"][1] = BIAS
        assert net.forward()["sum"].ravel().tolist() == [1, 0, 3]
        assert net.changed() == []
    assert Path(weights).read_bytes() == before


def test_the_input_is_reshaped_and_every_blob_follows() -> None:
    with opened() as net:
        for shape in ((1, 2, 4, 4), (3, 2, 5, 9), (3, 2, 9, 5), (1, 2, 4, 4)):
            conv = net.forward(data=np.ones(shape), blobs="conv")["conv"]
            assert conv.shape == (shape[0], 3, shape[2] - 1, shape[3] - 1)
            assert net.blobs["data"].shape == net.blobs["data"].data.shape == shape
            assert net.blobs["conv"].shape == net.blobs["conv"].data.shape == conv.shape
            assert net.shapes().blobs["conv"] == conv.shape
        assert net.shapes({"data": (1, 2, 8, 8)}).blobs["conv"] == (1, 3, 7, 7)
        net.reshape(data=[2, 2, 3, 3])
        assert net.blobs["conv"].shape == (2, 3, 2, 2)
        assert not net.blobs["data"].data.any()
        with pytest.raises(ns.PrototxtError, match="the input is too small"):
            net.forward(data=np.ones((1, 2, 1, 1)))


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float16, np.float64, bool])
def test_numbers_become_float32(kind: Any) -> None:
    data = (x(1, 2, 4, 4) % 2).astype(kind)
    with opened() as net:
        net.params["conv"][0][...] = 1
        assert net.forward(data=data)["sum"].ravel().tolist() == [5, 2, 7]
        assert net.forward(data=data.tolist())["sum"].ravel().tolist() == [5, 2, 7]
        assert net.blobs["data"].data.dtype == np.float32


def test_blobs_are_written_to_as_in_pycaffe() -> None:
    with opened() as net:
        net.params["conv"][0][...] = 1
        net.blobs["data"].reshape(2, 2, 2, 2)
        net.reshape()  # as scripts for pycaffe go on
        assert net.blobs["data"].data.tolist() == np.zeros((2, 2, 2, 2)).tolist()
        net.blobs["data"].data[...] = 1
        own = net.forward()["sum"]
        held = net.blobs["sum"].data
        assert held.ravel().tolist() == [9, 6, 11] * 2
        net.blobs["data"].data[0] = 0
        net.forward()
        assert held.ravel().tolist() == [1, 0, 3, 9, 6, 11]  # the blob's own array
        assert own.ravel().tolist() == [9, 6, 11] * 2  # what was returned is the caller's
        own[...] = 0
        assert net.blobs["sum"].data is held
        assert held.any()


def test_a_blob_that_holds_nothing_yet() -> None:
    with opened() as net:
        with pytest.raises(ns.BlobMissing) as caught:
            _ = net.blobs["conv"].data
        assert isinstance(caught.value, KeyError)
        assert str(caught.value) == (
            "net.prototxt: blob 'conv' holds nothing yet; net.forward(..., blobs=['conv']) "
            "computes it"
        )
        net.forward(blobs="conv")
        assert net.blobs["conv"].data.shape == (1, 3, 3, 3)
        net.blobs["data"].reshape(1, 2, 9, 9)
        assert net.blobs["conv"].shape == (1, 3, 8, 8)
        with pytest.raises(ns.BlobMissing):
            _ = net.blobs["conv"].data


def test_an_input_that_is_only_looked_at_leaves_the_results() -> None:
    with opened() as net:
        net.forward(blobs="conv")
        assert not net.blobs["data"].data.any()
        assert net.blobs["conv"].data[0, :, 0, 0].tolist() == [1, -2, 3]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (np.ones((1, 3, 4, 4)), "shape 1x3x4x4, expected N x 2 x H x W, such as 1x2x4x4"),
        (np.ones((2, 4, 4)), "shape 2x4x4, expected N x 2 x H x W, such as 1x2x4x4; "
                             "x[None] adds the first axis"),
        (np.ones((4, 5, 2)), "shape 4x5x2, expected N x 2 x H x W, such as 1x2x4x4; "
                             "x.transpose(2, 0, 1)[None] brings H x W x C into this order"),
        (np.ones((7, 4, 5, 2)), "shape 7x4x5x2, expected N x 2 x H x W, such as 1x2x4x4; "
                                "x.transpose(0, 3, 1, 2) brings N x H x W x C into this order"),
        (3, "shape scalar, expected N x 2 x H x W, such as 1x2x4x4"),
        (np.ones((0, 2, 4, 4)), "shape 0x2x4x4, expected N x 2 x H x W, such as 1x2x4x4"),
        (["a"], "<U1, expected numbers"),
        (1j, "complex128, expected numbers"),
        (object(), "object, expected numbers"),
    ],
)  # fmt: skip
def test_arrays_that_are_no_input(data: Any, words: str) -> None:
    with opened() as net:
        net.forward(data=x(1, 2, 4, 4))
        with pytest.raises(ns.NetError) as caught:
            net.forward(data=data)
        assert str(caught.value) == f"net.prototxt: input 'data': found an array of {words}"
        assert net.blobs["data"].data.tolist() == x(1, 2, 4, 4).tolist()


def test_a_picture_of_one_channel_lacks_two_axes() -> None:
    Path("grey.prototxt").write_text(NET.replace("dim: 2", "dim: 1"))
    with ns.Net("grey.prototxt") as net, pytest.raises(ns.NetError) as caught:
        net.forward(data=np.ones((4, 4), np.uint8))
    assert str(caught.value).endswith("such as 1x1x4x4; x[None, None] adds the first two axes")


def test_lists_of_several_lengths() -> None:
    with opened() as net, pytest.raises(ns.NetError) as caught:
        net.forward(data=[[1, 2], [3]])
    assert re.match(
        r"net\.prototxt: input 'data': setting an array element[^\n]*$", str(caught.value)
    )


@pytest.mark.parametrize("shape", [(0, 2, 4, 4), (-1, 2, 4, 4), (1.5,)])
def test_shapes_that_are_none(shape: Any) -> None:
    with (
        opened() as net,
        pytest.raises(ns.NetError, match=r"found the shape \(.*, expected sizes$"),
    ):
        net.blobs["data"].reshape(*shape)


def test_a_param_that_is_shared_in_another_shape() -> None:
    layer = """
layer { name: "%s" type: "InnerProduct" bottom: "%s" top: "%s"
  param { name: "w" share_mode: PERMISSIVE }
  inner_product_param { num_output: %d bias_term: false } }
"""
    first, second = ("tall", "data", "tall", 2), ("wide", "tall", "wide", 4)
    text = 'input: "data" input_shape { dim: 1 dim: 4 }' + layer % first + layer % second
    Path("shared.prototxt").write_text(text)
    w = np.ones((2, 4), np.float32)
    write_model(
        Path("shared.caffemodel"),
        model_layer("tall", "InnerProduct", w),
        model_layer("wide", "InnerProduct", w.reshape(4, 2)),
    )
    with ns.Net("shared.prototxt", "shared.caffemodel", engine="embedded") as net:
        assert net.forward(data=[[1, 1, 1, 1]])["wide"].tolist() == [[8] * 4]
        net.params["wide"][0][...] = 2
        assert net.forward()["wide"].tolist() == [[32] * 4]
        net.params["tall"][0][...] = 1
        assert net.params["wide"][0].tolist() == [[1, 1]] * 4
        net.params["wide"][0][3] = 5
        net.save("saved.caffemodel")
    with ns.Net("shared.prototxt", "saved.caffemodel", engine="embedded") as net:
        assert net.params["tall"][0].tolist() == [[1, 1, 1, 1], [1, 1, 5, 5]]
        assert net.forward(data=[[1, 1, 1, 1]])["wide"].tolist() == [[16, 16, 16, 80]]


def test_names_that_are_not_there() -> None:
    with opened() as net:
        with pytest.raises(ns.NetError) as caught:
            net.forward(dat=x(1, 2, 4, 4))
        assert str(caught.value) == "net.prototxt: no input 'dat'; did you mean data?"
        with pytest.raises(ns.BlobMissing) as missing:
            net.forward(blobs=["conf"])
        assert str(missing.value) == "net.prototxt: no blob 'conf'; did you mean conv?"
        for reshape in (net.blobs["conv"].reshape, lambda *shape: net.reshape(conv=shape)):
            with pytest.raises(ns.NetError, match="no input 'conv'; its inputs are data"):
                reshape(1, 2, 3, 4)
        before = net.blobs["data"].shape
        with pytest.raises(ns.NetError, match="no input 'conv'"):
            net.reshape(data=(2, 2, 9, 9), conv=(1, 2, 3, 4))
        assert net.blobs["data"].shape == before
    with pytest.raises(ns.EngineError, match="engine 'embeded': expected auto, caffe, embedded"):
        opened().forward(engine="embeded")  # type: ignore[arg-type]
    with pytest.raises(ns.EngineError, match="engine 'embeded'"):
        ns.Net("net.prototxt", engine="embeded")  # type: ignore[arg-type]


def test_the_engine_of_a_call_stays() -> None:
    """And is asked for where a net has no other: "auto" would look for Caffe."""
    with ns.Net("net.prototxt", "net.caffemodel", engine="caffe") as net:
        with pytest.raises(ns.EngineMissing):
            net.forward()
        with pytest.raises(ns.EngineMissing):
            net.forward(engine="caffe")
        first = net.forward(engine=ns.EngineOptions("embedded", threads=1))["sum"]
        assert net.forward()["sum"].tolist() == first.tolist()
        assert net.engine.startswith("embedded")


def test_arrays_and_blobs_go_by_name() -> None:
    with opened() as net:
        for positional in (np.zeros((1, 2, 4, 4)), ["conv"]):
            with pytest.raises(TypeError, match=r"by the inputs' names, and blobs=\[\.\.\.\] by"):
                net.forward(positional)  # type: ignore[arg-type]
        assert list(net.forward(blobs=None)) == ["sum"]
        with pytest.raises(TypeError, match="0 the weights and 1 the bias; found 'weights'"):
            net.params["conv"]["weights"]  # type: ignore[call-overload]
        assert net.params["conv"][np.int64(1)].shape == (3,)


def test_each_input_is_given_once_at_least() -> None:
    with ns.Net("two.prototxt", engine="embedded") as net:
        with pytest.raises(ns.NetError) as caught:
            net.forward(a=[[1, 2, 3]])
        assert str(caught.value) == (
            "two.prototxt: nothing for input 'b'; net.forward takes an array for each of a, b"
        )
        assert net.forward({"a": [[1, 2, 3]]}, b=[[4, 4, 4]])["c"].tolist() == [[5, 6, 7]]
        assert net.forward(a=[[0, 0, 1]])["c"].tolist() == [[4, 4, 5]]
    with ns.Net("two.prototxt", engine="embedded") as net:
        assert net.forward()["c"].tolist() == [[0, 0, 0]]


def test_a_size_that_an_inner_product_does_not_fit() -> None:
    text = 'layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc"\n'
    Path("fc.prototxt").write_text(f"{NET}{text}  inner_product_param {{ num_output: 5 }} }}\n")
    write_model(
        Path("fc.caffemodel"),
        model_layer("conv", "Convolution", WEIGHT, BIAS),
        model_layer("fc", "InnerProduct", np.ones((5, 27), np.float32), np.zeros(5, np.float32)),
    )
    with ns.Net("fc.prototxt", "fc.caffemodel", engine="embedded") as net:
        assert net.forward(data=np.ones((2, 2, 4, 4)))["fc"].tolist() == [[18] * 5] * 2
        with pytest.raises(ns.NetError) as caught:
            net.forward(data=np.ones((1, 2, 5, 4)))
        assert str(caught.value) == (
            "fc.prototxt: with input 'data' of 1x2x5x4 layer 'fc' needs a param of 5x36, its own "
            "is 5x27; ns.convert makes a net that takes any size"
        )
        assert net.forward(data=np.ones((1, 2, 4, 4)))["fc"].shape == (1, 5)


def test_params_that_became_nan_are_computed_with() -> None:
    with opened() as net:
        net.params["conv"][1][2] = np.nan
        assert np.isnan(net.forward()["sum"].ravel()).tolist() == [False, False, True]


@pytest.mark.parametrize("weights", ["net.caffemodel", None])
def test_a_closed_net_is_not_run(weights: str | None) -> None:
    net = ns.Net("net.prototxt", weights, engine="embedded")
    net.forward()
    net.close()
    with pytest.raises(ns.NetError, match=r"^net\.prototxt: the net is closed$"):
        net.forward()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"data": np.zeros((1, 2, 1, 1))}, "too small"),
        ({"data": np.broadcast_to(np.float32(0), (10**6, 2, 2000, 2000))}, "more than Caffe"),
        ({"data": np.ones((1, 3, 4, 4))}, "expected N x 2"),
        ({"data": np.ones((2, 2, 9, 9)), "other": 0}, "no input 'other'"),
        ({"data": np.ones((2, 2, 9, 9)), "blobs": ["conf"]}, "did you mean conv"),
        ({"data": np.ones((2, 2, 9, 9)), "engine": "embeded"}, "engine 'embeded'"),
    ],
)
def test_a_run_that_is_refused_leaves_the_net_as_it_was(
    arguments: dict[str, Any], error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened() as net:
        before = net.forward(data=x(1, 2, 4, 4))["sum"]
        held = net.blobs["data"].data
        with monkeypatch.context() as patch:  # nothing is allocated, however large
            patch.setattr("netsurgery.open_net.blobs.empty", None)
            with pytest.raises(ns.NetsurgeryError, match=error):
                net.forward(**arguments)
        assert net.blobs["data"].data is held
        assert net.blobs["conv"].shape == (1, 3, 3, 3)
        assert net.blobs["sum"].data.tolist() == before.tolist()
        assert "1x2x4x4" in net._repr_html_()
        assert net.forward()["sum"].tolist() == before.tolist()


def test_of_several_inputs_all_are_written_or_none() -> None:
    with ns.Net("two.prototxt", engine="embedded") as net:
        net.forward(a=[[1, 2, 3]], b=[[4, 4, 4]])
        with pytest.raises(ns.PrototxtError):  # the sum of 2x3 and 1x3
            net.forward(a=np.ones((2, 3)))
        assert net.forward()["c"].tolist() == [[5, 6, 7]]
        assert net.forward(a=np.ones((2, 3)), b=np.ones((2, 3)))["c"].tolist() == [[2] * 3] * 2
