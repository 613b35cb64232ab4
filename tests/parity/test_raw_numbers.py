"""NVIDIA's raw numbers, through every command that writes a model: real Caffe reads the result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from small_models import RAW, model_layer, write_model

from netsurgery.cli import run
from netsurgery.engines.pycaffe import PycaffeEngine
from netsurgery.errors import EngineFailed

pytestmark = [pytest.mark.caffe, pytest.mark.usefixtures("option_names")]

Array = NDArray[np.float32]

NET = """\
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 2 dim: 5 dim: 5 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 3 kernel_size: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 4 } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""
COMMANDS = {
    "upgrade": "upgrade raw.caffemodel -o new.caffemodel",
    "convert": "convert net.prototxt raw.caffemodel -o out --engine embedded "
    "--prototxt-out new.prototxt --weights-out new.caffemodel",
    "auto": "convert net.prototxt raw.caffemodel --prototxt-out new.prototxt "
    "--weights-out new.caffemodel",
    "hdf5": "convert net.prototxt raw.caffemodel --engine embedded "
    "--prototxt-out new.prototxt --weights-out new.caffemodel.h5",
    "edit": "edit net.prototxt raw.caffemodel ip[1]*=1 -o new.caffemodel",
    "transplant": "transplant net.prototxt raw.caffemodel net.prototxt -o new.caffemodel",
}


@pytest.fixture
def params() -> dict[str, list[Array]]:
    """Numbers that half precision has."""
    random = np.random.default_rng(1)
    shapes = {"conv": [(3, 2, 2, 2), (3,)], "ip": [(4, 48), (4,)]}
    return {
        layer: [(random.integers(-64, 64, shape) / 64).astype(np.float32) for shape in own]
        for layer, own in shapes.items()
    }


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caffe_python: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NETSURGERY_CAFFE_PYTHON", caffe_python)
    monkeypatch.delenv("NETSURGERY_ENGINE", raising=False)
    Path("net.prototxt").write_text(NET)


def write_raw(params: dict[str, list[Array]], how: str) -> Path:
    kinds = {"conv": "Convolution", "ip": "InnerProduct"}
    layers = [model_layer(name, kinds[name], *own, how=how) for name, own in params.items()]
    return write_model(Path("raw.caffemodel"), *layers)


@pytest.mark.parametrize("how", RAW)
@pytest.mark.parametrize("command", COMMANDS)
def test_caffe_reads_what_is_written(
    command: str, how: str, params: dict[str, list[Array]], caffe_engine: PycaffeEngine
) -> None:
    write_raw(params, how)
    assert run(COMMANDS[command].split()) == 0
    model = next(Path().glob("new.caffemodel*"))
    prototxt = Path("new.prototxt") if Path("new.prototxt").exists() else Path("net.prototxt")
    with caffe_engine.load(prototxt, model) as net:
        loaded = {name: [net.param(name, i) for i in range(2)] for name in net.params}
    assert len(loaded) == 2
    for (name, own), (_, theirs) in zip(params.items(), loaded.items(), strict=True):
        for ours, caffes in zip(own, theirs, strict=True):
            np.testing.assert_array_equal(ours.ravel(), caffes.ravel(), err_msg=name)


@pytest.mark.parametrize("how", RAW)
def test_raw_and_upgraded_are_the_same(
    how: str, params: dict[str, list[Array]], capsys: pytest.CaptureFixture[str]
) -> None:
    """By diff, and when they are run: the raw one by the embedded engine, under auto too."""
    write_raw(params, how)
    assert run(["upgrade", "-q", "raw.caffemodel", "-o", "new.caffemodel"]) == 0
    assert run("diff raw.caffemodel new.caffemodel".split()) == 0
    for engine in ("embedded", "auto"):
        both = "net.prototxt raw.caffemodel net.prototxt new.caffemodel"
        assert run(f"verify {both} --engine {engine}".split()) == 0
    printed = capsys.readouterr().out
    assert "the embedded engine was used" in printed


@pytest.mark.parametrize("how", RAW)
def test_caffe_itself_refuses_them(
    how: str, params: dict[str, list[Array]], caffe_engine: PycaffeEngine
) -> None:
    write_raw(params, how)
    with pytest.raises(EngineFailed) as caught:
        caffe_engine.load(Path("net.prototxt"), Path("raw.caffemodel"))
    assert "upgrade" in str(caught.value)


def test_half_precision_of_others(shared_data: Path, caffe_engine: PycaffeEngine) -> None:
    """The embedded engine on the half model, real Caffe on the upgraded one."""
    half = shared_data / "models" / "half"
    prototxt, model = half / "fast_det2.prototxt", half / "fast_det2_half.caffemodel"
    assert run(["upgrade", "-q", str(model), "-o", "new.caffemodel"]) == 0
    # Several: the two scores of one input may both be near 0, where rounding is all there is.
    random = np.random.default_rng(0).standard_normal((16, 3, 24, 24)).astype("f4")
    from netsurgery.engines.contract import EngineOptions
    from netsurgery.engines.ort import open_engine

    with caffe_engine.load(prototxt, Path("new.caffemodel")) as net:
        blobs = [blob for blob in net.blobs if "split" not in blob]
        net.reshape({"data": random.shape})
        theirs = net.forward({"data": random}, blobs)
    with open_engine(EngineOptions()) as engine, engine.load(prototxt, model) as ours:
        ours.reshape({"data": random.shape})
        for name, values in ours.forward({"data": random}, blobs).items():
            scale = np.abs(theirs[name]).max()
            np.testing.assert_allclose(values, theirs[name], atol=1e-5 * scale, err_msg=name)
