"""The bundled demo: its net, its weights' size, its labels, and a picture that its script makes."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from netsurgery.net.net import NetDefinition
from netsurgery.net.shapes import infer


def load_example(repo_root: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A script of examples/06_train_digits as a module; it imports its neighbours by name."""
    folder = repo_root / "examples/06_train_digits"
    monkeypatch.syspath_prepend(str(folder))
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def digits(repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load_example(repo_root, "digits", monkeypatch)


@pytest.fixture
def sheets(repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load_example(repo_root, "make_sheets", monkeypatch)


@pytest.fixture
def truth(repo_root: Path) -> dict[str, Any]:
    text = (repo_root / "examples/digits_canvas.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def test_weights_are_small(repo_root: Path) -> None:
    assert 0 < (repo_root / "models/digits/digits.caffemodel").stat().st_size < 300_000


def test_labels_name_every_class(repo_root: Path) -> None:
    labels = (repo_root / "models/digits/digits_labels.txt").read_text(encoding="utf-8")
    shapes = infer(NetDefinition.read(repo_root / "prototxt/digits_deploy.prototxt"))
    assert labels.splitlines() == [*map(str, range(10)), "background"]
    assert shapes.blobs["prob"] == (1, len(labels.splitlines()))


def test_training_and_deploy_nets_agree(repo_root: Path) -> None:
    trained = infer(NetDefinition.read(repo_root / "examples/06_train_digits/train_val.prototxt"))
    deployed = infer(NetDefinition.read(repo_root / "prototxt/digits_deploy.prototxt"))
    assert trained.params == deployed.params


def test_no_digit_is_both_learned_and_held_out(digits: ModuleType) -> None:
    images, classes = digits.digit_images()
    held_out = digits.held_out()
    assert len(images) == 1797
    assert 0.19 < len(held_out) / len(images) < 0.21
    assert {int(classes[i]) for i in held_out} == set(range(10))


def test_windows_are_what_the_net_takes(digits: ModuleType) -> None:
    shown, labels = digits.windows([3, 5], each=2, backgrounds=3, seed=7)
    again, _ = digits.windows([3, 5], each=2, backgrounds=3, seed=7)
    _, classes = digits.digit_images()
    assert shown.shape == (7, 1, 32, 32)
    assert shown.dtype == np.uint8
    assert list(labels) == [classes[3]] * 2 + [classes[5]] * 2 + [10] * 3
    assert (shown == again).all()


def test_a_drawn_digit_stays_in_its_box(digits: ModuleType) -> None:
    images, _ = digits.digit_images()
    sheet = np.ones((40, 40))
    digits.draw(sheet, digits.tile(images[8], 24, 7.0), 10, 6, 0.9)
    inked = np.argwhere(sheet < 1)
    assert (inked.min(axis=0) >= (10, 6)).all()
    assert (inked.max(axis=0) < (34, 30)).all()


def test_a_digit_off_the_sheet_leaves_it_alone(digits: ModuleType) -> None:
    sheet = np.ones((32, 32))
    digits.draw(sheet, np.ones((24, 24)), -24, 40, 0.9)
    assert (sheet == 1).all()


def test_canvas_shows_held_out_digits_in_the_middle_of_windows(
    digits: ModuleType, truth: dict[str, Any]
) -> None:
    _, classes = digits.digit_images()
    assert sorted(d["digit"] for d in truth["digits"]) == list(range(10))
    for digit in truth["digits"]:
        x0, y0, x1, y1 = digit["box"]
        row, column = digit["cell"]
        assert digit["index"] in digits.held_out()
        assert classes[digit["index"]] == digit["digit"]
        assert ((y0 + y1) / 2, (x0 + x1) / 2) == (row * 8 + 16, column * 8 + 16)


def test_canvas_is_what_its_script_draws(
    repo_root: Path, digits: ModuleType, truth: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    picture, drawn = load_example(repo_root, "make_canvas", monkeypatch).canvas()
    with Image.open(repo_root / "examples/digits_canvas.png") as stored:
        assert stored.mode == "L"
        # Pillow's versions may round a resized pixel differently.
        assert np.abs(np.asarray(stored, dtype=int) - picture.astype(int)).max() <= 2
    assert drawn == truth


def test_tuning_digits_are_neither_learnt_nor_judged(
    digits: ModuleType, sheets: ModuleType
) -> None:
    tuning, rest = set(sheets.digits_of("tuning")), set(sheets.digits_of("rest"))
    assert not tuning & (rest | digits.held_out())
    assert tuning | rest == set(sheets.digits_of("trained"))
    _, classes = digits.digit_images()
    assert set(classes[sorted(tuning)].tolist()) == set(range(10))


@pytest.mark.parametrize("which", ["trained", "held-out", "tuning", "rest"])
def test_sheets_show_only_the_digits_asked_for(
    digits: ModuleType,
    sheets: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    which: str,
) -> None:
    drawn = []

    def tile(image: Any, *how: Any) -> Any:
        drawn.append(image.tobytes())
        return digits.tile(image, *how)

    monkeypatch.setattr(sheets, "tile", tile)
    sheets.make_sheets(tmp_path, 2, (96, 96), seed=1, digits=which)
    images, _ = digits.digit_images()
    pictures = json.loads((tmp_path / "sheets.json").read_text())["pictures"]
    assert drawn
    assert len(drawn) == sum(len(each["points"]) for each in pictures)
    assert set(drawn) <= {images[index].tobytes() for index in sheets.digits_of(which)}


def test_a_speck_is_all_that_it_is_on_the_whole_sheet(digits: ModuleType) -> None:
    down, across = np.mgrid[0:48, 0:64].astype(np.float64)
    for seed in range(20):
        near, whole = np.full((48, 64), 0.9), np.full((48, 64), 0.9)
        digits._speck(near, down, across, np.random.default_rng(seed))
        rng = np.random.default_rng(seed)
        y, x = rng.uniform(0, 48), rng.uniform(0, 64)
        squared = (down - y) ** 2 + (across - x) ** 2
        whole -= rng.uniform(0.2, 0.7) * np.exp(-squared / rng.uniform(0.4, 2.0))
        np.testing.assert_array_equal(near, whole)
