"""The preset of a net, found by pictures whose classes are known."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.formats.labels import Labels
from netsurgery.maps.preset_trials import Answer, Trial, class_probabilities
from netsurgery.verbs import setup as setup_verb

#: The score of class 0 is the mean of the net's first channel less a number, that of class 1 is 0.
NET = """
input: "data" input_shape { dim: [1, CHANNELS, 4, 4] }
layer { name: "mean" type: "Pooling" bottom: "data" top: "mean"
  pooling_param { pool: AVE global_pooling: true } }
layer { name: "fc" type: "InnerProduct" bottom: "mean" top: "fc"
  inner_product_param { num_output: 2 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""
LABELS = "n01 sky, blue sky\nn02 ground\n"
WORDS = ["setup", "net.prototxt", "net.caffemodel", "--engine", "embedded"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("labels.txt").write_text(LABELS)
    for name, color in (("blue", (0, 0, 255)), ("red", (255, 0, 0))):
        halved(color).save(f"{name}.png")
    return tmp_path


def halved(color: tuple[int, int, int]) -> Image.Image:
    """A picture of this red and blue, half of it with green; the net looks at no green."""
    picture = Image.new("RGB", (8, 8), color)
    picture.paste((color[0], 255, color[2]), (4, 0, 8, 8))
    return picture


def net_with(threshold: float, channels: int = 3) -> None:
    """Write the net, whose class 0 needs more than `threshold` in the first channel."""
    Path("net.prototxt").write_text(NET.replace("CHANNELS", str(channels)))
    ns.init("net.prototxt", "zeros.caffemodel", force=True)
    with ns.Net("net.prototxt", "zeros.caffemodel") as net:
        net.params["fc"][0][0, 0] = 1
        net.params["fc"][1][0] = -threshold
        net.save("net.caffemodel", force=True)


def try_out(capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, str, str]:
    code = run([*WORDS, *more])
    return code, *capsys.readouterr()


BLUE = ("--image", "blue.png", "--class", "0")
RED = ("--image", "red.png", "--class", "1")


def test_the_preset_that_puts_the_class_first_is_written(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    net_with(50)  # blue is 151 by bvlc, 2.6 by mobilenet and 0 as RGB of 0..1
    code, out, err = try_out(capsys, *BLUE[:2], "--class", "blue sky", "--labels", "labels.txt")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["preset", "bvlc", "mobilenet", "rgb01"]
    assert lines[1].split() == "bvlc blue.png 1 1 0 n01 sky, blue sky".split()
    assert lines[4].startswith("bvlc fits: the class is first (probability 1); by the next, mobil")
    assert lines[5] == "wrote netsurgery.toml"
    settings = ns.read_settings("netsurgery.toml")
    assert (settings.mean, settings.raw_scale) == ((104, 117, 123), 255)
    assert (settings.channel_swap, settings.input_scale) == ((2, 1, 0), None)
    assert str(settings.labels) == "labels.txt"
    # and the next command uses it
    words = ["features", "blue.png", "--blob", "prob", "-o", "f.npy", "--engine", "embedded"]
    assert run(words) == 0
    assert capsys.readouterr().err.count("note") == 0
    assert np.load("f.npy")[0] > 0.99


@pytest.mark.parametrize(
    ("threshold", "images", "says"),
    [
        (0, BLUE, "undecided: by bvlc and mobilenet alike the class is first (probability 1)"),
        (10, RED, "undecided: by bvlc and mobilenet and rgb01 alike the class is first"),
        (1000, BLUE, "no preset fits: none puts the class first, the nearest is bvlc with place 2"),
    ],
)
def test_nothing_is_written_where_the_pictures_do_not_decide(
    threshold: float,
    images: tuple[str, ...],
    says: str,
    capsys: pytest.CaptureFixture[str],
    folder: Path,
) -> None:
    net_with(threshold)
    before = sorted(folder.iterdir())
    code, out, err = try_out(capsys, *images)
    assert code == 1
    assert err.startswith(says)
    assert len(out.splitlines()) == 4
    assert sorted(folder.iterdir()) == before
    code, out, _ = try_out(capsys, *images, "--json")
    record = json.loads(out)
    assert code == 1
    assert record["chosen"] is record["settings"] is None
    assert record["verdict"] == err.strip()
    code, out, quiet = try_out(capsys, *images, "-q")
    assert (code, out, quiet) == (1, "", err)
    # but for a preset that is asked for
    code, out, err = try_out(capsys, *images, "--preprocess", "rgb01")
    assert (code, err) == (0, "")
    assert ns.read_settings("netsurgery.toml").raw_scale == 1


def test_more_pictures_decide(capsys: pytest.CaptureFixture[str]) -> None:
    net_with(10)  # red, class 1, is right by all presets; blue by bvlc alone
    code, out, _ = try_out(capsys, *RED, *BLUE, "-o", "made")
    assert code == 0
    assert Path("made/netsurgery.toml").is_file()
    assert "bvlc fits: the class is first in 2 of 2 pictures; by the next, " in out
    assert "the class is first in 1 of 2 pictures" in out


@pytest.mark.parametrize(
    ("best", "others", "doubt"),
    [
        ([0.0018], [0.0017], "hardly better than chance, which is 0.001"),
        ([0.009], [0.0001], "hardly better than chance, which is 0.001"),
        ([0.3], [0.2], "hardly better than by mobilenet, by which the class is at place 2"),
        (
            [0.9, 0.015],
            [0.9, 0.014],
            "hardly better than by mobilenet, by which the class is first",
        ),
        ([0.9, 0.0018], [0.001, 0.0018], ""),
        ([0.03], [0.002], ""),
        ([1.0], [0.5], ""),
        ([0.9, 1e-12], [0.01, 0.01], ""),  # the second is of a wrong class
    ],
)
def test_how_sure_it_is(best: list[float], others: list[float], doubt: str) -> None:
    """By the probabilities of each picture's class, of a thousand, by two presets."""
    trials = [
        Trial("bvlc", tuple(answers(best, len(best))), 1000),
        Trial("mobilenet", tuple(answers(others, len(best) - 1)), 1000),
    ]
    chosen, verdict = setup_verb._choose(trials)
    assert chosen == (None if doubt else "bvlc")
    assert verdict.startswith("not sure: by bvlc the class is first" if doubt else "bvlc fits: ")
    assert doubt in verdict


def answers(probabilities: list[float], first: int) -> list[Answer]:
    """With the classes of the first of them first."""
    return [
        Answer("a.png", 7, 1 if at < first else 2, each, 7, each)
        for at, each in enumerate(probabilities)
    ]


def test_nothing_is_written_where_it_is_not_sure(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    net_with(0.9)  # red is a little more as RGB of 0..1
    before = sorted(folder.iterdir())
    code, _, err = try_out(capsys, "--image", "red.png", "--class", "0")
    assert code == 1
    assert err.startswith("not sure: by rgb01 the class is first (probability 0.51), hardly ")
    assert sorted(folder.iterdir()) == before
    assert try_out(capsys, "--image", "red.png", "--class", "0", "--preprocess", "rgb01")[0] == 0


SQUEEZENET = ("SqueezeNet_deploy.prototxt", "squeezenet.caffemodel")
DARK = np.random.default_rng(0).integers(0, 4, (60, 80, 3), np.uint8)


@pytest.mark.parametrize(
    ("pixels", "spread"),
    [
        pytest.param(DARK, "[01](\\.\\d+)?", id="near-black"),
        pytest.param(np.full((60, 80, 3), 128, np.uint8), "0", id="grey"),
        pytest.param(np.full((60, 80, 3), (0, 0, 255), np.uint8), "0", id="blue"),
    ],
)
def test_a_picture_of_one_colour_says_nothing(
    pixels: Any, spread: str, shared_data: Path, folder: Path
) -> None:
    """Whatever class it is said to be of: with that of the net's own answer a preset would fit."""
    net, weights = (shared_data / "models" / "squeezenet" / name for name in SQUEEZENET)
    before = sorted(folder.iterdir())
    for number in (0, 107):  # 107, jellyfish, is what the net makes of blue
        with pytest.raises(
            ns.ImageError,
            match=rf"^array: nearly of one color, which .* of {spread} of 255, expected 5 or",
        ):
            ns.setup(net, weights, pixels, number, folder=".", engine="embedded")
    cat = shared_data / "bvlc" / "cat.jpg"
    with pytest.raises(ns.ImageError, match=r"^array 1: nearly of one color"):
        ns.setup(net, weights, [cat, pixels], [278, 107], folder=".", engine="embedded")
    assert sorted(folder.iterdir()) == before
    # but for a preset that is asked for
    options: Any = {"preprocess": "bvlc", "folder": ".", "engine": "embedded"}
    assert ns.setup(net, weights, pixels, 107, **options).chosen == "bvlc"


def test_one_colour_in_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    net_with(50)
    Image.new("RGB", (8, 8), (0, 0, 255)).save("plain.png")
    code, out, err = try_out(capsys, "--image", "plain.png", "--class", "0")
    assert (code, out) == (1, "")
    assert err.startswith("error: plain.png: nearly of one color")
    assert err.endswith("give another picture, or --preprocess NAME writes a preset unchecked\n")
    assert not Path("netsurgery.toml").exists()


def test_a_mean_is_tried_in_the_place_of_bvlc(capsys: pytest.CaptureFixture[str]) -> None:
    net_with(50)
    np.save("mean.npy", np.full((3, 4, 4), 100, "f4"))
    code, out, _ = try_out(capsys, *BLUE, "--mean", "mean.npy")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[1:4]] == [
        "bvlc-mean",
        "mobilenet",
        "rgb01",
    ]
    assert str(ns.read_settings("netsurgery.toml").mean) == "mean.npy"
    code, out, _ = try_out(capsys, *BLUE, "--preprocess", "bvlc-mean=mean.npy", "--force")
    assert code == 0
    assert str(ns.read_settings("netsurgery.toml").mean) == "mean.npy"


@pytest.mark.parametrize(
    ("channels", "preset"),
    [(3, "bvlc"), (3, "rgb01"), (3, "mobilenet"), (1, "scaled"), (1, None)],
)
def test_a_mean_that_no_preset_takes_is_refused(channels: int, preset: Any, folder: Path) -> None:
    net_with(50, channels)
    name = preset or "scaled"
    says = f"^preset {name} takes no other mean; leave out mean$"
    with pytest.raises(ns.SettingsError, match=says):
        ns.setup(
            "net.prototxt", "net.caffemodel", "blue.png", 0,
            mean=100, preprocess=preset, engine="embedded",
        )  # fmt: skip
    assert not Path("netsurgery.toml").exists()
    words = [*WORDS, *BLUE, "--mean", "100", *(["--preprocess", preset] if preset else [])]
    assert run(words) == (2 if preset else 1)
    assert not Path("netsurgery.toml").exists()


def test_a_file_that_is_there_is_kept_without_force(capsys: pytest.CaptureFixture[str]) -> None:
    net_with(50)
    text = (
        '[model]\nprototxt = "net.prototxt"\nweights = "old.caffemodel"\nwindow = [4, 4]\n'
        '[preprocess]\ninput_scale = 7\n[classes]\nlabels = "labels.txt"\n'
    )
    Path("netsurgery.toml").write_text(text)
    code, _, err = try_out(capsys, *BLUE)
    assert (code, err) == (1, "error: netsurgery.toml: exists already; --force replaces it\n")
    assert Path("netsurgery.toml").read_text() == text
    assert try_out(capsys, *BLUE, "--force")[0] == 0
    settings = ns.read_settings("netsurgery.toml")
    assert (settings.window, str(settings.labels)) == ((4, 4), "labels.txt")
    assert (settings.input_scale, settings.raw_scale) == (None, 255)
    assert str(settings.weights) == "net.caffemodel"
    # of another net nothing is kept
    Path("netsurgery.toml").write_text(text.replace("net.prototxt", "other.prototxt"))
    assert try_out(capsys, *BLUE, "--force")[0] == 0
    assert ns.read_settings("netsurgery.toml").window is None


def test_the_net_of_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    net_with(50)
    words = ["convert", "net.prototxt", "net.caffemodel", "-o", "out", "--engine", "embedded"]
    assert run([*words, "--labels", "labels.txt", "-q"]) == 0
    Path("out/inner").mkdir()
    os.chdir("out/inner")
    picture = ["--image", "../../blue.png", "--class", "blue sky"]
    capsys.readouterr()
    assert run(["setup", *picture]) == 1
    assert "netsurgery.toml: exists already; --force replaces it" in capsys.readouterr().err
    before = ns.read_settings("../netsurgery.toml")
    assert run(["setup", *picture, "--force", "--engine", "embedded"]) == 0
    settings = ns.read_settings("../netsurgery.toml")
    assert (settings.raw_scale, before.raw_scale) == (255, None)
    assert replace(settings, mean=None, raw_scale=None, channel_swap=None) == before
    assert before.window == (4, 4)
    assert run(["classify-map", "../../blue.png", "--engine", "embedded"]) == 0
    assert "n01 sky, blue sky" in capsys.readouterr().out
    assert run(["setup", "net.prototxt", *picture]) == 2
    os.chdir("../..")
    assert run(["setup", *picture]) == 1
    assert "error: no prototxt" in capsys.readouterr().err


def test_a_grey_net_and_a_converted_one(capsys: pytest.CaptureFixture[str]) -> None:
    net_with(-5, channels=1)
    words = ["net.prototxt", "net.caffemodel", "-o", "out", "--map-size", "1"]
    assert run(["convert", *words, "--engine", "embedded", "-q"]) == 0
    Path("out/netsurgery.toml").unlink()
    Image.linear_gradient("L").save("white.png")
    result = ns.setup(
        "out/net_full_conv.prototxt", "out/net_full_conv.caffemodel", "white.png", 0,
        engine="embedded",
    )  # fmt: skip
    assert (result.chosen, str(result.path)) == ("scaled", "out/netsurgery.toml")
    assert ns.read_settings("out/netsurgery.toml").input_scale == 0.00390625
    assert str(result) == result.verdict
    assert result._repr_html_().startswith("<p>scaled fits: the class is first (prob")
    assert ">scaled</td>" in result._repr_html_()


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--image", "blue.png", "--class", "0", "--class", "1"], 2, "give as many"),
        (["--image", "blue.png", "--class", "2"], 1, "has 2 classes, 0 to 1"),
        (["--image", "blue.png", "--class", "sky"], 1, "class 'sky': expected a number from 0, or"),
        (["--image", "blue.png", "--class", "max"], 1, "class 'max': expected a number from 0, or"),
        (["--image", "blue.png", "--class", "-1"], 1, "class '-1': expected a number from 0, or"),
        (["--image", "blue.png", "--class", "\u00b2"], 1, "class '\u00b2': expected a number from"),
        (["--image", "blue.png", "--class", "9" * 5000], 1, "99': expected a number from 0, or"),
        ([*BLUE, "--blob", "prb"], 1, "no blob 'prb'"),
        ([*BLUE, "--preprocess", "scaled"], 1, "preset scaled is of nets with a grey input"),
        ([*BLUE, "--preprocess", "bvlc-mean"], 1, "needs a mean"),
        ([*BLUE, "--preprocess", "bvlc-mean=a.npy", "--mean", "b.npy"], 2, "both name a mean"),
        (["--image", "no.png", "--class", "0"], 1, "no.png"),
        ([*BLUE, "-o", "no/where"], 1, "there is no folder no"),
    ],
)
def test_what_is_wrong_is_one_line(
    options: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    net_with(50)
    before = sorted(folder.iterdir())
    assert run([*WORDS, *options]) == code
    out, err = capsys.readouterr()
    assert says in err
    assert "Traceback" not in err
    assert out == ""
    assert err.count("\n") == 1
    assert sorted(folder.iterdir()) == before


def test_equal_scores_put_no_class_first(capsys: pytest.CaptureFixture[str]) -> None:
    net_with(0)
    halved((0, 0, 0)).save("black.png")  # RGB of 0..1 gives both classes 0
    code, out, _ = try_out(capsys, "--image", "black.png", "--class", "0", "--json")
    assert code == 1
    places = {trial["preset"]: trial["images"][0]["rank"] for trial in json.loads(out)["trials"]}
    assert places["rgb01"] == 2


@pytest.mark.parametrize(
    ("values", "is_probability", "expected"),
    [
        ([0.2, 0.8], True, [0.2, 0.8]),
        ([1000.0, 0.0], False, [1.0, 0.0]),
        ([np.nan, 0.0], False, [0.0, 1.0]),
        ([[[1.0, 0.5]], [[0.0, 0.5]]], True, [0.75, 0.25]),
    ],
)
def test_probabilities_of_classes(values: Any, is_probability: bool, expected: list[float]) -> None:
    scores = np.array(values, np.float32)
    assert np.allclose(class_probabilities(scores, is_probability), expected)


def test_a_real_net(shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(shared_data / "models" / "squeezenet" / name) for name in SQUEEZENET]
    bvlc = shared_data / "bvlc"
    words = [
        "--image",
        str(bvlc / "cat.jpg"),
        "--labels",
        str(bvlc / "synset_words.txt"),
        "-o",
        ".",
    ]
    assert run(["setup", *files, *words, "--class", "kit fox", "--engine", "embedded"]) == 0
    assert "bvlc fits" in capsys.readouterr().out
    assert run(["classify-map", str(bvlc / "cat.jpg"), "--engine", "embedded"]) == 0
    assert "kit fox" in capsys.readouterr().out


def test_a_class_that_is_called_by_its_number_is_named_once() -> None:
    answers = tuple(Answer("a.png", 0, 2, 0.1, first, 0.8) for first in range(3))
    trial, labels = Trial("bvlc", answers, 3), Labels("w", ("0", "n02 ground", "2"))
    result = setup_verb.Setup((trial,), None, "", None, None, labels, "an engine")
    assert [row[-1] for row in result.table().rows] == ["0", "1 n02 ground", "2"]
