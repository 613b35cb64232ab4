"""`train plan --keep-outputs`: a classifier that keeps its outputs and gets those it lacks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.formats.labels import Labels
from netsurgery.training.class_numbers import add_classes
from netsurgery.training.feed import open_plan
from netsurgery.training.initial_weights import initial_weights

NET, MODEL = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"

LABELS = ("n1 cat, puss", "n2 dog", "n3 ground")

#: The last classifier: its weight is kept K x O, its filler depends on how many rows there are.
LAST = """type: "InnerProduct" inner_product_param { num_output: 3 transpose: true
        weight_filler { type: "msra" variance_norm: FAN_OUT } }"""
GROUPS = """type: "Convolution" convolution_param { num_output: 3 kernel_size: 7 group: 3
        weight_filler { type: "xavier" } }"""
MAP = 'type: "Convolution" convolution_param { num_output: 3 kernel_size: 1 }'
SCALE = 'layer { name: "s" type: "Scale" bottom: "fc" top: "fc" }'
UPSAMPLED = """layer { name: "up" type: "Deconvolution" bottom: "fc" top: "up"
        convolution_param { num_output: 3 kernel_size: 2 stride: 2 } }"""


def net_text(last: str = LAST, aux: int = 3, behind: str = "", score: str = "fc") -> str:
    """A classifier with another on the way, of three classes each."""
    return f"""
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: [1, 1, 16, 16] }} }} }}
layer {{ name: "of" type: "Input" top: "of" input_param {{ shape {{ dim: 1 }} }} }}
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param {{ num_output: 3 kernel_size: 3 stride: 2
                            weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "aux" type: "InnerProduct" bottom: "conv" top: "aux" inner_product_param {{
        num_output: {aux} bias_filler {{ value: 0.5 }} }} }}
layer {{ name: "loss1" type: "SoftmaxWithLoss" bottom: "aux" bottom: "of" top: "loss1" }}
layer {{ name: "fc" bottom: "conv" top: "fc" {last} }}
{behind}
layer {{ name: "loss2" type: "SoftmaxWithLoss" bottom: "{score}" bottom: "of" top: "loss2" }}
"""


@pytest.fixture
def pictures(bundled_nets: Path) -> None:
    """In the current folder images/a.png, and a truth of a cat, a cow and a dog."""
    Path("images").mkdir()
    Image.new("L", (48, 40), 128).save("images/a.png")
    write_truth("cow", "puss", "dog")


def write_truth(*classes: str) -> None:
    boxes = [{"class": classes[0], "box": [0, 0, 16, 16]}]
    truth = {"classes": list(classes), "pictures": [{"file": "a.png", "boxes": boxes}]}
    Path("truth.json").write_text(json.dumps(truth))


def plan(net: str, model: str, folder: str = "plan", **more: Any) -> ns.PlannedTraining:
    options: dict[str, Any] = {
        "annotations": "truth.json",
        "images": "images",
        "background_class": "ground",
        "settings": ns.Settings(labels=LABELS),
        "keep_outputs": True,
        "pictures": 0,
    }
    return ns.train_plan(net, model, folder, **{**options, **more})


def two(weights: str = "two.caffemodel") -> tuple[str, str]:
    """The net above, with random params."""
    Path("two.prototxt").write_text(net_text())
    ns.init("two.prototxt", "init.caffemodel", seed=3)
    values = ["fc[1]=gaussian:seed=4", "aux[0]=gaussian:seed=6", "aux[1]=gaussian:seed=5"]
    ns.edit("two.prototxt", "init.caffemodel", values, weights)
    return "two.prototxt", weights


def first_weights(folder: str = "plan") -> dict[str, list[np.ndarray[Any, Any]]]:
    """The params that a run of the plan begins with."""
    feed = open_plan(Path(folder))
    with (
        initial_weights(feed.net, Path(feed.plan.model), feed.plan.seed) as path,
        ns.Net(Path(folder) / "train.prototxt", path) as net,
    ):
        return {name: [np.array(each) for each in blobs] for name, blobs in net.params.items()}


@pytest.mark.parametrize("weights", ["two.caffemodel", "two.h5"])
def test_rows_are_kept_bit_for_bit_and_new_ones_follow_from_fillers(
    pictures: None, weights: str
) -> None:
    names = two(weights=weights)
    result = plan(*names, keep_auxiliary=True, solver=ns.SolverSettings(seed=7))
    assert result.classes == ("cat, puss", "dog", "ground", "cow")
    assert dict(result.plan.numbers) == {"cow": 3, "puss": 0, "dog": 1}
    assert result.plan.background == 2
    params = first_weights()
    with ns.Net(*names) as net:
        # What is kept K x O is turned by the conversion.
        old = {"aux": np.array(net.params["aux"][0]), "fc": np.array(net.params["fc"][0]).T}
        for name, weight in old.items():
            weights_now, bias_now = params[f"{name}-conv"]
            assert weights_now.shape == (4, 3, 7, 7)
            assert weights_now[:3].reshape(3, -1).tobytes() == weight.tobytes()
            assert bias_now[:3].tobytes() == np.array(net.params[name][1]).tobytes()
        np.testing.assert_array_equal(params["conv"][0], net.params["conv"][0])
    # A new row is what filling the whole param gives it.
    ns.init("plan/train.prototxt", "filled.caffemodel", seed=7)
    with ns.Net("plan/train.prototxt", "filled.caffemodel") as filled:
        for name in ("aux-conv", "fc-conv"):
            for now, new in zip(params[name], filled.params[name], strict=True):
                assert now[3:].tobytes() == np.array(new)[3:].tobytes()
    assert params["aux-conv"][1][3] == 0.5
    assert all(np.ptp(params[name][0][3]) > 0 for name in ("aux-conv", "fc-conv"))
    reseeded = plan(*names, "other", keep_auxiliary=True, solver=ns.SolverSettings(seed=8))
    assert reseeded.outputs == 4
    again = first_weights("other")["fc-conv"][0]
    assert (again[:3] == params["fc-conv"][0][:3]).all()
    assert (again[3] != params["fc-conv"][0][3]).all()


def test_a_net_that_is_a_map_already_grows(pictures: None) -> None:
    """Nothing is converted, and its weights are still other ones."""
    paths = ns.convert(NET, MODEL, "map", engine="embedded").paths
    write_truth("star", "7")
    settings = ns.Settings(labels=(*map(str, range(10)), "paper"), window=(32, 32))
    assert paths.weights is not None
    files = str(paths.prototxt), str(paths.weights)
    result = plan(*files, settings=settings, background_class="paper")
    assert result.net.plan is None
    weight, bias = first_weights()["ip2-conv"]
    with ns.Net(NET, MODEL) as net:
        assert weight.shape == (12, 96, 1, 1)
        assert weight[:11].tobytes() == np.array(net.params["ip2"][0]).tobytes()
        assert bias[:11].tobytes() == np.array(net.params["ip2"][1]).tobytes()
    assert np.ptp(weight[11]) > 0


def test_as_many_other_classes_begin_from_scratch(pictures: None) -> None:
    write_truth("cow", "horse")
    result = plan(*two(), keep_outputs=False, keep_auxiliary=True, settings=ns.Settings())
    assert "replaced by one of 3 outputs that begins from scratch" in " ".join(result.notes)
    assert result.net.renamed == {"aux-conv": "aux-conv-3", "fc-conv": "fc-conv-3"}
    assert result.to_json()["replaced"]


LOADED = """
import sys
import caffe, numpy
train, weights, deploy, old, old_weights, out = sys.argv[1:]
net = caffe.Net(train, weights, caffe.TRAIN)
arrays = {"%s %d" % (name, i): p.data for name, ps in net.params.items() for i, p in enumerate(ps)}
data = numpy.random.RandomState(0).rand(*net.blobs["data"].data[:1].shape)
for key, files in (("new", (deploy, weights)), ("old", (old, old_weights))):
    net = caffe.Net(*files, caffe.TEST)
    net.forward(data=data)
    arrays[key] = net.blobs["ip2-conv"].data
numpy.savez(out, **arrays)
"""


@pytest.mark.caffe
def test_real_pycaffe_loads_what_is_planned(
    pictures: None, run_in_caffe: Callable[..., str]
) -> None:
    write_truth("star", "7")
    settings = ns.Settings(labels=(*map(str, range(10)), "ground"))
    plan(NET, MODEL, settings=settings)
    feed = open_plan(Path("plan"))
    Path("deploy.prototxt").write_text(feed.net.deploy_text)
    old = ns.convert(NET, MODEL, "old", input_size=feed.plan.input_size, engine="embedded").paths
    with initial_weights(feed.net, Path(feed.plan.model), feed.plan.seed) as weights:
        files = ("plan/train.prototxt", weights, "deploy.prototxt", old.prototxt, old.weights)
        run_in_caffe(LOADED, *(Path(each).absolute() for each in (*files, "out.npz")))
    expected = first_weights()
    with np.load("out.npz") as arrays:
        assert sorted({*arrays} - {"old", "new"}) == sorted(
            f"{name} {index}" for name in expected for index in (0, 1)
        )
        for name, params in expected.items():
            for index, param in enumerate(params):
                assert arrays[f"{name} {index}"].tobytes() == param.tobytes()
        # The old classes have the scores that they had.
        assert arrays["new"].shape == (1, 12, *arrays["old"].shape[2:])
        np.testing.assert_allclose(arrays["new"][:, :11], arrays["old"], rtol=1e-5, atol=1e-4)


def test_the_names_of_classes() -> None:
    labels = Labels("l", LABELS)
    added = add_classes(["COW", "Puss", "n2"], 3, labels, "horse")
    assert added.names == ("cat, puss", "dog", "ground", "COW", "horse")
    assert dict(added.numbers) == {"COW": 3, "Puss": 0, "n2": 1}
    assert (added.background, added.own_outputs) == (4, 3)
    assert "2 new outputs (COW is 3, horse is 4)" in added.notes[0]
    assert "1 output of the net are no class" in added.notes[1]
    # Nothing is new: the outputs are the net's own, all of them.
    fewer = add_classes(["dog"], 3, labels, "2")
    assert (fewer.own_outputs, fewer.background) == (3, 2)
    assert fewer.names == ("cat, puss", "dog", "ground")
    numbered = add_classes(["1"], 3, None, "2")
    assert (numbered.names, dict(numbered.numbers)) == (("0", "1", "background"), {"1": 1})
    mask = add_classes(["dog", "ground"], 3, labels, "ground")
    assert (mask.numbers["ground"], mask.background, mask.own_outputs) == (2, 2, 3)
    # ImageNet's two cranes: without their ids both would have one name.
    cranes = Labels("l", ("n1 crane", "n2 crane", "n3 crane, machine"))
    both = add_classes(["n1", "n2", "cow"], 3, cranes, "n3")
    assert both.names == ("n1 crane", "n2 crane", "crane, machine", "cow")


@pytest.mark.parametrize(
    ("classes", "outputs", "labels", "words"),
    [
        (["cow"], 3, None, "whether the net has a class 'cow' is not known, as it has no labels"),
        (["3"], 3, None, "whether the net has a class '3' is not known"),
        (["cat"], 3, ("cat", "dog"), "2 labels, but the net has 3 outputs"),
        (["crane"], 3, ("n1 crane", "n2 crane", "n3 x"), "2 classes of the net are called 'crane'"),
        (["cat", "puss"], 3, LABELS, "'cat' and 'puss' are one class of the net, 'n1 cat, puss'"),
    ],
)
def test_a_class_that_may_be_another_is_refused(
    classes: list[str], outputs: int, labels: tuple[str, ...] | None, words: str
) -> None:
    with pytest.raises(ns.FormatError, match=re.escape(words)):
        add_classes(classes, outputs, None if labels is None else Labels("l", labels), "0", "truth")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            net_text(aux=5),
            "layer 'aux-conv' (Convolution): it has 5 outputs, the last classifier 3",
        ),
        (
            net_text(aux=4),  # as many as there will be, of which three need not be these
            "layer 'aux-conv' (Convolution): it has 4 outputs, the last classifier 3",
        ),
        (net_text(behind=SCALE), "layer 's' (Scale): it has params for each of 3 outputs of"),
        (net_text(GROUPS), "layer 'fc' (Convolution): its outputs are in 3 groups"),
        (net_text(MAP, behind=UPSAMPLED, score="up"), "outputs cannot be added to a Deconvolution"),
        (net_text(f'{LAST} param {{ name: "w" }}'), "it shares its params with another layer"),
    ],
)
def test_a_layer_that_cannot_grow_is_one_line(
    pictures: None, text: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("net.prototxt").write_text(text)
    ns.init("net.prototxt", "w.caffemodel")
    Path("labels.txt").write_text("\n".join(LABELS))
    command = (
        "train plan net.prototxt w.caffemodel --annotations truth.json --images images -o plan "
        "--background-class ground --labels labels.txt --keep-outputs"
    )
    auxiliary = ["--keep-auxiliary"] if "the last classifier" in words else []
    assert run([*command.split(), *auxiliary]) == 1
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not Path("plan").exists()


def test_the_command_says_what_is_kept_and_what_is_new(
    pictures: None, capsys: pytest.CaptureFixture[str]
) -> None:
    names = two()
    Path("labels.txt").write_text("\n".join(LABELS))
    command = (
        f"train plan {names[0]} {names[1]} --annotations truth.json --images images "
        "--background-class ground --labels labels.txt --pictures 0"
    )
    assert run([*command.split(), "-o", "plan", "--keep-outputs"]) == 0
    out = capsys.readouterr()
    assert re.search(r"^cat, puss +0 kept", out.out, re.MULTILINE)
    assert re.search(r"^cow +3 new", out.out, re.MULTILINE)
    said = out.out + out.err
    assert "the net's 3 outputs keep their numbers and weights; behind them 1 new output" in said
    assert "layer 'fc-conv' begin with param 0 by msra (the layer's own filler)" in said
    assert run([*command.split(), "-o", "json", "--keep-outputs", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["classes"] == ["cat, puss", "dog", "ground", "cow"]
    assert record["numbers"] == {"cow": 3, "puss": 0, "dog": 1}
    assert (record["kept"], record["replaced"]) == (3, False)
    assert record["fillers"] == [
        {"layer": "fc-conv", "index": 0, "filler": "msra", "own": True},
        {"layer": "fc-conv", "index": 1, "filler": "constant", "own": True},
    ]
    assert run([*command.split(), "-o", "new", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["kept"], record["replaced"], record["fillers"]) == (0, True, [])
    assert "--keep-outputs keeps those that it has" in record["notes"][-1]


def test_a_class_of_the_net_that_nobody_annotated_is_said(pictures: None) -> None:
    write_truth("cow", "dog")
    result = plan(*two())
    assert [row[:2] for row in result.table().rows] == [
        ("dog", "1 kept"), ("ground", "2 kept"), ("cow", "3 new"),
    ]  # fmt: skip
    assert "1 output of the net are no class of the annotations" in " ".join(result.notes)
