from __future__ import annotations

import io
import json
import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from netsurgery.cli import run


@pytest.fixture
def folder(tmp_path: Path, repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: the bundled net made fully convolutional, and cat.png."""
    for name in list(os.environ):
        if name.startswith("NETSURGERY_") and name != "NETSURGERY_CAFFE_PYTHON":
            monkeypatch.delenv(name)
    monkeypatch.setenv("NETSURGERY_ENGINE", "embedded")
    monkeypatch.chdir(tmp_path)
    digits = repo_root / "prototxt" / "digits_deploy.prototxt"
    weights = repo_root / "models" / "digits" / "digits.caffemodel"
    assert run(["convert", str(digits), str(weights), "-q"]) == 0
    random = np.random.default_rng(0)
    Image.fromarray(random.integers(0, 256, (40, 50), np.uint8)).save("cat.png")
    Image.fromarray(random.integers(0, 256, (64, 48), np.uint8)).save("dog.png")
    (tmp_path / "broken.png").write_text("no picture")
    return tmp_path


def refused(args: list[str], capsys: pytest.CaptureFixture[str], code: int = 1) -> str:
    assert run(["features", *args, "-q"]) == code
    seen = capsys.readouterr()
    assert seen.out == ""
    return seen.err


def test_what_is_printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["cat.png", "--blob", "conv1", "--blob", "ip1-conv", "-o", "f.npz"]
    assert run(["features", *args]) == 0
    seen = capsys.readouterr()
    assert seen.out == (
        "image  blob         shape  stride   field  offset\n"
        "cat    conv1     16x84x84    1, 1    5, 5    0, 0\n"
        "cat    ip1-conv    96x8x8    8, 8  32, 32    0, 0\n"
        "wrote f.npz\n"
    )
    assert seen.err.startswith("model: ")


def test_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["cat.png", "dog.png", "--blob", "prob", "-o", "f.h5", "--json", "--size", "image"]
    assert run(["features", *args]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["outputs"] == ["f.h5"]
    assert [record["name"] for record in facts["images"]] == ["cat", "dog"]
    assert facts["images"][1]["image_size"] == [64, 48]
    (blob,) = facts["images"][1]["blobs"]
    assert (blob["blob"], blob["shape"], blob["window"]) == ("prob", [11, 5, 3], [32, 32])
    with h5py.File("f.h5") as file:
        assert file["dog/prob"].shape == (11, 5, 3)
        assert file["cat/prob"].attrs["image_size"].tolist() == [40, 50]


def test_the_map_is_that_of_classify_map(folder: Path) -> None:
    assert run(["classify-map", "cat.png", "--npy", "map.npy", "-q"]) == 0
    assert run(["features", "cat.png", "--blob", "prob", "-o", "prob.npy", "-q"]) == 0
    assert np.load("map.npy").tobytes() == np.load("prob.npy").tobytes()
    assert json.loads(Path("prob.json").read_text())["stride"] == [8, 8]


def test_preprocessing_from_flags(folder: Path) -> None:
    args = ["features", "cat.png", "--blob", "data", "-q"]
    assert run([*args, "-o", "plain.npy"]) == 0
    assert run([*args, "-o", "ready.npy", "--raw-scale", "255", "--mean", "10"]) == 0
    assert np.load("ready.npy") == pytest.approx(np.load("plain.npy") * 255 - 10, abs=1e-4)


def test_names_of_pictures(folder: Path) -> None:
    (folder / "other").mkdir()
    Image.open("cat.png").save("other/cat.png")
    Image.open("cat.png").save("cat.bmp")
    args = ["cat.png", "cat.bmp", "other/cat.png", "dog.png"]
    assert run(["features", *args, "--blob", "ip2-conv", "-o", "f.npz", "-q"]) == 0
    with np.load("f.npz") as file:
        names = {key.split("/")[0] for key in file.files}
        assert names == {"cat.png", "cat.bmp", "cat.png-2", "dog"}
        assert (file["cat.png/ip2-conv"] == file["cat.bmp/ip2-conv"]).all()


def test_a_picture_that_fails_is_left_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["cat.png", "broken.png", "dog.png", "--blob", "prob", "-o", "f.npz", "--picture", "p"]
    err = refused(args, capsys)
    assert err.splitlines() == [
        "error: broken.png: not a picture of a kind that can be read "
        "(JPEG, PNG, PPM, BMP, GIF, TIFF, WebP)",
        "1 of 3 images failed",
    ]
    with np.load("f.npz") as file:
        assert {key.split("/")[0] for key in file.files} == {"cat", "dog"}
    assert sorted(os.listdir("p")) == ["cat_prob.png", "dog_prob.png"]


def test_json_has_a_record_of_a_picture_that_fails(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["--blob", "prob", "-o", "f.npz", "--json", "-q"]
    assert run(["features", "cat.png", "broken.png", *args]) == 1
    facts = json.loads(capsys.readouterr().out)
    assert facts["outputs"] == ["f.npz"]
    assert [set(record) & {"blobs", "error"} for record in facts["images"]] == [
        {"blobs"},
        {"error"},
    ]
    assert run(["features", "broken.png", *args, "--force"]) == 1
    seen = capsys.readouterr()
    facts = json.loads(seen.out)
    assert facts["outputs"] == []
    assert facts["images"][0] == {
        "name": "broken",
        "image": "broken.png",
        "error": seen.err.removeprefix("error: ").rstrip("\n"),
    }


def test_nothing_is_written_where_all_fail(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(os.listdir())
    more = ["--blob", "prob", "-o", "f.npz", "--picture", "p/"]
    assert refused(["broken.png", "nowhere.png", *more], capsys).count("\n") == 3
    assert refused(["broken.png", *more], capsys).count("\n") == 1
    assert sorted(os.listdir()) == before


def test_picture(folder: Path) -> None:
    args = ["features", "cat.png", "--blob", "conv1", "-q"]
    assert run([*args, "--picture", "grid.png"]) == 0
    with Image.open("grid.png") as drawn:
        assert drawn.format == "PNG"
        assert drawn.width > 700
    assert run([*args, "--blob", "prob", "--picture", "grids/", "-o", "f.h5"]) == 0
    assert sorted(os.listdir("grids")) == ["cat_conv1.png", "cat_prob.png"]


def test_outputs_that_are_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["cat.png", "--blob", "prob", "-o", "f.npy", "--picture", "g.png"]
    (folder / "f.json").write_text("mine")
    assert refused(args, capsys) == "error: f.json: exists already; --force replaces it\n"
    assert not Path("f.npy").exists()
    assert run(["features", *args, "--force", "-q"]) == 0
    assert Path("g.png").exists()
    Path("f.npy").unlink()
    Path("f.json").unlink()
    assert refused(args, capsys) == "error: g.png: exists already; --force replaces it\n"
    assert not Path("f.npy").exists()


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["cat.png", "--blob", "prob"], 2),  # nothing to write
        (["cat.png", "-o", "f.npz"], 2),  # no blob
        (["cat.png", "--blob", "prob", "--picture", "grid.bmp"], 2),
        (["cat.png", "dog.png", "--blob", "prob", "--picture", "grid.png"], 2),
        (["cat.png", "--blob", "prob", "-o", "f.txt"], 2),
        (["cat.png", "--blob", "nothing", "-o", "f.npz"], 1),
        (["cat.png", "dog.png", "--blob", "prob", "--picture", "cat.png"], 1),
        (["cat.png", "--blob", "prob", "-o", "cat.npz", "--weights", "nowhere"], 1),
    ],
)
def test_what_is_refused(
    folder: Path, args: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(os.listdir())
    refused(args, capsys, code)
    assert sorted(os.listdir()) == before


def test_standard_input(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer = io.BytesIO(Path("cat.png").read_bytes())

    monkeypatch.setattr("sys.stdin", Stdin)
    assert run(["features", "-", "--blob", "prob", "-o", "f.npz", "-q"]) == 0
    with np.load("f.npz") as file:
        assert "stdin/prob" in file.files


def test_a_mean_of_another_size_is_said_once(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save("mean.npy", np.ones((1, 4, 4), np.float32))
    args = ["cat.png", "dog.png", "--blob", "prob", "-o", "f.npz", "--mean", "mean.npy"]
    assert run(["features", *args]) == 0
    assert capsys.readouterr().err.splitlines()[1:] == [
        "note: the mean is 4x4, the input 88x88: its mean per channel is subtracted (1)",
        "note: a picture of 40x50 is made 88x88, 1.25 times too narrow; --fit crop or pad, "
        "--size image, or --size 88x110 keeps its shape",
    ]
