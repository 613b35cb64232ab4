"""--engine auto with real Caffe there: Caffe runs what it knows, the embedded engine the rest."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_models import model_layer, write_model

from netsurgery.cli import run
from netsurgery.engines.pycaffe import PycaffeEngine
from netsurgery.formats.caffemodel import Caffemodel
from netsurgery.io.wire import delimited

pytestmark = [pytest.mark.caffe, pytest.mark.usefixtures("option_names")]

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
    assert (facts["engine"]["name"], facts["engine"]["note"]) == ("embedded", TYPE)


def test_caffe_given_outright_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    make(RELU6)
    assert run(["convert", "net.prototxt", "net.caffemodel", "--engine", "caffe"]) == 1
    assert "Unknown layer type: ReLU6" in capsys.readouterr().err
    assert not Path("net_full_conv.prototxt").exists()


def test_a_layer_whose_params_do_not_fit_is_left_to_the_embedded_engine(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A BatchNorm of five params in a net of Caffe 1.0: Caffe gives up on the model."""
    bn = 'layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }'
    make(bn)
    five = [np.full(size, 2, np.float32) for size in (4, 4, 1, 4, 4)]
    with Caffemodel.open("net.caffemodel") as model:
        old = model.layer("bn")
        content = Path("net.caffemodel").read_bytes()
    new = content[: old.start] + model_layer("bn", "BatchNorm", *five) + content[old.end :]
    Path("net.caffemodel").write_bytes(new)
    message = "layer 'bn': the model has 5 params for it, expected 3: kept as it is in the model"
    assert run(["convert", "net.prototxt", "net.caffemodel"]) == 0
    out = capsys.readouterr().out
    assert message in out
    assert "note: Caffe does not load layer 'bn': the embedded engine was used\n" in out
    arguments = ["convert", "net.prototxt", "net.caffemodel", "-o", "caffe", "--engine", "caffe"]
    assert run(arguments) == 1
    message = "layer 'bn' (BatchNorm): net.caffemodel has 5 params for it, expected 3"
    assert message in capsys.readouterr().err
    assert not Path("caffe").exists()


def test_a_net_that_caffe_knows_is_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    make(RELU)
    assert run(["convert", "net.prototxt", "net.caffemodel", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["engine"]["description"].startswith("caffe 1.0")
    assert not any("this Caffe" in note for note in facts["notes"])


def test_a_type_that_neither_engine_knows(capsys: pytest.CaptureFixture[str]) -> None:
    make('layer { name: "roi" type: "ROIAlign" bottom: "data" top: "roi" }')
    assert run(["verify", *["net.prototxt", "net.caffemodel"] * 2]) == 2
    err = capsys.readouterr().err
    assert (
        "layer 'roi' (ROIAlign): the embedded engine does not run this type of Synopsys Caffe"
        in err
    )
    assert "(this Caffe does not know layer type 'ROIAlign' (layer 'roi'): the embedded" in err


def test_a_field_that_caffe_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    make(CEIL)
    assert run(["convert", "net.prototxt", "net.caffemodel"]) == 0
    assert f"note: {FIELD}the embedded engine was used\n" in capsys.readouterr().out


def test_every_command_that_runs_nets_falls_back(capsys: pytest.CaptureFixture[str]) -> None:
    make(RELU6)
    assert run(["convert", "-q", "net.prototxt", "net.caffemodel"]) == 0
    assert run(["classify-map", "a.png", "--raw-scale", "1"]) == 0
    got = capsys.readouterr()
    assert got.err.endswith(f"\nnote: {TYPE}\n")
    assert "by embedded (ONNX Runtime" in got.out
    assert run(["classify-map", "a.png", "a.png", "--json"]) == 0
    got = capsys.readouterr()
    assert got.err.count(TYPE) == 1
    engines = [json.loads(line)["engine"] for line in got.out.splitlines()]
    assert [engine["name"] for engine in engines] == ["embedded", "embedded"]
    features = ["features", "a.png", "--blob", "conv", "-o", "a.npz", "--raw-scale", "1"]
    assert run([*features, "--json"]) == 0
    got = capsys.readouterr()
    assert got.err.endswith(f"\nnote: {TYPE}\n")
    assert json.loads(got.out)["engine"]["name"] == "embedded"
    both = ["net.prototxt", "net.caffemodel", "net_full_conv.prototxt"]
    assert run(["verify", *both, "net_full_conv.caffemodel"]) == 0
    out = capsys.readouterr().out
    assert out.count(f"note: {TYPE}\n") == 1
    assert run(["verify", *both, "net_full_conv.caffemodel", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert {side["name"] for side in facts["engines"].values()} == {"embedded"}


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


#: What Caffe gives up loading, although it knows every type and field: (net, edit of the model).
REFUSED = {
    "engine: CUDNN": (
        RELU.replace("ReLU", "Sigmoid").replace("top:", "sigmoid_param { engine: CUDNN } top:"),
        "Layer relu has unknown engine.",
    ),
    "a rate of BatchNorm": (
        'layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" param { lr_mult: 1 } }',
        "Cannot configure batch normalization statistics as layer parameters.",
    ),
    "a field of the model that Ristretto reads otherwise": (
        RELU,
        "is missing required fields: layer",
    ),
    "raw numbers": (
        RELU,
        "net.caffemodel holds raw_data of NVIDIA's Caffe, which `netsurgery upgrade` writes as ",
    ),
}


def make_refused(name: str) -> str:
    """net.prototxt and weights that Caffe gives up loading; returns its words."""
    middle, words = REFUSED[name]
    make(middle)
    path = Path("net.caffemodel")
    if "Ristretto" in name:
        # In Caffe 1.0 field 148 of a layer is clip_param, of which both fields are required.
        layer = delimited(100, delimited(1, b"relu") + delimited(148, b"\x08\x08"))
        path.write_bytes(path.read_bytes() + layer)
    if name == "raw numbers":
        with Caffemodel.open(path) as model:
            layers = [
                model_layer(each.name, each.type, *(blob.numpy() for blob in each.blobs), how="raw")
                for each in model.layers
            ]
            write_model(path, *layers)
    return words


@pytest.mark.parametrize("name", REFUSED)
def test_caffes_refusal_is_a_note_in_every_command_that_runs_nets(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = make_refused(name)
    assert run(["convert", "net.prototxt", "net.caffemodel", "--verify"]) == 0
    out = capsys.readouterr().out
    assert "note: Caffe gave up loading net.prototxt with net.caffemodel: " in out
    assert f"{words}" in out
    assert ": the embedded engine was used\n" in out
    assert "by embedded in " in out
    both = ["net.prototxt", "net.caffemodel", "net_full_conv.prototxt"]
    assert run(["verify", *both, "net_full_conv.caffemodel"]) == 0
    assert words in capsys.readouterr().out
    assert run(["verify", *both[2:], "net_full_conv.caffemodel", *both[:2], "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert {side["name"] for side in facts["engines"].values()} == {"embedded"}
    assert any(words in side["note"] for side in facts["engines"].values())
    assert run(["classify-map", "a.png"]) == 0
    # Raw numbers are written so that Caffe reads them.
    by = "caffe 1.0" if name == "raw numbers" else "embedded (ONNX Runtime"
    assert f"by {by}" in capsys.readouterr().out
    net_options = ["--prototxt", "net.prototxt", "--weights", "net.caffemodel"]
    assert run(["features", "a.png", *net_options, "--blob", "conv", "-o", "a.npz"]) == 0
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("name", REFUSED)
def test_caffe_given_outright_gives_its_own_words(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = make_refused(name)
    both = ["net.prototxt", "net.caffemodel"]
    for command in (["convert", *both, "-o", "o"], ["verify", *both, *both]):
        assert run([*command, "--engine", "caffe"]) == (1 if command[0] == "convert" else 2)
        err = capsys.readouterr().err
        assert words in err
        assert err.count("\n") == 1
    assert not Path("o").exists()


def test_data_that_moves_no_params_is_not_given_to_caffe(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """convert needs no data, and what it names would be read."""
    make(RELU)
    data = 'layer { name: "more" type: "HDF5Data" top: "more" hdf5_data_param { source: "no" } }'
    data += 'layer { name: "quiet" type: "Silence" bottom: "more" }'
    Path("net.prototxt").write_text(NET.replace("MIDDLE", RELU) + data)
    for engine in ("auto", "caffe"):
        arguments = ["convert", "net.prototxt", "net.caffemodel", "-o", engine, "--engine", engine]
        assert run(arguments) == 0
        out = capsys.readouterr().out
        assert "note: " not in out
        assert "by caffe 1.0" in out
        assert data in Path(engine, "net_full_conv.prototxt").read_text()


def test_a_net_that_the_other_engine_does_not_run_is_refused_for_what_it_reads(
    capsys: pytest.CaptureFixture[str],
) -> None:
    make(RELU)
    loss = 'layer { name: "loss" type: "HingeLoss" bottom: "ip" bottom: "label" top: "loss" }'
    label = 'layer { name: "data" type: "HDF5Data" top: "label" hdf5_data_param { source: "no" } }'
    Path("net.prototxt").write_text(NET.replace("MIDDLE", RELU) + label + loss)
    message = (
        "layer 'data' (HDF5Data) reads files ('no'): real Caffe runs such a net only with --allow"
    )
    for engine in ("auto", "caffe"):
        arguments = ["verify", *["net.prototxt", "net.caffemodel"] * 2, "--engine", engine]
        assert run(arguments) == 2
        assert f"error: net.prototxt:9:7: {message} reads\n" == capsys.readouterr().err
        assert run([*arguments, "--allow", "reads"]) == 2
        assert "Failed to open source file: no" in capsys.readouterr().err


def test_what_is_wrong_with_the_files_is_no_reason_to_fall_back(
    capsys: pytest.CaptureFixture[str],
) -> None:
    make(RELU)
    Path("net.prototxt").write_text(NET.replace("MIDDLE", RELU).replace('"conv/a"', '"conv/b"'))
    assert run(["verify", *["net.prototxt", "net.caffemodel"] * 2]) == 2
    assert "error: net.caffemodel: no params for layer 'conv/b' of" in capsys.readouterr().err


def test_hdf5_that_caffe_reads_is_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    Path("net.prototxt").write_text(NET.replace("MIDDLE", RELU).replace("conv/a", "conv"))
    assert run(["init", "-q", "net.prototxt", "-o", "net.caffemodel.h5", "--seed", "1"]) == 0
    assert run(["convert", "net.prototxt", "net.caffemodel.h5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["engine"]["description"].startswith("caffe 1.0")


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
        prototxt = Prototxt.read(path)
        assert unknown_field(prototxt.root, "NetParameter", fields) is None, path
        seen += bool(prototxt.layers)
    assert seen > 20
