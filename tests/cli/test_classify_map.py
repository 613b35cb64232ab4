from __future__ import annotations

import io
import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from fakes import FakeEngine, Terminal
from PIL import Image

from netsurgery.cli import run
from netsurgery.cli.classify_map import command
from netsurgery.errors import EngineFailed, EngineMissing

PROTOTXT = """\
input: "data"
input_shape { dim: 10 dim: 3 dim: 8 dim: 8 }
layer { name: "pool" type: "Pooling" bottom: "data" top: "pool"
  pooling_param { pool: AVE kernel_size: 4 stride: 4 } }
layer { name: "prob" type: "Softmax" bottom: "pool" top: "prob" }
"""

SETTINGS = """\
[model]
prototxt = "deploy.prototxt"
weights = "model.caffemodel"
[preprocess]
raw_scale = 1
[classes]
labels = "words.txt"
"""


def pooled(inputs: dict[str, Any]) -> dict[str, Any]:
    """Stands for the net: 4 x 4 means of the input, one class a channel."""
    data = inputs["data"]
    count, channels, high, wide = data.shape
    cells = data.reshape(count, channels, high // 4, 4, wide // 4, 4).mean(axis=(3, 5))
    return {"pool": cells, "prob": cells}


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    fake_engine = FakeEngine(pooled, {"data": (10, 3, 8, 8)})
    monkeypatch.setattr("netsurgery.maps.net_runner.open_engine", fake_engine.open)
    return fake_engine


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: FakeEngine) -> Path:
    """The current folder: a model with its settings, and cat.png, red above blue."""
    for name in list(os.environ):
        if name.startswith("NETSURGERY_") and name != "NETSURGERY_CAFFE_PYTHON":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    for name, text in (
        ("deploy.prototxt", PROTOTXT),
        ("model.caffemodel", "weights"),
        ("netsurgery.toml", SETTINGS),
        ("words.txt", "n1 tabby, cat\nn2 dog, crane\nn3 bird, crane\n"),
    ):
        (tmp_path / name).write_text(text)
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4, :, 0], pixels[4:, :, 2] = 204, 51
    pixels[4:, 4:, 2] = 153
    Image.fromarray(pixels).save(tmp_path / "cat.png")
    return tmp_path


def refused(args: list[str], capsys: pytest.CaptureFixture[str], code: int = 1) -> str:
    assert run(["classify-map", *args]) == code
    seen = capsys.readouterr()
    if "--json" in args and "-" not in args:
        assert json.loads(seen.out)["error"]["message"] in seen.err
    else:
        assert seen.out == ""
    return seen.err


def test_the_map_is_printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["classify-map", "cat.png"]) == 0
    seen = capsys.readouterr()
    assert seen.out == (
        "cat.png: input 8x8, map 2x2 of prob, by fake 1.0\n"
        "0 0\n"
        "2 2\n"
        "\n"
        "cells  class  best probability  id  label\n"
        "    2      0               0.8  n1  tabby, cat\n"
        "    2      2               0.6  n3  bird, crane\n"
    )
    assert seen.err == f"model: {folder / 'model.caffemodel'} (from {folder / 'netsurgery.toml'})\n"


def test_a_map_with_nan_is_written_for_a_look_and_is_an_error(
    folder: Path, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def broken(inputs: dict[str, Any]) -> dict[str, Any]:
        blobs = pooled(inputs)
        blobs["prob"][0, 1, 0, 1] = np.nan
        return blobs

    again = FakeEngine(broken, {"data": (10, 3, 8, 8)})
    monkeypatch.setattr("netsurgery.maps.net_runner.open_engine", again.open)
    message = refused(["cat.png", "--npy", "map.npy", "--picture", "map.png", "-q"], capsys)
    assert message == (
        "error: cat.png: blob 'prob' holds NaN in 1 of 4 cells; check the weights and the "
        "preprocessing\n"
    )
    assert np.argwhere(np.isnan(np.load("map.npy"))).tolist() == [[1, 0, 1]]
    assert not os.path.exists("map.png")


def test_the_table_of_classes_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["classify-map", "cat.png", "--summary"]) == 0
    assert capsys.readouterr().out == (
        "cells  class  best probability  id  label\n"
        "    2      0               0.8  n1  tabby, cat\n"
        "    2      2               0.6  n3  bird, crane\n"
    )


def test_a_squeezed_picture_is_said_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (16, 8)).save("wide.png")
    assert run(["classify-map", "wide.png", "wide.png"]) == 0
    assert capsys.readouterr().err.splitlines()[1:] == [
        "note: a picture of 8x16 is made 8x8, 2.00 times too narrow; --fit crop or pad, "
        "--size image, or --size 8x16 keeps its shape"
    ]
    for way in (["--fit", "crop"], ["--fit", "pad"], ["--size", "image"], ["--size", "8x16"]):
        assert run(["classify-map", "wide.png", *way]) == 0
        assert "note" not in capsys.readouterr().err


def test_a_size_too_small_comes_with_the_smallest(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layer = PROTOTXT.replace("pool: AVE", "num_output: 3").replace('"Pooling"', '"Convolution"')
    (folder / "deploy.prototxt").write_text(layer.replace("pooling_param", "convolution_param"))
    message = refused(["cat.png", "-q", "--size", "3x9"], capsys)
    assert message.endswith("the input is too small; the smallest that works is 4x4\n")


def test_quiet(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["classify-map", "cat.png", "-q"]) == 0
    assert capsys.readouterr() == ("", "")


def test_settings_above_the_current_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch, engine: FakeEngine
) -> None:
    (folder / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(folder / "a" / "b")
    assert run(["classify-map", "../../cat.png", "-q"]) == 0
    assert ("load", folder / "deploy.prototxt", folder / "model.caffemodel") in engine.log


def fed(engine: FakeEngine) -> Any:
    """The blobs the net was given, one after another."""
    return [entry[1]["data"] for entry in engine.log if entry[0] == "forward"]


def test_flags_over_environment_over_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, engine: FakeEngine
) -> None:
    keys = "raw_scale = 10\ninput_scale = 100\nchannel_swap = [2, 1, 0]"
    (folder / "netsurgery.toml").write_text(SETTINGS.replace("raw_scale = 1", keys))
    assert run(["classify-map", "cat.png", "-q"]) == 0
    monkeypatch.setenv("NETSURGERY_RAW_SCALE", "20")
    monkeypatch.setenv("NETSURGERY_MEAN", "1,2,3")
    assert run(["classify-map", "cat.png", "-q"]) == 0
    assert run(["classify-map", "cat.png", "-q", "--raw-scale", "30", "--mean", "0"]) == 0
    assert [blob[0, 2, 0, 0].round(3) for blob in fed(engine)] == [800, 1300, 2400]


def test_another_model_than_the_settings(
    folder: Path, capsys: pytest.CaptureFixture[str], engine: FakeEngine
) -> None:
    (folder / "other.caffemodel").touch()
    assert run(["classify-map", "cat.png", "--weights", "other.caffemodel"]) == 0
    assert capsys.readouterr().err == ""
    assert ("load", folder / "deploy.prototxt", Path("other.caffemodel")) in engine.log


def test_no_settings_and_no_flags(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "netsurgery.toml").unlink()
    assert refused(["cat.png"], capsys) == (
        "error: no prototxt and no weights to use: give --prototxt FILE and --weights FILE, or "
        "run where there is a netsurgery.toml (`netsurgery convert` writes one)\n"
    )


def test_broken_settings(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "netsurgery.toml").write_text("[model]\nwieghts = 'x'\n")
    assert refused(["cat.png"], capsys) == (
        f"error: {folder / 'netsurgery.toml'}:2: unknown key 'wieghts' in [model]; "
        "expected prototxt, weights, window, stages, level\n"
    )


def test_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["classify-map", "cat.png", "--json", "--top-k", "2", "-q"]) == 0
    out = capsys.readouterr().out
    record = json.loads(out)
    assert record["input"] == {"name": "data", "size": [8, 8]}
    assert record["image_size"] == [8, 8]
    assert (record["map_size"], record["class_count"]) == ([2, 2], 3)
    assert record["windows"] == {"start": [0, 0], "stride": [4, 4], "size": [4, 4]}
    assert record["is_probability"]
    assert record["summary"][1] == {
        "class": 2,
        "label": "n3 bird, crane",
        "cells": 2,
        "score": 0.6,
    }
    assert [plane[1][1] for plane in record["classes"]] == [2, 0]
    assert [plane[1][1] for plane in record["scores"]] == [0.6, 0.0]
    assert out == json.dumps(record) + "\n"  # a line a picture, of one as of many


def test_variables_stand_for_the_command_s_own_options(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETSURGERY_TOP_K", "2")
    monkeypatch.setenv("NETSURGERY_CLASS", "cow")
    assert (
        run(["classify-map", "cat.png", "--json", "--class", "max", "--picture", "p.png", "-q"])
        == 0
    )
    assert len(json.loads(capsys.readouterr().out)["classes"]) == 2
    assert refused(["cat.png", "-q"], capsys) == (
        f"error: {folder / 'words.txt'}: no label 'cow'; "
        "expected a whole line, its id, or one of its names (from NETSURGERY_CLASS)\n"
    )


def test_windows_are_as_large_as_the_settings_say(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = SETTINGS.replace("[preprocess]", "window = [6, 7]\n[preprocess]")
    (folder / "netsurgery.toml").write_text(text)
    assert run(["classify-map", "cat.png", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["windows"]["size"] == [6, 7]
    assert run(["classify-map", "cat.png", "--json", "--window", "5x5"]) == 0
    assert json.loads(capsys.readouterr().out)["windows"]["size"] == [5, 5]


@pytest.mark.parametrize(
    ("size", "shape"),
    [("net", (8, 8)), ("image", (12, 20)), ("16x24", (16, 24)), ("16", (16, 16))],
)
def test_size(folder: Path, engine: FakeEngine, size: str, shape: tuple[int, int]) -> None:
    Image.new("RGB", (20, 12)).save("wide.png")
    assert run(["classify-map", "wide.png", "-q", "--size", size]) == 0
    assert fed(engine)[0].shape == (1, 3, *shape)


def test_fit(folder: Path, engine: FakeEngine, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (16, 8), (255, 255, 255)).save("wide.png")
    assert run(["classify-map", "wide.png", "--json", "--fit", "pad"]) == 0
    assert json.loads(capsys.readouterr().out)["windows"]["start"] == [-4, 0]
    blob = fed(engine)[0][0]
    assert np.all(blob[:, [0, 1, 6, 7]] == 0)
    assert np.all(blob[:, 2:6] == 1)


def test_antialias(folder: Path, engine: FakeEngine) -> None:
    rows = np.zeros((32, 32), np.uint8)
    rows[::4] = 255  # every row of the input lies between two others
    Image.fromarray(rows).save("lines.png")
    assert run(["classify-map", "lines.png", "-q"]) == 0
    assert run(["classify-map", "lines.png", "-q", "--no-antialias"]) == 0
    smooth, rough = fed(engine)
    assert np.abs(smooth[0, 0, 2:6, 2:6] - 0.25).max() < 0.05
    assert np.all(rough == 0)


def test_mean_of_another_size_is_said_once(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save("mean.npy", np.ones((3, 4, 4), np.float32))
    assert run(["classify-map", "cat.png", "cat.png", "--mean", "mean.npy"]) == 0
    assert capsys.readouterr().err.splitlines()[1:] == [
        "note: the mean is 4x4, the input 8x8: its mean per channel is subtracted (1, 1, 1)"
    ]


def test_npy(folder: Path) -> None:
    assert run(["classify-map", "cat.png", "-q", "--npy", "map.npy"]) == 0
    values = np.load("map.npy")
    assert values.shape == (3, 2, 2)
    assert values.dtype == np.float32
    assert values[0].tolist() == pytest.approx(np.array([[0.8, 0.8], [0, 0]]))


def test_blob(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["classify-map", "cat.png", "--blob", "pool", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["scores"][0][0][0], record["is_probability"]) == (0.8, False)
    assert refused(["cat.png", "--blob", "x", "-q"], capsys) == (
        f"error: {folder / 'deploy.prototxt'}: no blob 'x'; --blob takes pool, prob\n"
    )


@pytest.mark.parametrize("class_", ["max", "1", "TABBY", "n3"])
def test_picture(folder: Path, class_: str) -> None:
    assert run(["classify-map", "cat.png", "-q", "--picture", "m.png", "--class", class_]) == 0
    with Image.open("m.png") as drawn:
        assert drawn.format == "PNG"
        assert 800 < drawn.width <= 1200


@pytest.mark.parametrize(
    ("class_", "said"),
    [
        ("3", "class 3: blob 'prob' has 3 classes, 0 to 2"),
        ("cow", "{words}: no label 'cow'; expected a whole line, its id, or one of its names"),
        ("crane", "{words}: 2 labels match 'crane': 1 n2 dog, crane; 2 n3 bird, crane; "
         "give the class's number or its whole line"),
    ],
)  # fmt: skip
def test_class_is_checked_before_the_engine_starts(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    engine: FakeEngine,
    class_: str,
    said: str,
) -> None:
    args = ["cat.png", "-q", "--picture", "m.png", "--class", class_]
    said = said.replace("{words}", str(folder / "words.txt"))
    assert refused(args, capsys) == f"error: {said}\n"
    assert engine.log == []
    assert not Path("m.png").exists()


def test_labels_of_another_length(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("two.txt").write_text("a\nb\n")
    assert refused(["cat.png", "-q", "--labels", "two.txt"], capsys) == (
        "error: two.txt: 2 labels, but blob 'prob' has 3 classes\n"
    )


def test_the_settings_labels_are_for_their_own_blob(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("words.txt").write_text("a\nb\n")
    args = ["cat.png", "--blob", "pool"]
    assert run(["classify-map", *args, "--json"]) == 0
    seen = capsys.readouterr()
    assert json.loads(seen.out)["summary"][0]["label"] is None
    words = folder / "words.txt"
    assert f"note: {words} does not fit blob 'pool': left out" in seen.err.splitlines()
    assert refused([*args, "-q", "--labels", "words.txt"], capsys) == (
        "error: words.txt: 2 labels, but blob 'pool' has 3 classes\n"
    )
    assert refused(["cat.png", "-q"], capsys) == (
        f"error: {words}: 2 labels, but blob 'prob' has 3 classes\n"
    )


def test_labels_of_the_same_number_are_kept(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["classify-map", "cat.png", "--blob", "pool", "--json"]) == 0
    seen = capsys.readouterr()
    assert json.loads(seen.out)["summary"][1]["label"] == "n3 bird, crane"
    assert "left out" not in seen.err


@pytest.mark.parametrize("option", ["--labels", "--mean", "--prototxt", "--weights"])
def test_empty_names_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    message = refused(["cat.png", "-q", option, ""], capsys, 2)
    assert f"error: {option}: expected a file's name, found an empty one" in message


def test_outputs_need_force(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("map.npy").write_text("mine")
    assert refused(["cat.png", "-q", "--npy", "map.npy"], capsys) == (
        "error: map.npy: exists already; --force replaces it\n"
    )
    assert Path("map.npy").read_text() == "mine"
    assert run(["classify-map", "cat.png", "-q", "--npy", "map.npy", "--force"]) == 0
    assert np.load("map.npy").shape == (3, 2, 2)


def test_no_output_replaces_an_input(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = Path("cat.png").read_bytes()
    assert refused(["cat.png", "-q", "--picture", "cat.png", "--force"], capsys) == (
        "error: cat.png: is an input too (cat.png); give the output another name\n"
    )
    assert Path("cat.png").read_bytes() == before


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--picture", "m.bmp"], "--picture m.bmp: expected a name ending in .png, .jpg, .jpeg, "),
        (["--npy", "m.png"], "--npy m.png: expected a name ending in .npy"),
        (["--npy", "-", "--picture", "-"], "cannot both go to standard output"),
        (["--npy", "-", "--json"], "error: --json and a file cannot both go to standard output"),
        (
            ["--summary", "--json"],
            "--summary does nothing with --json, which has the table",
        ),
        (["b.png", "--npy", "-"], "--npy -: several images need a folder"),
        (
            ["b.png", "--picture", "q.png"],
            "--picture q.png: several images need a folder; q.png/ for one of this name",
        ),
        (
            ["b.png", "--npy", "q.NPY"],
            "--npy q.NPY: several images need a folder; q.NPY/ for one of this name",
        ),
        (["--size", "big"], "'big' is not HEIGHTxWIDTH, net or image"),
        (["--channel-swap", "2,1,1"], "'2,1,1' is not each channel once, as in 2,1,0 or bgr"),
        (["--mean", "1,nan,2"], "'1,nan,2' holds a number that is not finite"),
        (["--timeout", "nan"], "'nan' is not a number"),
        (["--raw-scale", "nan"], "'nan' is not a finite number"),
        (["--top-k", "0"], "found '0', expected a whole number from 1 on"),
    ],
)
def test_wrong_usage(
    folder: Path, capsys: pytest.CaptureFixture[str], args: list[str], said: str
) -> None:
    assert said in refused(["cat.png", "-q", *args], capsys, 2)


def test_no_image(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "missing argument IMAGE..." in refused([], capsys, 2)


def test_several_images(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One bad image is reported and does not lose the others."""
    Path("bad.png").write_text("no picture")
    Image.new("RGB", (9, 9), (0, 9, 0)).save("dog.png")
    args = ["cat.png", "bad.png", "none.png", "dog.png", "--json", "--npy", "out", "-q"]
    assert run(["classify-map", *args]) == 1
    seen = capsys.readouterr()
    lines = seen.out.splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["image"] for record in records] == ["cat.png", "bad.png", "none.png", "dog.png"]
    assert records[2] == {
        "image": "none.png",
        "error": "none.png: No such file or directory",
    }
    assert seen.err.splitlines() == [
        "error: bad.png: not a picture of a kind that can be read "
        "(JPEG, PNG, PPM, BMP, GIF, TIFF, WebP)",
        "error: none.png: No such file or directory",
        "2 of 4 images failed",
    ]
    assert sorted(os.listdir("out")) == ["cat.npy", "dog.npy"]


def test_what_was_written_is_reported_and_images_stand_apart(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["classify-map", "cat.png", "cat.png", "--npy", "out", "--picture", "drawn/"]) == 0
    first, second = capsys.readouterr().out.split("\n\ncat.png: ")
    assert first.endswith("bird, crane\nwrote out/cat.png.npy\nwrote drawn/cat.png.png")
    assert second.endswith("bird, crane\nwrote out/cat.png-2.npy\nwrote drawn/cat.png-2.png\n")


def test_several_images_go_through_one_net(folder: Path, engine: FakeEngine) -> None:
    assert run(["classify-map", "cat.png", "cat.png", "cat.png", "-q"]) == 0
    assert len([entry for entry in engine.log if entry[0] == "load"]) == 1
    assert len([entry for entry in engine.log if entry[0] == "reshape"]) == 1
    assert len(fed(engine)) == 3


def test_an_image_the_engine_dies_of(
    folder: Path, capsys: pytest.CaptureFixture[str], engine: FakeEngine
) -> None:
    def dies_of_white(inputs: dict[str, Any]) -> dict[str, Any]:
        if inputs["data"].min() == 1:
            raise EngineFailed("caffe: Check failed: too white")
        return pooled(inputs)

    engine.run = dies_of_white
    Image.new("RGB", (8, 8), (255, 255, 255)).save("white.png")
    assert run(["classify-map", "white.png", "cat.png", "--json", "-q"]) == 1
    seen = capsys.readouterr()
    white, cat = map(json.loads, seen.out.splitlines())
    assert white == {"image": "white.png", "error": "caffe: Check failed: too white"}
    assert cat["image"] == "cat.png"
    assert seen.err == ("error: white.png: caffe: Check failed: too white\n1 of 2 images failed\n")


def test_no_engine_is_reported_once(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*arguments: Any) -> Any:
        raise EngineMissing("no Caffe here; netsurgery caffe install")

    monkeypatch.setattr("netsurgery.maps.net_runner.open_engine", none)
    assert refused(["cat.png", "cat.png", "-q"], capsys) == (
        "error: no Caffe here; netsurgery caffe install\n"
    )


def test_images_of_one_stem(folder: Path) -> None:
    (folder / "a").mkdir()
    for name in ("a/cat.png", "CAT.png", "cat.jpg", "dog.png"):
        Image.new("RGB", (8, 8)).save(name)
    images = ["cat.png", "a/cat.png", "CAT.png", "cat.jpg", "dog.png"]
    args = [*images, "-q", "--npy", "out", "--picture", "out"]
    assert run(["classify-map", *args]) == 0
    names = ["cat.png", "cat.png-2", "CAT.png-3", "cat.jpg", "dog"]
    assert sorted(os.listdir("out")) == sorted(
        [f"{name}.npy" for name in names] + [f"{name}.png" for name in names]
    )
    assert np.load("out/cat.png.npy")[0, 0, 0] == pytest.approx(0.8)
    assert np.load("out/cat.png-2.npy")[0, 0, 0] == 0
    assert run(["classify-map", *args]) == 1


def test_a_file_where_a_folder_is_needed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("out").touch()
    assert refused(["cat.png", "cat.png", "-q", "--npy", "out"], capsys) == (
        "error: out: is a file; several images need a folder for --npy\n"
    )


def test_one_image_into_a_folder(folder: Path) -> None:
    Path("out").mkdir()
    assert run(["classify-map", "cat.png", "-q", "--npy", "out", "--picture", "new/"]) == 0
    assert os.listdir("out") == ["cat.npy"]
    assert os.listdir("new") == ["cat.png"]


def test_standard_input_and_output(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(Path("cat.png").read_bytes()))
    monkeypatch.setattr(sys, "stdin", stream)
    assert run(["classify-map", "-", "--npy", "-"]) == 0
    assert np.load(io.BytesIO(capsysbinary.readouterr().out)).shape == (3, 2, 2)


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, args: list[str]) -> tuple[str, str]:
    out, err = Terminal(), Terminal()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        patch.setenv("TERM", "xterm")
        patch.setenv("COLORTERM", "truecolor")
        assert run(["classify-map", *args]) == 0
    return out.getvalue(), err.getvalue()


def test_no_two_classes_share_a_color_of_sixteen() -> None:
    """The nearest of sixteen is one for several of the palette: the map could not be read."""
    from netsurgery.cli.classify_map import _painter

    paint = _painter(16)
    assert len({paint("", rank, None) for rank in range(12)}) == 12
    assert paint("x", 12, None) == "x"


def test_colour_on_a_terminal_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = on_a_terminal(monkeypatch, ["cat.png"])
    assert "\x1b[38;2;" in out
    assert "\x1b" not in err  # one image needs no bar
    monkeypatch.setenv("NO_COLOR", "1")
    out, _ = on_a_terminal(monkeypatch, ["cat.png"])
    assert "\x1b" not in out
    assert "0 0\n2 2\n" in out


def test_progress_on_a_terminal_only(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, err = on_a_terminal(monkeypatch, ["cat.png", "cat.png", "--json"])
    assert "[------------------------]  0/2  cat.png" in err
    assert "[############------------]  1/2  cat.png" in err
    assert err.endswith("\r\x1b[K")
    _, err = on_a_terminal(monkeypatch, ["cat.png", "cat.png", "--json", "-q"])
    assert err == ""
    assert run(["classify-map", "cat.png", "cat.png"]) == 0
    assert "\r" not in capsys.readouterr().err


def test_what_files_say_cannot_steer_the_terminal(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("words.txt").write_text("a\x1b[2J\nb\nc\n")
    os.rename("cat.png", "c\x1b[1mat.png")
    assert run(["classify-map", "c\x1b[1mat.png"]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_json_on_a_terminal_is_a_row_a_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, _ = on_a_terminal(monkeypatch, ["cat.png", "--json"])
    assert "      [0, 0],\n      [2, 2]\n" in out
    assert '  "image_size": [8, 8],\n' in out
    assert '    {"class": 0, "label": "n1 tabby, cat", "cells": 2, "score": 0.8},\n' in out
    assert '    "note": null\n' not in out
    assert json.loads(out)["classes"] == [[[0, 0], [2, 2]]]


def test_the_engine_gets_its_options(folder: Path, engine: FakeEngine) -> None:
    assert run(["classify-map", "cat.png", "-q", "--threads", "2", "--timeout", "5"]) == 0
    assert engine.options is not None
    assert (engine.options.threads, engine.options.timeout) == (2, 5.0)


def test_the_help_has_an_example_that_runs(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (8, 8)).save("cat.jpg")
    assert run(["classify-map", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    example = shlex.split(lines[lines.index("  Example:") + 1])
    assert example[:2] == ["netsurgery", "classify-map"]
    assert run(example[1:]) == 0
    assert Path("map.png").exists()


def test_every_option_has_help() -> None:
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


@pytest.mark.caffe
def test_squeezenets_top_five_of_a_cat(
    shared_data: Path,
    caffe_python: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Real weights in real Caffe: what pycaffe and caffe.io say of BVLC's cat.jpg."""
    monkeypatch.chdir(tmp_path)
    model = shared_data / "models" / "squeezenet"
    args = ["--prototxt", str(next(model.glob("*.prototxt")))]
    args += ["--weights", str(next(model.glob("*.caffemodel")))]
    args += ["--mean", "104,117,123", "--raw-scale", "255", "--channel-swap", "2,1,0"]
    args += ["--labels", str(shared_data / "bvlc" / "synset_words.txt"), "--json", "--top-k", "5"]
    args += ["--engine", "caffe", "--caffe-python", caffe_python, "--threads", "1"]
    assert run(["classify-map", str(shared_data / "bvlc" / "cat.jpg"), *args]) == 0
    record = json.loads(capsys.readouterr().out)
    labels = (shared_data / "bvlc" / "synset_words.txt").read_text().splitlines()
    named = [labels[plane[0][0]].split(" ", 1)[1].split(",")[0] for plane in record["classes"]]
    assert named == ["kit fox", "red fox", "Pembroke", "grey fox", "bucket"]
    assert not record["is_probability"]  # its last layer is a pooling
