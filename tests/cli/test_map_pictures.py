"""The options of pictures, from the command line to what is in the file."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import netsurgery as ns
from netsurgery.cli import run

MAP = ["classify-map", "x.png", "-q", "--engine", "embedded"]
LABELS = "cat, puss\ndog\npage\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A net whose blob has the means of the picture's channels, and netsurgery.toml."""
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(
        'input: "data" input_shape { dim: 1 dim: 3 dim: 24 dim: 24 }\n'
        'layer { name: "mean" type: "Pooling" bottom: "data" top: "mean"\n'
        "  pooling_param { pool: AVE kernel_size: 4 stride: 4 } }\n"
    )
    Path("words.txt").write_text(LABELS)
    Path("netsurgery.toml").write_text(
        '[model]\nprototxt = "net.prototxt"\n'
        f'weights = "{repo_root.as_posix()}/models/digits/digits.caffemodel"\n'
        '[preprocess]\nraw_scale = 1\n[classes]\nlabels = "words.txt"\n'
    )
    pixels = np.zeros((24, 24, 3), np.uint8)
    pixels[:, :, 2] = 200  # a page, but for a cat and a dog
    pixels[4:12, 4:12] = 250, 0, 0
    pixels[12:20, 12:20] = 0, 150, 0
    Image.fromarray(pixels).save("x.png")
    return tmp_path


def words_of(path: str) -> list[str]:
    root = ElementTree.parse(path).getroot()
    return [each.text or "" for each in root.iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", "not painted: the background, class 2: page, 28 of 36 cells"),
        ("--background none", "likeliest class of each cell, drawn about the center of its window"),
        ("--background dog", "not painted: the background, class 1: dog, 4 of 36 cells"),
        ("--class dog", "score of class 1: dog"),
        ("--class 1 --smooth", "score of class 1: dog; smoothed between cells"),
        ("--class dog,cat", "score of 2 classes, the highest in each cell; opacity: 0 to 0.98"),
        ("--class dog,cat --range 0,2", "score of 2 classes, the highest in each cell; opacity"),
        ("--class each", "class 0: cat, puss, 4 cells"),
        ("--layout panels", "highest score of any class but the background"),
    ],
)
def test_what_a_picture_says(options: str, expected: str) -> None:
    assert run([*MAP, "--picture", "m.svg", *options.split()]) == 0
    words = words_of("m.svg")
    assert any(line.startswith(expected) for line in words), words
    assert ("dog" in words) == ("each" not in options)


@pytest.mark.parametrize("name", ["m.png", "m.jpg", "m.webp"])
def test_width_layout_and_alpha(name: str) -> None:
    assert run([*MAP, "--picture", name, "--width", "640", "--layout", "map"]) == 0
    with Image.open(name) as picture:
        assert picture.width == 640
    assert run([*MAP, "--picture", name, "--force", "--width", "640", "--alpha", "0"]) == 0


def test_several_pictures_are_png() -> None:
    Path("y.png").write_bytes(Path("x.png").read_bytes())
    assert run([*MAP, "y.png", "--picture", "maps/", "--width", "500"]) == 0
    for name in ("maps/x.png", "maps/y.png"):
        with Image.open(name) as picture:
            assert (picture.format, picture.width) == ("PNG", 500)


def test_the_background_is_in_json_and_has_no_colour(capsys: pytest.CaptureFixture[str]) -> None:
    for options, expected in (
        ([], 2),
        (["--background", "puss"], 0),
        (["--background", "none"], None),
    ):
        assert run([*MAP[:2], *MAP[3:], "--json", *options]) == 0
        assert json.loads(capsys.readouterr().out)["background"] == expected
    text = Path("netsurgery.toml").read_text()
    Path("netsurgery.toml").write_text(text + 'background = "dog"\n')
    assert run([*MAP[:2], *MAP[3:], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["background"] == 1


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ("--background cow --picture m.png", 1, "no label 'cow'"),
        ("--background 3 --picture m.png", 1, "class 3: blob 'mean' has 3 classes, 0 to 2"),
        ("--class dog,cow --picture m.png", 1, "no label 'cow'"),
        ("--class dog,Max --picture m.png", 1, "class 'dog,Max': max is not one of several"),
        ("--class each,0 --html m.html", 1, "class 'each,0': each is not one of several"),
        ("--range 2,1 --picture m.png", 2, "'2,1': expected two finite numbers, the lower one"),
        ("--range 2 --picture m.png", 2, "'2' is not LOW,HIGH"),
        ("--range nan,1 --picture m.png", 2, "expected two finite numbers"),
        ("--width 100 --picture m.png", 2, "--width"),
        ("--alpha 2 --picture m.png", 2, "--alpha"),
        ("--layout grid --picture m.png", 2, "expected overlay, panels or map"),
        ("--font words.txt --picture m.png", 1, "words.txt: not a font, expected TrueType"),
        ("--font no.ttf --picture m.png", 1, "no.ttf: No such file or directory"),
        ("--picture m.tiff", 2, "expected a name ending in .png, .jpg, .jpeg, .webp or .svg"),
    ],
)
def test_what_is_refused(
    options: str, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(Path().iterdir())
    assert run([*MAP, *options.split()]) == code
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert said in err
    assert sorted(Path().iterdir()) == before


def test_channels(capsys: pytest.CaptureFixture[str]) -> None:
    args = ["features", "x.png", "--blob", "mean", "--engine", "embedded", "-q"]
    assert run([*args, "--picture", "f.svg", "--channels", "2,0", "--scale", "channel"]) == 0
    words = words_of("f.svg")
    assert words[1:] == [
        "x.png: 3x6x6 (channels x height x width); 2 channels of them; each channel on its own "
        "scale", "2", "0",
    ]  # fmt: skip
    assert run([*args, "--picture", "s.svg", "--sort", "--colors", "grey"]) == 0
    assert words_of("s.svg")[2:5] == ["2", "0", "1"]
    assert run([*args, "--picture", "g.png", "--channels", "3"]) == 1
    assert "channel 3: blob 'mean' has 3 channels, 0 to 2" in capsys.readouterr().err
    assert run([*args, "--picture", "g.png", "--channels", "x"]) == 2
    assert not Path("g.png").exists()


def test_params(repo_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(repo_root / "models/digits/digits.caffemodel")
    for name in ("p.svg", "p.webp"):
        assert run(["inspect", model, "--param", "conv1[0]", "--picture", name, "-q"]) == 0
    assert words_of("p.svg")[0] == "conv1[0] of digits.caffemodel"
    with Image.open("p.webp") as picture:
        assert picture.format == "WEBP"
    assert run(["inspect", model, "--param", "conv1[0]", "--picture", "p.gif", "-q"]) == 2
    assert "p.gif: expected a name ending in .png" in capsys.readouterr().err


def test_from_python(repo_root: Path) -> None:
    mapped = ns.classify_map("x.png", "netsurgery.toml", engine="embedded")
    look = ns.PictureLook(layout="map", width=700)
    assert mapped.to_picture(look=look).width == 700
    assert mapped.to_picture("dog,cat").size == mapped.to_picture("0,1").size
    assert mapped.picture_file("each", suffix=".webp")[:4] == b"RIFF"
    for wrong in ({"layout": "grid"}, {"width": 9}, {"alpha": 7}, {"font": "words.txt"}):
        with pytest.raises(ns.SettingsError):
            ns.PictureLook(**wrong)
