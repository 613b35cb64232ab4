"""`convert --before-pooling`: the map that a global pooling took the mean of."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.verbs.verify_result import MeanCells

WITHIN = 1e-5
SIDE = 40

CONV = """layer { name: "c1" type: "Convolution" bottom: "x" top: "c1"
  convolution_param { num_output: 4 kernel_size: 5 stride: 4 pad: 2
    weight_filler { type: "gaussian" std: 0.5 } } }
"""


def layer(kind: str, name: str, bottom: str, param: str = "", top: str = "") -> str:
    bottoms = " ".join(f'bottom: "{each}"' for each in bottom.split())
    return f'layer {{ name: "{name}" type: "{kind}" {bottoms} top: "{top or name}" {param} }}\n'


def pool(name: str, bottom: str, window: str = "global_pooling: true", how: str = "AVE") -> str:
    return layer("Pooling", name, bottom, f"pooling_param {{ pool: {how} {window} }}")


def fc(name: str, bottom: str, outputs: int = 3) -> str:
    fillers = 'weight_filler { type: "gaussian" std: 1 } bias_filler { type: "constant" value: 2 }'
    param = f"inner_product_param {{ num_output: {outputs} {fillers} }}"
    return layer("InnerProduct", name, bottom, param)


SCALE = 'scale_param { bias_term: true filler { type: "gaussian" std: 1 } }'
RELU = layer("ReLU", "relu", "c1", top="c1")
#: The layers behind the map of 10 x 10, and the blobs whose means are scores: old name, new name.
HEADS = {
    "global": (pool("p", "c1") + fc("fc", "p"), ("fc", "fc-conv")),
    "window of the map's size": (pool("p", "c1", "kernel_size: 10") + fc("fc", "p"),
                                 ("fc", "fc-conv")),
    "stride of the map's size": (pool("p", "c1", "kernel_size: 10 stride: 10") + fc("fc", "p"),
                                 ("fc", "fc-conv")),
    "a mean by Reduction": (
        layer("Reduction", "p", "c1", "reduction_param { operation: MEAN axis: 2 }")
        + fc("fc", "p"), ("fc", "fc-conv")),
    "behind the classifier": (
        layer("Convolution", "c2", "c1", "convolution_param { num_output: 3 kernel_size: 1 "
              'weight_filler { type: "gaussian" std: 1 } }')
        + pool("p", "c2"), ("p", "c2")),
    "flattened": (
        pool("p", "c1") + layer("Flatten", "f", "p") + fc("fc", "f")
        + layer("Softmax", "prob", "fc"), ("fc", "fc-conv")),
    "two InnerProducts": (
        pool("p", "c1") + layer("Dropout", "d", "p", top="p") + fc("a", "p", 5)
        + layer("Scale", "s", "a", SCALE, top="a") + fc("b", "a"), ("b", "b-conv")),
    "a Dropout that multiplies": (
        pool("p", "c1") + layer("Dropout", "d", "p", "dropout_param { scale_train: false }")
        + fc("fc", "d"), ("fc", "fc-conv")),
    "a sum of two": (
        pool("p", "c1") + fc("a", "p") + fc("b", "p")
        + layer("Eltwise", "e", "a b", "eltwise_param { coeff: 1 coeff: -2 }")
        + layer("Sigmoid", "prob", "e"), ("e", "e")),
    "joined": (
        pool("p", "c1") + fc("a", "p") + fc("b", "p", 2) + layer("Concat", "j", "a b")
        + layer("Softmax", "prob", "j"), ("j", "j")),
}  # fmt: skip


def write(head: str, name: str = "net.prototxt", side: int = SIDE) -> str:
    start = f'name: "Net" input: "x" input_shape {{ dim: [2, 3, {side}, {side}] }}\n'
    Path(name).write_text(start + CONV + RELU + head)
    return name


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("head", HEADS)
def test_its_mean_is_the_classifiers_score(head: str) -> None:
    text, (old_blob, new_blob) = HEADS[head]
    ns.init(write(text), "w.caffemodel", seed=1)
    picture = np.random.default_rng(0).uniform(-1, 1, (1, 3, SIDE, SIDE)).astype(np.float32)
    with ns.Net("net.prototxt", "w.caffemodel", engine="embedded") as before:
        score = before.forward(x=np.concatenate([picture] * 2), blobs=[old_blob])[old_blob][0]
    with ns.convert("net.prototxt", "w.caffemodel", before_pooling=True) as result:
        assert result.plan.activation_maps == (new_blob,)
        assert result.plan.inputs[0].new == (1, 3, SIDE, SIDE)
        assert [each for each in result.plan.new.layers if each.name == "p"] == []
        with result.net as after:
            values = after.forward(x=picture, blobs=[new_blob])[new_blob][0]
    assert values.shape[1:] == (10, 10)
    assert values.std() > 0.1
    np.testing.assert_allclose(values.mean((1, 2)), score.ravel(), atol=WITHIN)


HIDDEN = layer("ReLU", "r", "a") + fc("b", "r")
LABELS = 'layer { name: "labels" type: "Input" top: "labels" input_param { shape { dim: 2 } } }\n'
IN_PLACE = layer("Dropout", "d", "p", top="p")


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (fc("fc", "c1"), "layer 'fc': it looks at a map of 10x10 with weights for each place"),
        (pool("p", "c1", how="MAX") + fc("fc", "p"), "layer 'p': it does not pool by AVE"),
        (pool("p", "c1") + fc("a", "p") + HIDDEN,
         "layer 'r': ReLU between the pooling and 'b' is not linear"),
        (pool("p", "c1") + fc("first", "p", 2) + fc("a", "p") + layer("ReLU", "r", "p")
         + fc("b", "r") + layer("Eltwise", "e", "a b"),
         "layer 'r': ReLU between the pooling and 'b' is not linear"),
        (pool("p", "c1") + layer("Convolution", "w", "p", "convolution_param { num_output: 2 "
         "kernel_size: 3 pad: 1 }"), "layer 'w': Convolution sees more than one cell"),
        (pool("p", "c1") + fc("fc", "p") + layer("Softmax", "prob", "fc", top="fc"),
         "layer 'prob': Softmax works in place on the scores"),
        (LABELS + pool("p", "c1") + fc("fc", "p") + layer("SoftmaxWithLoss", "loss", "fc labels"),
         "layer 'loss': SoftmaxWithLoss compares the map with labels, which do not grow with it; "
         "convert the deploy prototxt"),
        (pool("p", "c1") + layer("Scale", "s", "p", SCALE, top="p") + fc("fc", "p")
         + layer("AbsVal", "again", "c1"),
         "layer 'p': a layer works in place on what it pools; 'c1' is read again after it"),
        (pool("p", "c1") + CONV.replace("c1", "c2").replace("stride: 4", "stride: 2")
         + pool("q", "c2") + layer("Concat", "j", "p q") + fc("fc", "j"),
         "without 'p', 'q': layer 'j'"),
    ],
)  # fmt: skip
def test_what_stands_in_the_way_is_named(
    head: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ns.init(write(head), "w.caffemodel", seed=1)
    assert run(["convert", "net.prototxt", "w.caffemodel", "--before-pooling"]) == 1
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert sorted(path.name for path in Path().iterdir()) == ["net.prototxt", "w.caffemodel"]


def test_an_inner_product_that_is_kept() -> None:
    text = pool("p", "c1") + fc("a", "p") + fc("b", "p")
    with pytest.raises(ns.SurgeryError, match="layer 'b': without 'p' its params would change"):
        ns.convert(write(text), before_pooling=True, layers=["a"])


def test_each_of_several_classifiers_has_a_map() -> None:
    text = pool("p", "c1") + fc("a", "p") + fc("b", "p", 2) + layer("Softmax", "prob", "b")
    result = ns.convert(write(text), before_pooling=True)
    assert result.plan.activation_maps == ("a-conv", "b-conv")
    said = " ".join(result.notes)
    assert "the mean of 'a-conv' over its cells" in said
    assert "the mean of 'b-conv' over its cells" in said


def test_what_it_excludes(capsys: pytest.CaptureFixture[str]) -> None:
    write(HEADS["global"][0])
    option = "--keep-global-pooling"
    assert run(["convert", "net.prototxt", "none.caffemodel", "--before-pooling", option]) == 2
    assert option in capsys.readouterr().err
    with pytest.raises(ns.SurgeryError, match="keep_global_pooling"):
        ns.convert("net.prototxt", before_pooling=True, keep_global_pooling=True)


@pytest.mark.parametrize(
    ("sizes", "cells"),
    [({"map_size": (13, 12)}, (13, 12)), ({"input_size": (60, 80)}, (15, 20)),
     ({"stride": 2}, (20, 20)), ({"stride": 2, "map_size": (21, 24)}, (21, 24))],
)  # fmt: skip
def test_maps_of_other_sizes(
    sizes: dict[str, int | tuple[int, int]], cells: tuple[int, int]
) -> None:
    result = ns.convert(write(HEADS["global"][0]), before_pooling=True, **sizes)  # type: ignore[arg-type]
    assert result.plan.maps == {"fc-conv": (1, 3, *cells)}
    assert ("that mean is one over the cells" in " ".join(result.notes)) == ("stride" in sizes)


def test_a_finer_map_has_the_same_cells() -> None:
    ns.init(write(HEADS["flattened"][0]), "w.caffemodel", seed=1)
    picture = np.random.default_rng(0).uniform(-1, 1, (1, 3, SIDE, SIDE)).astype(np.float32)
    maps = []
    for stride in (None, 2):
        with ns.convert(
            "net.prototxt", "w.caffemodel", before_pooling=True, stride=stride
        ).net as net:
            maps.append(net.forward(x=picture, blobs=["fc-conv"])["fc-conv"])
    np.testing.assert_allclose(maps[1][:, :, ::2, ::2], maps[0], atol=WITHIN)


def test_its_cells_lie_where_they_look(repo_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By what a cell sees, whose middle is that of its share of the picture."""
    ns.init(write(HEADS["flattened"][0], side=96), "w.caffemodel", seed=1)
    canvas = "canvas.png"
    shutil.copy(repo_root / "examples" / "digits_canvas.png", canvas)
    assert run(["convert", "net.prototxt", "w.caffemodel", "--before-pooling", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["activation_maps"] == ["fc-conv"]
    assert record["next"] == "netsurgery classify-map IMAGE --blob fc-conv"
    assert record["inputs"][0]["window"] == [5, 5]
    assert "window" not in Path("netsurgery.toml").read_text()
    words = [canvas if word == "IMAGE" else word for word in record["next"].split()[1:]]
    assert run([*words, "--json", "--picture", "map.png", "--html", "map.html"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["map_size"] == [24, 24]
    assert not record["is_probability"]
    class_map = ns.classify_map(
        canvas, "netsurgery.toml", blob="fc-conv", engine="embedded", size=(96, 144)
    )
    windows = class_map.windows()
    assert windows is not None
    height, width = class_map.geometry.placement.image
    scale = width / 144, height / 96
    np.testing.assert_allclose(
        windows[1, 2], [6 * scale[0], 2 * scale[1], 11 * scale[0], 7 * scale[1]]
    )


@pytest.mark.parametrize("head", HEADS)
def test_verify_compares_the_mean(head: str) -> None:
    text, (old_blob, new_blob) = HEADS[head]
    ns.init(write(text), "w.caffemodel", seed=1)
    net = "net.prototxt", "w.caffemodel"
    with ns.convert(*net, before_pooling=True, engine="embedded") as result:
        verification = ns.verify(net, result.net, engine="embedded")
        assert result.verify().to_json() == verification.to_json()
    assert verification.verified
    compared = {each.blob: each for each in verification.outputs}[old_blob]
    assert (compared.new_blob, compared.mean) == (new_blob, MeanCells((10, 10)))
    assert compared.difference.new_shape[2:] == (10, 10)
    # What the others make of it is not compared, and nothing is left out in silence.
    behind = [each for each in ("prob",) if f'top: "{each}"' in text]
    assert [each.blob for each in verification.outputs if each.mean is None] == []
    assert [
        each for each in behind if f"{each!r} is taken of each cell" in str(verification.notes)
    ] == (behind)


@pytest.mark.parametrize(
    ("more", "step"),
    [({"stride": 2}, 2), ({"stride": 1}, 4), ({"map_size": (13, 17)}, 1), ({"input_size": 32}, 1)],
)
def test_verify_finds_the_cells_of_other_maps(more: dict[str, Any], step: int) -> None:
    """Of a finer map those that the pooling had; a larger or smaller one at the size of both."""
    ns.init(write(HEADS["flattened"][0]), "w.caffemodel", seed=1)
    net = "net.prototxt", "w.caffemodel"
    with ns.convert(*net, before_pooling=True, **more) as result:
        verification = ns.verify(net, result.net, engine="embedded")
        side = 8 if "input_size" in more else 10
        assert verification.outputs[0].mean == MeanCells((side, side), (step, step))
        assert verification.verified
        # By another way: of the map itself, at the same input.
        picture = np.random.default_rng(3).normal(0, 1, (1, 3, 4 * side, 4 * side))
        with ns.Net(*net, engine="embedded") as before:
            score = before.forward(x=picture, blobs=["fc"])["fc"].ravel()
        values = result.net.forward(x=picture, blobs=["fc-conv"])["fc-conv"][0]
        mean = values[:, ::step, ::step].mean((1, 2))
        np.testing.assert_allclose(mean, score, atol=WITHIN)


def test_verify_says_where_the_mean_is_another_score(capsys: pytest.CaptureFixture[str]) -> None:
    ns.init(write(HEADS["flattened"][0]), "w.caffemodel", seed=1)
    ns.convert("net.prototxt", "w.caffemodel", "cam", before_pooling=True, engine="embedded")
    files = ("cam/net_full_conv.prototxt", "cam/w_full_conv.caffemodel")
    ns.edit(*files, ["fc-conv[1][2]+=0.01"], "other.caffemodel")
    verify = ["verify", "net.prototxt", "w.caffemodel", "--engine", "embedded"]
    assert run([*verify, *files]) == 0
    out = capsys.readouterr().out
    assert "map fc-conv: its mean is compared with A's fc, over 10x10 cells" in out
    assert run([*verify, files[0], "other.caffemodel", "--json"]) == 1
    record = json.loads(capsys.readouterr().out)
    (output,) = record["outputs"]
    assert record["same"] is False
    assert (output["blob"], output["new_blob"]) == ("fc", "fc-conv")
    assert output["new_shape"] == [1, 3, 10, 10]
    assert output["mean_over"] == {"map_size": [10, 10], "step": [1, 1]}
    assert output["absolute"] == pytest.approx(0.01, rel=1e-3)


def test_verify_says_where_the_map_has_other_cells(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither the same nor another."""
    ns.init(write(HEADS["flattened"][0]), "w.caffemodel", seed=1)
    ns.convert("net.prototxt", "w.caffemodel", "cam", before_pooling=True, engine="embedded")
    cells = Path("cam/net_full_conv.prototxt")
    text = cells.read_text()
    cells.write_text(text.replace("pad: 2", "pad: 6"))
    words = ["net.prototxt", "w.caffemodel", str(cells), "cam/w_full_conv.caffemodel"]
    assert run(["verify", *words, "--engine", "embedded"]) == 2
    assert "has other cells than the 10x10 that the pooling takes" in capsys.readouterr().out


@pytest.mark.parametrize("head", HEADS)
def test_verify_notices_that_the_map_was_given_first(head: str) -> None:
    """The two are no different functions, and what was not compared is said."""
    text, (old_blob, new_blob) = HEADS[head]
    ns.init(write(text), "w.caffemodel", seed=1)
    net = "net.prototxt", "w.caffemodel"
    with ns.convert(*net, before_pooling=True) as result:
        verification = ns.verify(result.net, net, engine="embedded")
    assert verification.same
    if old_blob not in {each.new_blob for each in verification.unchecked}:
        # Both nets have the map, which is what is compared; the score is one output more.
        assert [(each.blob, each.new_blob) for each in verification.outputs] == [(new_blob,) * 2]
        assert f"net.prototxt has one more output, {old_blob!r}" in verification.notes
        return
    assert not verification.verified
    assert not verification.outputs
    (unchecked,) = verification.unchecked
    assert (unchecked.blob, unchecked.what) == (new_blob, "output")
    assert unchecked.why == (
        f"it is the mean over the first net's map {new_blob!r}; to compare the two, give "
        "net.prototxt first"
    )


def test_the_command_says_which_net_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    ns.init(write(HEADS["flattened"][0]), "w.caffemodel", seed=1)
    ns.convert("net.prototxt", "w.caffemodel", "cam", before_pooling=True, engine="embedded")
    files = ("cam/net_full_conv.prototxt", "cam/w_full_conv.caffemodel")
    assert run(["verify", *files, "net.prototxt", "w.caffemodel", "--engine", "embedded"]) == 2
    out = capsys.readouterr().out
    assert "an output could not be checked" in out
    assert "output fc: could not be checked: it is the mean over the first net's map" in out
    assert "max difference" not in out  # there is none


def test_a_map_that_is_no_mean_is_not_taken_for_one() -> None:
    """A classifier that pools by MAX, and a net that has its map: not the same function."""
    ns.init(write(pool("p", "c1", how="MAX") + fc("fc", "p")), "w.caffemodel", seed=1)
    ns.init(write(fc("fc", "c1").replace("InnerProduct", "Convolution").replace(
        "inner_product_param { num_output: 3", "convolution_param { num_output: 3 kernel_size: 1"
    ), "map.prototxt"), "map.caffemodel", seed=1)  # fmt: skip
    verification = ns.verify(
        ("net.prototxt", "w.caffemodel"), ("map.prototxt", "map.caffemodel"), engine="embedded"
    )
    assert not verification.same
    assert all(each.mean is None for each in verification.outputs)
