"""Whatever sizes an input says, of one too small, which is the smallest that works."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from netsurgery.cli import run
from netsurgery.net.smallest_size import smallest_size

NET = ["prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"]
MODEL = ["--prototxt", "dense.prototxt", "--weights", NET[1], "--engine", "embedded"]


@pytest.mark.parametrize(
    ("size", "answer"), [((1, 1), (5, 9)), ((4, 100), (5, 9)), ((5, 3), (5, 9)), ((90, 90), (5, 9))]
)
def test_the_smallest_of_those_that_work(size: tuple[int, int], answer: tuple[int, int]) -> None:
    assert smallest_size(lambda size: size[0] >= 5 and size[1] >= 9, size) == answer


def test_there_may_be_none() -> None:
    assert smallest_size(lambda size: False, (7, 7)) is None


@pytest.mark.parametrize(
    "words",
    [
        ["convert", *NET, "--input-size", "3x50", "-o", "out", "--engine", "embedded"],
        ["classify-map", "cat.png", *MODEL, "--size", "3x50"],
        ["classify-map", "tiny.png", *MODEL, "--size", "image"],
        ["features", "cat.png", *MODEL, "--blob", "pool3", "-o", "f.npz", "--size", "3x50"],
    ],
    ids=" ".join,
)
def test_every_command_that_sizes_an_input(
    words: list[str], tmp_path: Path, repo_root: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """The net's poolings take a window that passes the edge, so that 26 x 26 will do for 32."""
    for folder in ("prototxt", "models"):
        (tmp_path / folder).symlink_to(repo_root / folder)
    monkeypatch.chdir(tmp_path)
    assert run(["convert", *NET, "--prototxt-out", "dense.prototxt", "--engine", "embedded", "-q",
                "--weights-out", "dense.caffemodel"]) == 0  # fmt: skip
    for name, size in (("cat.png", (60, 60)), ("tiny.png", (50, 3))):
        Image.new("L", size).save(name)
    words = [
        "dense.caffemodel" if word == NET[1] and words[0] != "convert" else word for word in words
    ]
    assert run([*words, "-q"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "the input is too small; the smallest that works is " in line
    smallest = line.rsplit(" ", 1)[1]
    side = int(smallest.split("x")[0])
    again = [word.replace("3x50", smallest) for word in words if word != "image"]
    again += [smallest] if "image" in words else []
    assert run([*again, "-q"]) == 0
    again = [word.replace(smallest, f"{side - 1}x{side}") for word in again]
    force = [] if words[0] == "classify-map" else ["--force"]
    assert run([*again, "-q", *force]) == 1
