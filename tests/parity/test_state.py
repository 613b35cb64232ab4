"""Real Caffe keeps the layers that we keep, whatever their rules and the net's state."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from random_weights import fill_randomly

from netsurgery.cli import run
from netsurgery.engines.pycaffe import CaffeNet, PycaffeEngine
from netsurgery.errors import NetsurgeryError, PrototxtError
from netsurgery.net.net import NetDefinition
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.state import NetState
from netsurgery.verbs.inspect import inspect_net

pytestmark = [pytest.mark.caffe, pytest.mark.usefixtures("option_names")]

#: The last is not UTF-8, as a name's bytes may be.
STAGES = ("a", "b", "test-on-test", "\udcfe")
LEVELS = (-2, -1, 0, 1, 2)
INPUT = 'input: "x" input_shape { dim: 1 dim: 2 }\n'


def drawn_rule(draw: random.Random) -> str:
    fields = []
    if draw.random() < 0.4:
        fields.append(f"phase: {draw.choice(['TRAIN', 'TEST', '0', '1'])}")
    for key in ("min_level", "max_level"):
        if draw.random() < 0.25:
            fields.append(f"{key}: {draw.choice(LEVELS)}")
    for key in ("stage", "not_stage"):
        fields += [f"{key}: '{draw.choice(STAGES)}'" for _ in range(draw.choice([0, 0, 1, 2]))]
    return " ".join(fields)


def drawn_net(draw: random.Random, layers: int = 40) -> str:
    """A net with layers of every kind of rule, in today's or in V1's text."""
    name, kind = draw.choice([("layer", '"ReLU"'), ("layers", "RELU")])
    text = ""
    if draw.random() < 0.5:
        own = [f"stage: '{stage}'" for stage in draw.sample(STAGES, draw.randint(0, 2))]
        own += [f"phase: {draw.choice(['TRAIN', 'TEST'])}", f"level: {draw.choice(LEVELS)}"]
        text = f"state {{ {' '.join(own)} }}\n"
    text += INPUT
    for number in range(layers):
        which = draw.choice(["include", "exclude"])
        rules = " ".join(f"{which} {{ {drawn_rule(draw)} }}" for _ in range(draw.randint(0, 3)))
        text += f'{name} {{ name: "{number}" type: {kind} bottom: "x" top: "{number}" {rules} }}\n'
    return text


def kept_by_caffe(net: CaffeNet) -> list[str]:
    return [name for name, kind in net.layers if kind not in ("Input", "Split")]


@pytest.mark.parametrize("seed", range(20))
def test_drawn_rules_in_drawn_states(
    seed: int, tmp_path: Path, caffe_engine: PycaffeEngine
) -> None:
    draw = random.Random(seed)
    path = tmp_path / "n.prototxt"
    path.write_bytes(drawn_net(draw).encode("utf-8", "surrogateescape"))
    counts = set()
    for _ in range(10):
        stages = tuple(draw.sample(STAGES, draw.randint(0, 3)))
        state = NetState(draw.choice(["TRAIN", "TEST"]), draw.choice(LEVELS), stages)
        ours = [layer.name for layer in NetDefinition.read(path, state).layers]
        with caffe_engine.load(path, state=state) as net:
            assert kept_by_caffe(net) == ours, state
        counts.add(len(ours))
    assert len(counts) > 1  # the states did decide


@pytest.mark.parametrize(
    ("rules", "caffes"),
    [
        ("include { } exclude { }", "Specify either include rules or exclude rules; not both"),
        ("include { stage: 'other' } exclude { stage: 'a' }", "Specify either include rules"),
        ("include { phase: BOTH }", "Failed to parse NetParameter"),
        ("include { stages: 'a' }", "Failed to parse NetParameter"),
    ],
)
def test_caffe_refuses_the_rules_that_we_refuse(
    rules: str, caffes: str, tmp_path: Path, refusal_of_caffe: Callable[[Path], str]
) -> None:
    path = tmp_path / "n.prototxt"
    path.write_text(f'{INPUT}layer {{ name: "r" type: "ReLU" bottom: "x" top: "y" {rules} }}\n')
    with pytest.raises(PrototxtError):
        NetDefinition.read(path)
    assert caffes in refusal_of_caffe(path)


@pytest.fixture
def autoencoder(caffe_docs: Path) -> Path:
    return caffe_docs / "examples" / "mnist" / "mnist_autoencoder.prototxt"


@pytest.mark.parametrize("stage", ["test-on-train", "test-on-test"])
def test_the_autoencoder_has_caffes_shapes(
    stage: str, autoencoder: Path, tmp_path: Path, caffe_engine: PycaffeEngine
) -> None:
    """Its Data layers, which need a database, are Input layers for Caffe."""
    state, shape = NetState(stages=(stage,)), (100, 1, 28, 28)
    inspection = inspect_net(
        NetWithWeights.open(autoencoder, None, state), input_shapes={"data": shape}
    )
    ours = {
        top: of
        for layer in inspection.layers
        for top, of in zip(layer.tops, layer.shapes, strict=True)
    }
    dims = " ".join(f"dim: {size}" for size in shape)
    fed = f'type: "Input" input_param {{ shape {{ {dims} }} }}'
    path = tmp_path / "fed.prototxt"
    path.write_text(autoencoder.read_text().replace('type: "Data"', fed))
    with caffe_engine.load(path, state=state) as net:
        theirs = {blob: of for blob, of in net.blobs.items() if "_split_" not in blob}
        assert ours == theirs
        assert {
            layer.name: layer.params for layer in inspection.layers if layer.params
        } == net.params


def test_the_autoencoder_is_refused_for_what_it_is(
    autoencoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(NetsurgeryError, match="'test-on-train', 'test-on-test': try --stage"):
        NetDefinition.read(autoencoder)
    options = ["--stage", "test-on-test", "--input-shape", "data=100x1x28x28", "-o", str(tmp_path)]
    assert run(["convert", str(autoencoder), "none.caffemodel", *options]) == 1
    assert "layer 'loss': it joins maps of different sizes" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


#: One file for training and for use, distinguished by stages, as NVIDIA's DIGITS has them.
STAGED = """\
name: "staged"
layer { name: "train" type: "Data" top: "data" top: "label" include { stage: "train" } }
layer { name: "data" type: "Input" top: "data" include { stage: "deploy" }
  input_param { shape { dim: 1 dim: 2 dim: 6 dim: 6 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 3 kernel_size: 3 } }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc" include { stage: "deploy" }
  inner_product_param { num_output: 4 } }
layer { name: "aside" type: "InnerProduct" bottom: "conv" top: "aside"   # of another stage
  exclude { stage: "deploy" } inner_product_param { num_output: 5 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" exclude { not_stage: "deploy" } }
"""


def test_what_only_a_training_net_has_is_moved_by_caffe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caffe_engine: PycaffeEngine
) -> None:
    monkeypatch.chdir(tmp_path)
    text = STAGED.replace('stage: "train"', "phase: TEST").replace(
        'not_stage: "deploy"', "phase: TEST"
    )
    Path("net.prototxt").write_text(text.replace('stage: "deploy"', "phase: TRAIN"))
    state = NetState("TRAIN")
    fill_randomly(caffe_engine, Path("net.prototxt"), Path("m.caffemodel"), state=state)
    command = ["convert", "net.prototxt", "m.caffemodel", "--engine", "caffe", "-q"]
    assert run([*command, "--phase", "TRAIN"]) == 0
    with (
        caffe_engine.load(Path("net.prototxt"), Path("m.caffemodel"), state=state) as old,
        caffe_engine.load(
            Path("net_full_conv.prototxt"), Path("m_full_conv.caffemodel"), state=state
        ) as new,
    ):
        assert old.param("fc", 0).tobytes() == new.param("fc-conv", 0).tobytes()


@pytest.mark.parametrize("engine", ["caffe", "embedded"])
def test_a_staged_net_converted(
    engine: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caffe_engine: PycaffeEngine,
) -> None:
    monkeypatch.chdir(tmp_path)
    net, state = Path("net.prototxt"), NetState(stages=("deploy",))
    net.write_text(STAGED)
    fill_randomly(caffe_engine, net, Path("m.caffemodel"), state=state)
    command = ["convert", "net.prototxt", "m.caffemodel", "--engine", engine, "--verify"]
    assert run([*command, "-q"]) == 1
    assert "rules for the stages 'train', 'deploy'" in capsys.readouterr().err
    assert run([*command, "--stage", "deploy"]) == 0
    message = (
        "note: the new net too has to be given the stage 'deploy', or "
        'state { stage: "deploy" } in its prototxt'
    )
    assert message in capsys.readouterr().out

    path = Path("net_full_conv.prototxt")
    before, after = STAGED.splitlines(), path.read_text().splitlines()
    others = [line for line in before if '"train"' in line or "aside" in line]
    others += before[before.index(others[-1]) + 1 :][:1]
    assert len(others) == 3
    assert set(others) <= set(after)
    with (
        caffe_engine.load(net, Path("m.caffemodel"), state=state) as old,
        caffe_engine.load(path, Path("m_full_conv.caffemodel"), state=state) as new,
    ):
        assert old.param("fc", 0).tobytes() == new.param("fc-conv", 0).tobytes()
        assert "aside" not in new.params
    # With the stage in its own text the new net needs no option, in any command.
    path.write_text('state { stage: "deploy" }\n' + path.read_text())
    assert run(["inspect", str(path), "m_full_conv.caffemodel"]) == 0
    with caffe_engine.load(path, Path("m_full_conv.caffemodel")) as new:
        assert "fc-conv" in new.params


@pytest.mark.parametrize("engine", ["caffe", "embedded"])
def test_maps_of_a_staged_net_need_no_more_arguments(
    engine: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caffe_engine: PycaffeEngine,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NETSURGERY_ENGINE", engine)
    text = STAGED.replace("dim: 2 ", "dim: 3 ")
    Path("net.prototxt").write_text(text.replace('{ stage: "dep', '{ min_level: 1 stage: "dep'))
    state = NetState(level=1, stages=("deploy",))
    fill_randomly(caffe_engine, Path("net.prototxt"), Path("m.caffemodel"), state=state)
    options = ["--stage", "deploy", "--level", "1", "-q"]
    assert run(["convert", "net.prototxt", "m.caffemodel", *options]) == 0
    Image.new("RGB", (13, 13), (200, 100, 50)).save("a.png")
    assert run(["classify-map", "a.png", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["map_size"], record["class_count"]) == ([8, 8], 4)
    assert run(["features", "a.png", "--blob", "fc-conv", "-o", "f.npy"]) == 0
