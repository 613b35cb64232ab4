"""A net that ends in an ArgMax: what it looks at are the scores, whatever takes a map."""

from __future__ import annotations

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
