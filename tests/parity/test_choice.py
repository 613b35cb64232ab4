"""--engine auto with real Caffe there: Caffe runs what it knows, the embedded engine the rest."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from netsurgery.cli import run
from netsurgery.engines.pycaffe import PycaffeEngine

pytestmark = pytest.mark.caffe

NET = """\
name: "fork"
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "conv/a" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
MIDDLE
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
"""
RELU6 = 'layer { name: "relu" type: "ReLU6" bottom: "conv" top: "conv" }'
RELU = 'layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }'
CEIL = """\
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pooled"
  pooling_param { kernel_size: 2 ceil_mode: false } }"""
TYPE = "this Caffe does not know layer type 'ReLU6' (layer 'relu'): the embedded engine was used"
FIELD = "this Caffe does not know field 'ceil_mode' of PoolingParameter (net.prototxt:7): "
SLASH = "Caffe does not find layer 'conv/a' in HDF5, for the / in its name: the embedded engine"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, caffe_python: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NETSURGERY_CAFFE_PYTHON", caffe_python)
    monkeypatch.delenv("NETSURGERY_ENGINE", raising=False)
    Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save("a.png")


def make(middle: str, weights: str = "net.caffemodel") -> None:
    """net.prototxt and its weights."""
    Path("net.prototxt").write_text(NET.replace("MIDDLE", middle))
    assert run(["init", "-q", "net.prototxt", "-o", weights, "--seed", "1"]) == 0


def test_convert_falls_back_and_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    make(RELU6)
    assert run(["convert", "net.prototxt", "net.caffemodel", "--verify"]) == 0
    out = capsys.readouterr().out
    assert f"note: {TYPE}\n" in out
    assert "by embedded in " in out
    assert run(["convert", "net.prototxt", "net.caffemodel", "--json", "-o", "again"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["engine"], facts["notes"].count(TYPE)) == ("embedded", 1)


def test_caffe_given_outright_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    make(RELU6)
    assert run(["convert", "net.prototxt", "net.caffemodel", "--engine", "caffe"]) == 1
    assert "Unknown layer type: ReLU6" in capsys.readouterr().err
    assert not Path("net_full_conv.prototxt").exists()


def test_a_net_that_caffe_knows_is_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    make(RELU)
    assert run(["convert", "net.prototxt", "net.caffemodel", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["engine"].startswith("caffe 1.0")
    assert not any("this Caffe" in note for note in facts["notes"])


def test_a_type_that_neither_engine_knows(capsys: pytest.CaptureFixture[str]) -> None:
    make('layer { name: "roi" type: "ROIAlign" bottom: "data" top: "roi" }')
    assert run(["verify", *["net.prototxt", "net.caffemodel"] * 2]) == 2
    err = capsys.readouterr().err
    assert "layer 'roi' (ROIAlign): the embedded engine does not know this type" in err
    assert "(this Caffe does not know layer type 'ROIAlign' (layer 'roi'): the embedded" in err


def test_a_field_that_caffe_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    make(CEIL)
    assert run(["convert", "net.prototxt", "net.caffemodel"]) == 0
    assert f"note: {FIELD}the embedded engine was used\n" in capsys.readouterr().out


def test_every_command_that_runs_nets_falls_back(capsys: pytest.CaptureFixture[str]) -> None:
    make(RELU6)
    assert run(["convert", "-q", "net.prototxt", "net.caffemodel"]) == 0
    assert run(["classify-map", "a.png"]) == 0
    got = capsys.readouterr()
    assert got.err.endswith(f"\nnote: {TYPE}\n")
    assert "by embedded (ONNX Runtime" in got.out
    assert run(["classify-map", "a.png", "a.png", "--json"]) == 0
    got = capsys.readouterr()
    assert got.err.count(TYPE) == 1
    told = [json.loads(line)["engine"] for line in got.out.splitlines()]
    assert [one.split()[0] for one in told] == ["embedded", "embedded"]
    assert run(["features", "a.png", "--blob", "conv", "-o", "a.npz", "--json"]) == 0
    got = capsys.readouterr()
    assert got.err.endswith(f"\nnote: {TYPE}\n")
    assert json.loads(got.out)["engine"].startswith("embedded")
    both = ["net.prototxt", "net.caffemodel", "net_full_conv.prototxt"]
    assert run(["verify", *both, "net_full_conv.caffemodel"]) == 0
    out = capsys.readouterr().out
    assert out.count(f"note: {TYPE}\n") == 1
    assert run(["verify", *both, "net_full_conv.caffemodel", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert {one.split()[0] for one in facts["engines"]} == {"embedded"}


@pytest.mark.parametrize("name", ["net.caffemodel.h5", "net.caffemodel"])
def test_hdf5_that_caffe_does_not_read_whole(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Caffe's own HDF5 loses layers with / in their names, and goes by the file's name."""
    make(RELU)
    h5 = Path("net.caffemodel.h5")
    write_as_hdf5("net.caffemodel", h5)
    if name != h5.name:
        shutil.move(h5, name)
    note = SLASH if name == h5.name else "Caffe takes HDF5 only from a name that ends in .h5"
    assert run(["convert", "net.prototxt", name, "--weights-out", "out.caffemodel"]) == 0
    got = capsys.readouterr().out
    assert note in got
    assert "by embedded in " in got
    assert run(["verify", "net.prototxt", name, "net.prototxt", name]) == 0
    assert note in capsys.readouterr().out
    assert run(["convert", "net.prototxt", name, "--engine", "caffe", "-o", "c"]) == 1
    assert "Caffe" in capsys.readouterr().err


def write_as_hdf5(model: str, path: Path) -> None:
    import h5py

    from netsurgery.formats.weights import open_weights

    with open_weights(model) as weights, h5py.File(path, "w") as file:
        for layer in weights.layers:
            for i, blob in enumerate(layer.blobs):
                file[f"data/{layer.name}/{i}"] = blob.numpy()


def test_hdf5_that_caffe_reads_is_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    Path("net.prototxt").write_text(NET.replace("MIDDLE", RELU).replace("conv/a", "conv"))
    assert run(["init", "-q", "net.prototxt", "-o", "net.caffemodel.h5", "--seed", "1"]) == 0
    assert run(["convert", "net.prototxt", "net.caffemodel.h5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["engine"].startswith("caffe 1.0")


def test_the_fields_are_those_of_caffes_own_schema(caffe_engine: PycaffeEngine) -> None:
    fields = caffe_engine.fields()
    assert fields["NetParameter"]["layer"] == "LayerParameter"
    assert fields["LayerParameter"]["pooling_param"] == "PoolingParameter"
    assert fields["PoolingParameter"]["kernel_size"] is None
    assert "ceil_mode" not in fields["PoolingParameter"]
    assert {"V0LayerParameter", "V1LayerParameter", "FillerParameter", "BlobShape"} <= set(fields)


def test_real_nets_of_caffe_stay_with_caffe(caffe_docs: Path, caffe_engine: PycaffeEngine) -> None:
    """No net that came with Caffe has anything it does not know."""
    from netsurgery.engines.caffe_gaps import unknown_field
    from netsurgery.formats.prototxt import Prototxt

    fields, seen = caffe_engine.fields(), 0
    for path in sorted(caffe_docs.rglob("*.prototxt")):
        if "solver" in path.name:
            continue
        found = Prototxt.read(path)
        assert unknown_field(found.root, "NetParameter", fields) is None, path
        seen += bool(found.layers)
    assert seen > 20
