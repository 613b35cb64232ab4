"""`upgrade` judged by Caffe's own upgrade_net_proto_text and upgrade_net_proto_binary."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from caffe_schema import caffe_messages, net_parameter
from caffe_tools import caffe_tool, run_tool
from lacking import lacking
from upgrade_nets import NETS, every_v0_field, random_net

from netsurgery.cli import run
from netsurgery.engines.pycaffe import PycaffeEngine
from netsurgery.formats.prototxt import Prototxt
from netsurgery.formats.upgrade.text import plan_upgrade
from netsurgery.io.wire import delimited
from netsurgery.verbs.upgrade import upgrade

pytestmark = [pytest.mark.caffe, pytest.mark.usefixtures("option_names")]

#: Fields that only forks of Caffe have, which Caffe's own tool cannot parse.
FORKS = re.compile(r"no field named|has no field")
RANDOM_NETS = 20

#: What Caffe's tools say of fields that they leave out; they write the rest, and exit with 1.
DETECTION = "Unknown parameter det_"


def tool(name: str) -> list[str]:
    path = caffe_tool(name)
    if path is None:
        lacking(f"no {name}: `netsurgery caffe install` gets it")
    return path


@pytest.fixture
def text_tool(tmp_path: Path) -> Callable[[str], Any]:
    """A prototxt as Caffe's tool upgrades it, a NetParameter; None where it cannot parse it."""
    words = tool("upgrade_net_proto_text")

    def upgraded(text: str) -> Any:
        old, new = tmp_path / "old.prototxt", tmp_path / "new.prototxt"
        old.write_bytes(text.encode("utf-8", "surrogateescape"))
        code, said = run_tool(words, old, new)
        if FORKS.search(said):
            return None
        assert code == 0 or DETECTION in said, said
        return net_parameter(new.read_text())

    return upgraded


@pytest.fixture
def binary_tool(tmp_path: Path) -> Callable[[Path], Any]:
    """A binary net as Caffe's tool upgrades it, a NetParameter."""
    words = tool("upgrade_net_proto_binary")

    def upgraded(path: Path) -> Any:
        new = tmp_path / "theirs.caffemodel"
        code, said = run_tool(words, path, new)
        assert code == 0 or DETECTION in said, said
        return caffe_messages().NetParameter.FromString(new.read_bytes())

    return upgraded


def agree(text: str, text_tool: Callable[[str], Any]) -> bool:
    """Compare; whether Caffe's tool had an opinion."""
    plan = plan_upgrade(Prototxt.parse(text))
    again = plan_upgrade(plan.result)
    assert (again.text, again.changes) == (plan.text, ())
    assert (plan.text == plan.prototxt.text) == (not plan.changes)
    theirs = text_tool(plan.prototxt.text)
    if theirs is not None:
        assert str(net_parameter(plan.text)) == str(theirs)
    return theirs is not None


@pytest.mark.parametrize("name", NETS)
def test_text_of_each_kind(name: str, text_tool: Callable[[str], Any]) -> None:
    assert agree(NETS[name], text_tool)


def test_every_field_of_every_v0_type(text_tool: Callable[[str], Any]) -> None:
    assert agree(every_v0_field(), text_tool)


def test_random_text(text_tool: Callable[[str], Any]) -> None:
    for seed in range(RANDOM_NETS):
        assert agree(random_net(seed), text_tool), seed


def prototxts(folder: Path) -> list[Path]:
    paths = [path for path in folder.rglob("*.prototxt") if "solver" not in path.name]
    assert paths
    return sorted(paths)


def test_the_nets_of_others(shared_data: Path, text_tool: Callable[[str], Any]) -> None:
    paths = prototxts(shared_data)
    agreed = [agree(Prototxt.read(path).text, text_tool) for path in paths]
    assert sum(agreed) >= len(paths) - 3  # three hold fields of forks


def test_the_nets_of_caffe_doc(caffe_docs: Path, text_tool: Callable[[str], Any]) -> None:
    for path in prototxts(caffe_docs):
        assert agree(Prototxt.read(path).text, text_tool), path


def test_the_nets_of_this_project(repo_root: Path, text_tool: Callable[[str], Any]) -> None:
    for path in prototxts(repo_root / "prototxt"):
        assert agree(Prototxt.read(path).text, text_tool)


def agree_in_binary(path: Path, binary_tool: Callable[[Path], Any], folder: Path) -> None:
    upgraded = folder / "ours.caffemodel"
    upgrade(path, upgraded, force=True)
    assert upgrade(upgraded).steps == ()
    theirs, ours = (
        binary_tool(path),
        caffe_messages().NetParameter.FromString(upgraded.read_bytes()),
    )
    if ours != theirs:  # pytest would compare the weights as text
        for message in (ours, theirs):
            for layer in message.layer:
                layer.ClearField("blobs")
        assert str(ours) == str(theirs)
        pytest.fail("the weights differ")


def test_the_models_of_others(
    shared_data: Path, binary_tool: Callable[[Path], Any], tmp_path: Path
) -> None:
    folder = shared_data / "models"
    models = [*folder.glob("*/*.caffemodel"), *folder.glob("lenet_v1/*000")]
    # Caffe's tool leaves what NVIDIA's Caffe wrote in fields it does not know: test_raw_numbers.
    models = [path for path in models if path.parent.name != "half"]
    assert len(models) > 12
    for path in models:
        agree_in_binary(path, binary_tool, tmp_path)


def binary(text: str) -> bytes:
    """A prototxt as a binary net, with weights in each of its ways for every layer but paddings."""
    net = net_parameter(text)
    for index, layer in enumerate([*net.layers, *net.layer]):
        old = hasattr(layer, "layer") and layer.HasField("layer")
        if old and layer.layer.type == "padding":
            continue
        blob = (layer.layer if old else layer).blobs.add()
        if index % 3 == 0:
            blob.num, blob.channels, blob.height, blob.width = 1, 1, 2, 2
            blob.data.extend([1, 2, 3, index])
        elif index % 3 == 1:
            blob.shape.dim.extend([2, 1])
            blob.double_data.extend([1, index])
        else:
            blob.shape.dim.extend([1])
            blob.data.extend([index])
            blob.diff.extend([0.5])
    data: bytes = net.SerializeToString()
    return data


@pytest.mark.parametrize("name", [name for name in NETS if "layer" in NETS[name]])
def test_binary_of_each_kind(name: str, binary_tool: Callable[[Path], Any], tmp_path: Path) -> None:
    path = tmp_path / "old.caffemodel"
    path.write_bytes(binary(NETS[name]))
    agree_in_binary(path, binary_tool, tmp_path)


def test_dims_in_one_run(binary_tool: Callable[[Path], Any], tmp_path: Path) -> None:
    """Protobuf reads a repeated number also where it lies packed; Caffe writes one by one."""
    path = tmp_path / "old.caffemodel"
    net = binary('input: "a" layer { name: "x" type: "ReLU" bottom: "a" top: "b" }')
    path.write_bytes(net + delimited(4, bytes([1, 3, 5, 7])))
    agree_in_binary(path, binary_tool, tmp_path)


def test_random_binary(binary_tool: Callable[[Path], Any], tmp_path: Path) -> None:
    path = tmp_path / "old.caffemodel"
    for text in [every_v0_field(), *map(random_net, range(RANDOM_NETS))]:
        path.write_bytes(binary(text))
        agree_in_binary(path, binary_tool, tmp_path)


V0_CLASSIFIER = """\
name: "old"
input: "data"
input_dim: 2
input_dim: 3
input_dim: 20
input_dim: 20
layers {
  layer { name: "pad" type: "padding" pad: 1 }
  bottom: "data" top: "pad"
}
layers {
  layer { name: "conv" type: "conv" num_output: 4 kernelsize: 3 stride: 2
    weight_filler { type: "xavier" } }
  bottom: "pad" top: "conv"
}
layers { layer { name: "relu" type: "relu" } bottom: "conv" top: "conv" }
layers { layer { name: "pool" type: "pool" pool: MAX kernelsize: 2 stride: 2 }
  bottom: "conv" top: "pool" }
layers { layer { name: "ip" type: "innerproduct" num_output: 5 }  # the classifier
  bottom: "pool" top: "ip" }
layers { layer { name: "prob" type: "softmax" } bottom: "ip" top: "prob" }
"""


def v0_model(engine: PycaffeEngine, prototxt: Path, path: Path) -> None:
    """A V0 caffemodel for a V0 prototxt: random weights, in the layers inside the layers."""
    net = net_parameter(prototxt.read_text())
    random = np.random.default_rng(2)
    with engine.load(prototxt) as loaded:
        params = dict(loaded.params)
    for layer in net.layers:
        for shape in params.get(layer.layer.name, ()):
            blob = layer.layer.blobs.add()
            four = (1,) * (4 - len(shape)) + tuple(shape)
            blob.num, blob.channels, blob.height, blob.width = four
            blob.data.extend(random.standard_normal(int(np.prod(shape))).astype(np.float32))
    path.write_bytes(net.SerializeToString())


def test_a_v0_net_is_the_same_function_upgraded_and_converted(
    caffe_engine: PycaffeEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    old, model = Path("v0.prototxt"), Path("v0.caffemodel")
    old.write_text(V0_CLASSIFIER)
    v0_model(caffe_engine, tmp_path / old, model)
    assert run(["upgrade", str(old), "-o", "v2.prototxt", "-q"]) == 0
    assert run(["upgrade", str(model), "-o", "v2.caffemodel", "-q"]) == 0
    capsys.readouterr()
    assert run(["convert", str(old), "v2.caffemodel", "--engine", "embedded"]) == 0
    assert "note: the net is of Caffe's first generation (V0): it was upgraded first" in (
        capsys.readouterr().out
    )
    picture = np.random.default_rng(1).standard_normal((1, 3, 20, 20)).astype(np.float32)
    answers = []
    for net, weights in (
        (old, model),
        (Path("v2.prototxt"), Path("v2.caffemodel")),
        (Path("v0_full_conv.prototxt"), Path("v2_full_conv.caffemodel")),
    ):
        with caffe_engine.load(tmp_path / net, tmp_path / weights) as loaded:
            loaded.reshape({"data": (1, 3, 20, 20)})
            answers.append(loaded.forward({"data": picture}, ["prob"])["prob"].ravel())
    assert np.array_equal(answers[0], answers[1])
    assert np.abs(answers[2] - answers[0]).max() <= 1e-5 * np.abs(answers[0]).max()
