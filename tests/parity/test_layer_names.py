"""Layers of one name: what Caffe loads into which of them, and that nothing here does otherwise."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.engines.contract import EngineOptions
from netsurgery.engines.ort import open_engine
from netsurgery.engines.pycaffe import PycaffeEngine
from netsurgery.errors import EngineFailed, PrototxtError

pytestmark = pytest.mark.caffe

DATA = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 4 } } }\n'


def dense(name: str, bottom: str, top: str, outputs: int, value: int) -> str:
    return (
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{top}"\n'
        f"  inner_product_param {{ num_output: {outputs} bias_term: false\n"
        f'    weight_filler {{ type: "constant" value: {value} }} }} }}\n'
    )


TWICE = DATA + dense("fc", "data", "a", 4, 7) + dense("fc", "a", "b", 4, 8)
LATER = DATA + 'layer { name: "fc" type: "ReLU" bottom: "data" top: "r" }\n'
LATER += dense("fc", "r", "b", 4, 7)
FIRST = DATA + dense("fc", "data", "a", 4, 7)
FIRST += 'layer { name: "fc" type: "ReLU" bottom: "a" top: "b" }\n'

#: Every layer's first weight as filled, saved after those are 1, 2, ..., and loaded again.
SCRIPT = """
import json, sys, caffe
def first(net):
    return [float(each.blobs[0].data.flat[0]) for each in net.layers if len(each.blobs)]
net = caffe.Net(sys.argv[1], caffe.TEST)
params = [first(net)]
for value, each in enumerate([each for each in net.layers if len(each.blobs)], 1):
    each.blobs[0].data[...] = value
net.save(sys.argv[2])
params.append(first(caffe.Net(sys.argv[1], sys.argv[2], caffe.TEST)))
print(json.dumps(params))
"""

WHY = (
    "n.prototxt:{}:7: layer 'fc' (InnerProduct): the layer in line 2 has the same name, and Caffe "
    "loads params by name into the first; give each its own"
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(text: str, folder: Path) -> tuple[Path, Path]:
    """The net, and a model with one layer fc whose weight is 1 everywhere."""
    Path("one.prototxt").write_text(DATA + dense("fc", "data", "a", 4, 1))
    ns.init("one.prototxt", "m.caffemodel", force=True)
    Path("n.prototxt").write_text(text)
    return folder / "n.prototxt", folder / "m.caffemodel"


def test_caffe_loads_the_last_of_the_model_into_the_first_of_the_net(
    folder: Path, run_in_caffe: Callable[..., str]
) -> None:
    net, _ = written(TWICE, folder)
    saved = folder / "saved.caffemodel"
    assert json.loads(run_in_caffe(SCRIPT, net, saved)) == [[7.0, 8.0], [2.0, 8.0]]


@pytest.mark.parametrize("text", [TWICE, LATER])
def test_params_that_would_not_come_to_their_layer_are_refused(
    text: str, folder: Path, caffe_engine: PycaffeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    net, model = written(text, folder)
    why = WHY.format(5 if text == TWICE else 3)
    capsys.readouterr()
    for engine in (caffe_engine, open_engine(EngineOptions())):
        with pytest.raises(PrototxtError) as caught:
            engine.load(net, model)
        assert str(caught.value).replace(f"{folder}/", "").split("\n")[0] == why
    for command in ("convert {} {}", "init {} -o new", "export {} {} -o new"):
        assert run(command.format(net.name, model.name).split()) == 1
        assert capsys.readouterr().err.startswith(f"error: {why}\n")


def test_caffe_loads_nothing_into_a_first_layer_without_params(
    folder: Path, caffe_engine: PycaffeEngine
) -> None:
    net, model = written(LATER, folder)
    with pytest.raises(EngineFailed, match="Incompatible number of blobs for layer fc"):
        caffe_engine.load(net, model, partial=True)


def test_the_first_layer_alone_may_have_params(folder: Path, caffe_engine: PycaffeEngine) -> None:
    net, model = written(FIRST, folder)
    ns.init(net, model, force=True)
    data = np.array([[1, -2, 3, 4]], np.float32)
    for engine in (caffe_engine, open_engine(EngineOptions())):
        with engine.load(net, model) as loaded:
            assert loaded.forward({"data": data}, ["b"])["b"].tolist() == [[42, 42, 42, 42]]


def test_inspect_reports_the_lines_and_each_layers_own_params(folder: Path) -> None:
    net, model = written(TWICE.replace("num_output: 4", "num_output: 3", 1), folder)
    inspection = ns.inspect(net, model)
    assert inspection.notes == (
        "the layers in lines 2, 5 are all named 'fc': Caffe loads params by name, into the first "
        "of them",
    )
    assert [layer.params for layer in inspection.layers] == [(), ((3, 4),), ((4, 3),)]
    assert inspection.total.params == 24
