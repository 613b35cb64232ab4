"""A blob needs only the layers it depends on: features, classify-map and export, either engine."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from netsurgery.cli import run

pytestmark = [pytest.mark.caffe, pytest.mark.usefixtures("option_names")]

NET = """\
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "map" type: "Convolution" bottom: "conv" top: "map"
  convolution_param { num_output: 5 kernel_size: 1 weight_filler { type: "xavier" } } }
"""
#: What follows, and needs something of its own: params, an input, a type, an engine.
MORE = """\
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 1 } } }
layer { name: "lost" type: "InnerProduct" bottom: "map" top: "lost"
  inner_product_param { num_output: 7 weight_filler { type: "xavier" } } }
layer { name: "roi" type: "ROIAlign" bottom: "conv" bottom: "label" top: "roi"
  roi_align_param { x: 1 } }
layer { name: "wrong" type: "Eltwise" bottom: "map" bottom: "label" top: "wrong" }
layer { name: "late" type: "Sigmoid" bottom: "map" top: "map" sigmoid_param { engine: CUDNN } }
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, caffe_python: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NETSURGERY_CAFFE_PYTHON", caffe_python)
    monkeypatch.delenv("NETSURGERY_ENGINE", raising=False)
    Path("part.prototxt").write_text(NET)
    assert run("init -q part.prototxt -o net.caffemodel --seed 1".split()) == 0
    Path("net.prototxt").write_text(NET + MORE)
    Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save("a.png")


def features(net: str, engine: str, *blobs: str) -> dict[str, np.ndarray]:
    options = [word for blob in blobs for word in ("--blob", blob)]
    net_options = ["--prototxt", net, "--weights", "net.caffemodel", "--engine", engine]
    assert (
        run(["features", "a.png", *options, *net_options, "-o", "x.npz", "--force", "--json"]) == 0
    )
    with np.load("x.npz") as arrays:
        return {blob: arrays[f"a/{blob}"] for blob in blobs}


@pytest.mark.parametrize("engine", ["caffe", "embedded", "auto"])
def test_features(engine: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Also in Caffe, which is not given what is not needed."""
    whole = features("part.prototxt", engine, "conv", "data")
    part = features("net.prototxt", engine, "conv", "data")
    for blob, values in whole.items():
        np.testing.assert_array_equal(part[blob], values)
    by = json.loads(capsys.readouterr().out.split("\n}\n")[-2] + "\n}")["engine"]
    assert by["name"] == ("embedded" if engine == "embedded" else "caffe")


@pytest.mark.parametrize("engine", ["caffe", "embedded", "auto"])
def test_classify_map(engine: str, capsys: pytest.CaptureFixture[str]) -> None:
    maps = []
    for net in ("part.prototxt", "net.prototxt"):
        net_options = ["--prototxt", net, "--weights", "net.caffemodel", "--blob", "conv"]
        assert (
            run(["classify-map", "a.png", *net_options, "--engine", engine, "--npy", f"{net}.npy"])
            == 0
        )
        maps.append(np.load(f"{net}.npy"))
    np.testing.assert_array_equal(*maps)


def test_a_blob_is_what_the_whole_net_has(capsys: pytest.CaptureFixture[str]) -> None:
    """A later layer in place of a blob that is asked for is needed."""
    for engine in ("caffe", "embedded"):
        net_options = ["--prototxt", "net.prototxt", "--weights", "net.caffemodel", "--blob", "map"]
        code = run(["features", "a.png", *net_options, "--engine", engine, "-o", f"{engine}.npz"])
        assert code == (1 if engine == "caffe" else 0)
    assert "unknown engine" in capsys.readouterr().err


def test_export(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("export net.prototxt net.caffemodel -o whole.onnx".split()) == 1
    assert "layer 'wrong' (Eltwise): its bottoms differ in shape" in capsys.readouterr().err
    command = "export net.prototxt net.caffemodel --blob map --blob conv -o part.onnx --json"
    assert run(command.split()) == 0
    facts = json.loads(capsys.readouterr().out)
    assert list(facts["outputs"]) == ["map", "conv"]
    assert list(facts["inputs"]) == ["data"]
    session = onnxruntime.InferenceSession("part.onnx")
    assert [output.name for output in session.get_outputs()] == ["map", "conv"]
    picture = np.random.default_rng(0).standard_normal((1, 3, 8, 8)).astype("f4")
    class_map, conv = session.run(None, {"data": picture})
    from netsurgery.engines.contract import EngineOptions
    from netsurgery.engines.registry import open_engine

    with open_engine(EngineOptions(choice="caffe")) as caffe:
        net = caffe.load(Path("part.prototxt"), Path("net.caffemodel"))
        theirs = net.forward({"data": picture}, ["map", "conv"])
    np.testing.assert_allclose(conv, theirs["conv"], atol=1e-6)
    np.testing.assert_allclose(class_map, 1 / (1 + np.exp(-theirs["map"])), atol=1e-6)


def test_export_of_a_blob_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("export net.prototxt net.caffemodel --blob no -o x.onnx".split()) == 1
    message = "error: net.prototxt: no blob 'no'; it has data, conv, map, label, lost, roi, wrong\n"
    assert capsys.readouterr().err == message
    assert not Path("x.onnx").exists()
