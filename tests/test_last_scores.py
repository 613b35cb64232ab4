"""Nets that do not end in their scores, but in an ArgMax or in losses: which blob a map is of."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import netsurgery as ns
from netsurgery.cli import run

#: What the demo net gets behind its Softmax.
RANKED = 'layer { name: "best" type: "ArgMax" bottom: "prob" top: "class" }\n'
EMBEDDED = ["--engine", "embedded"]


@pytest.fixture
def place(tmp_path: Path, repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the demo net converted, and with the net that has an ArgMax; in the latter."""
    monkeypatch.chdir(tmp_path)
    text = (repo_root / "prototxt/digits_deploy.prototxt").read_text()
    weights = str(repo_root / "models/digits/digits.caffemodel")
    Path("labels.txt").write_text("".join(f"digit {number}\n" for number in range(11)))
    for name, more in (("plain", ""), ("ranked", RANKED)):
        Path(f"{name}.prototxt").write_text(text + more)
        words = ["--labels", "labels.txt", "--preprocess", "scaled", "-q", *EMBEDDED]
        # As many labels as the classifier has classes.
        assert run(["convert", f"{name}.prototxt", weights, "-o", name, *words]) == 0
    monkeypatch.chdir(tmp_path / "ranked")
    canvas = Image.open(repo_root / "examples/digits_canvas.png")
    canvas.save("canvas.png")
    canvas.crop((0, 0, 32, 32)).save("nothing.png")
    return tmp_path


def test_its_map_is_of_the_scores(place: Path) -> None:
    maps = [
        ns.classify_map("canvas.png", place / name / "netsurgery.toml", engine="embedded")
        for name in ("plain", "ranked")
    ]
    plain, ranked = (class_map.to_json(top_k=11) for class_map in maps)
    assert ranked == plain
    assert ranked["blob"] == "prob"
    assert maps[1].argmax().max() == 10


@pytest.mark.parametrize(
    "words",
    [
        ["classify-map", "canvas.png", "--summary"],
        ["classify-map", "canvas.png", "--occlusion", "--size", "32x32"],
        ["setup", "--image", "nothing.png", "--class", "digit 10", "--force"],
    ],
    ids=" ".join,
)
def test_class_numbers_are_no_scores(
    words: list[str], place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*words, *EMBEDDED, "--blob", "class"]) == 1
    prototxt = place / "ranked/ranked_full_conv.prototxt"
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"error: {prototxt}: blob 'class' holds class numbers, made by layer 'best' (ArgMax), not "
        "scores; --blob prob has those"
    )
    assert run([*words, *EMBEDDED]) == 0


def test_its_class_numbers_can_be_saved(place: Path) -> None:
    words = ["features", "canvas.png", "--blob", "class", "-o", "class.npy", *EMBEDDED]
    assert run(words) == 0
    best = ns.classify_map("canvas.png", "netsurgery.toml", engine="embedded").argmax()
    assert np.array_equal(np.load("class.npy")[0], best)


TRAINING = """layer { name: "pairs" type: "Data" top: "data" top: "label"
  data_param { source: "nowhere" batch_size: 8 } }
"""
LOSSES = """layer { name: "right" type: "Accuracy" bottom: "ip2" bottom: "label" top: "right" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }
"""


def test_what_convert_says_comes_next_works_for_a_training_net(
    place: Path, repo_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its last tops are an accuracy and a loss, and a picture is fed in place of its data."""
    text = Path("../plain.prototxt").read_text()
    start, end = text.index('layer {\n  name: "conv1"'), text.index('layer { name: "prob"')
    Path("train.prototxt").write_text(TRAINING + text[start:end] + LOSSES)
    weights = str(repo_root / "models/digits/digits.caffemodel")
    words = ["convert", "train.prototxt", weights, "-o", "new", "--preprocess", "scaled", *EMBEDDED]
    shape = "data=1x1x32x32"
    assert run([*words, "--input-shape", shape]) == 0
    (line,) = [each for each in capsys.readouterr().out.splitlines() if each.startswith("next: ")]
    assert line == f"next: cd new && netsurgery classify-map IMAGE --input-shape={shape}"
    canvas = Path("canvas.png").resolve()
    os.chdir("new")
    command = shlex.split(line.partition("netsurgery ")[2].replace("IMAGE", str(canvas)))
    assert run([*command, *EMBEDDED, "--size", "image", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    settings = place / "plain/netsurgery.toml"
    plain = ns.classify_map(canvas, settings, blob="ip2-conv", size="image", engine="embedded")
    assert record["blob"] == "ip2-conv"
    assert record["classes"] == plain.to_json()["classes"]


def test_nothing_comes_next_where_no_picture_can_be_fed(place: Path, repo_root: Path) -> None:
    text = Path("../plain.prototxt").read_text()
    dummy = text.replace('"Input"', '"DummyData"').replace("input_param", "dummy_data_param")
    Path("dummy.prototxt").write_text(dummy)
    weights = repo_root / "models/digits/digits.caffemodel"
    result = ns.convert("dummy.prototxt", weights, "new", engine="embedded")
    assert result.to_json()["next"] is None
