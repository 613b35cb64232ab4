"""A model that lacks a layer's params: one rule and one message, whoever asks, by either engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.engines.pycaffe import open_engine
from netsurgery.formats.weights import WeightsFile, open_weights

#: Messages are compared as the command words them.
pytestmark = pytest.mark.usefixtures("option_names")

NET = """
input: "data" input_shape { dim: 1 dim: 3 dim: 9 dim: 9 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param {
    num_output: 4 kernel_size: 3 weight_filler { FILLER } bias_filler { FILLER } } }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc"
  inner_product_param { num_output: 5 weight_filler { FILLER } bias_filler { FILLER } } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""
MODEL = ["net.prototxt", "part.caffemodel"]
WHOLE = ["net.prototxt", "whole.caffemodel"]
NAMED = ["--prototxt", MODEL[0], "--weights", MODEL[1]]
ENGINES = ["auto", "caffe", "embedded"]

#: What converts a net, runs it, or writes it with its weights.
CALLERS = {
    "convert": ["convert", *MODEL, "-o", "out"],
    "convert, dry": ["convert", *MODEL, "-o", "out", "--dry-run"],
    "convert one of two": ["convert", *MODEL, "-o", "out", "--layers", "fc"],
    "classify-map": ["classify-map", "image.png", *NAMED, "--blob", "conv", "--npy", "out.npy"],
    "features": ["features", "image.png", *NAMED, "--blob", "prob", "-o", "out.npz"],
    "verify": ["verify", *MODEL, *WHOLE],
    "verify, the second": ["verify", *WHOLE, *MODEL],
    "export": ["export", *MODEL, "-o", "out.onnx"],
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (9, 9), (10, 20, 30)).save("image.png")
    return tmp_path


def write(missing: str, filler: str) -> None:
    """net.prototxt, whole.caffemodel, and part.caffemodel without the layer `missing`."""
    text = NET.replace("FILLER", filler)
    Path("net.prototxt").write_text(text.replace(f'name: "{missing}"', 'name: "of another name"'))
    ns.init("net.prototxt", "part.caffemodel")
    Path("net.prototxt").write_text(text)
    ns.init("net.prototxt", "whole.caffemodel")


#: Every caller, whichever layer is missing; a map of conv needs no fc.
CASES = [(each, "conv") for each in CALLERS] + [
    (each, "fc") for each in CALLERS if each != "classify-map"
]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("caller", "missing"), CASES)
@pytest.mark.usefixtures("caffe_python")
def test_it_is_refused(
    caller: str, engine: str, missing: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(missing, 'type: "xavier"')
    before = set(folder.iterdir())
    command = CALLERS[caller]
    by = [] if command[0] == "export" else ["--engine", engine]
    assert run([*command, *by]) == (2 if command[0] == "verify" else 1)
    assert capsys.readouterr() == (
        "",
        f"error: part.caffemodel: no params for layer {missing!r} of net.prototxt; layer 'of "
        "another name', which the net does not have, has params of its shapes: name it 'of another "
        "name' if it is the same layer; netsurgery init --missing fills them on purpose\n",
    )
    assert set(folder.iterdir()) == before


def test_a_layer_that_is_not_needed_is_no_other_name(capsys: pytest.CaptureFixture[str]) -> None:
    """It has the shapes that the missing one should have, but the prototxt has it too."""
    text = NET.replace("FILLER", "")
    conv = text[text.index("layer") : text.index('layer { name: "fc"')]
    twin = conv.replace('"conv"', '"beside"')
    Path("net.prototxt").write_text(text.replace('"conv"', '"beside"'))
    ns.init("net.prototxt", "part.caffemodel")
    Path("net.prototxt").write_text(text + twin)
    command = ["features", "image.png", *NAMED, "--blob", "conv", "-o", "out.npz"]
    assert run([*command, "--engine", "embedded"]) == 1
    assert capsys.readouterr().err == (
        "error: part.caffemodel: no params for layer 'conv' of net.prototxt; "
        "netsurgery init --missing fills them on purpose\n"
    )


@pytest.mark.parametrize("filler", ['type: "gaussian"', "value: 1", ""])
@pytest.mark.parametrize("engine", ENGINES)
def test_whatever_would_fill_them(engine: str, filler: str, caffe_python: str) -> None:
    """A constant of the prototxt's own too: what the model holds is what the net computes with."""
    write("conv", filler)
    options = ns.EngineOptions(engine, caffe_python=caffe_python)  # type: ignore[arg-type]
    message = r"part.caffemodel: no params for layer 'conv' of net.prototxt; "
    with ns.open_engine(options) as opened:
        with pytest.raises(ns.NetError, match=message):
            opened.load(Path(MODEL[0]), Path(MODEL[1]))
        with opened.load(Path(WHOLE[0]), Path(WHOLE[1])) as net:
            assert net.forward({}, ["prob"])["prob"].shape == (1, 5)


def test_one_look_at_the_weights_before_caffe_loads_and_after(
    caffe_python: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their index is read once; weights that were replaced meanwhile are not judged by it."""
    write("conv", "value: 1")
    indexed: list[str] = []

    def counted(path: str, *more: Any) -> WeightsFile:
        indexed.append(path)
        return open_weights(path, *more)

    monkeypatch.setattr("netsurgery.net.net_with_weights.open_weights", counted)
    net, weights = Path(WHOLE[0]), Path(WHOLE[1])
    with open_engine(ns.EngineOptions(caffe_python=caffe_python)) as engine:
        engine.load(net, weights).close()
        assert indexed == [str(weights)]
        engine.load(net, weights, partial=True).close()
        engine.load(net).close()
        assert indexed == [str(weights)]
        request = engine._request

        def replaced(*words: Any, **fields: Any) -> Any:
            facts = request(*words, **fields)
            weights.write_bytes(weights.read_bytes() + b"\xf9\x3f12345678")
            return facts

        monkeypatch.setattr(engine, "_request", replaced)
        with pytest.raises(ns.CaffemodelError, match="changed"):
            engine.load(net, weights)


PYTHON_LAYER = """
layer { name: "made" type: "Python" bottom: "data" top: "out"
  python_param { module: "holder" layer: "Holder" } }
"""
HOLDER = """
import caffe
class Holder(caffe.Layer):
    def setup(self, bottom, top):
        self.blobs.add_blob(2)
    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)
    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data
    def backward(self, *given):
        pass
"""


def test_params_that_only_caffe_knows_of(
    caffe_python: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How many a Python layer has its module says, which is known when Caffe has made the net."""
    write("conv", "value: 1")
    text = Path("net.prototxt").read_text()
    Path("net.prototxt").write_text(text.replace('bottom: "data"', 'bottom: "out"').replace(
        '\nlayer { name: "conv"', f'{PYTHON_LAYER}layer {{ name: "conv"'))  # fmt: skip
    monkeypatch.setenv("PYTHONPATH", str(folder))
    (folder / "holder.py").write_text(HOLDER)
    options = ns.EngineOptions("caffe", caffe_python=caffe_python, allow=frozenset({"python"}))
    with ns.open_engine(options) as engine:
        with pytest.raises(ns.NetError, match=r"whole.caffemodel: no params for layer 'made' of"):
            engine.load(Path(WHOLE[0]), Path(WHOLE[1]))
        with engine.load(Path(WHOLE[0])) as net:
            assert net.blobs["out"] == (1, 3, 9, 9)
