"""The bundled demo in real Caffe: right on held-out windows, and its map finds the digits."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.engines.pycaffe import PycaffeEngine

pytestmark = [pytest.mark.caffe, pytest.mark.usefixtures("option_names")]

BACKGROUND = 10


@pytest.fixture
def measure(repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script that measures the demo net, with its neighbour, the maker of windows."""
    folder = repo_root / "examples/06_train_digits"
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "digits", raising=False)
    spec = importlib.util.spec_from_file_location("measure", folder / "measure.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def truth(repo_root: Path) -> dict[str, Any]:
    text = (repo_root / "examples/digits_canvas.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


@pytest.fixture
def canvas_map(
    repo_root: Path, caffe_python: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> NDArray[np.float32]:
    """What the two commands of the demo make of its picture: 11 x rows x columns."""
    monkeypatch.chdir(tmp_path)
    caffe = ["--engine", "caffe", "--caffe-python", caffe_python]
    net = repo_root / "prototxt/digits_deploy.prototxt"
    weights = repo_root / "models/digits/digits.caffemodel"
    labels = repo_root / "models/digits/digits_labels.txt"
    size = ["--input-size", "192x288"]
    assert run(["convert", str(net), str(weights), *size, "--labels", str(labels), *caffe]) == 0
    canvas = repo_root / "examples/digits_canvas.png"
    assert run(["classify-map", str(canvas), "--npy", "map.npy", *caffe]) == 0
    class_map: NDArray[np.float32] = np.load("map.npy")
    return class_map


def test_the_old_weights_in_the_new_net_are_refused(
    repo_root: Path, caffe_python: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    net = str(repo_root / "prototxt/digits_deploy.prototxt")
    weights = str(repo_root / "models/digits/digits.caffemodel")
    assert run(["convert", net, weights, "-q", "--engine", "embedded"]) == 0
    caffe = ["--engine", "caffe", "--caffe-python", caffe_python]
    capsys.readouterr()
    canvas = str(repo_root / "examples/digits_canvas.png")
    lacking = (
        rf"error: {re.escape(weights)}: no params for layers? 'ip1-conv'.* of \S+; netsurgery init "
    )
    new = "digits_deploy_full_conv.prototxt"
    for command in (
        ["classify-map", canvas, "--weights", weights, *caffe],
        ["features", canvas, "--weights", weights, "--blob", "ip1-conv", "-o", "f.npz", *caffe],
        ["verify", net, weights, new, weights, *caffe],
    ):
        # verify keeps 1 for nets that differ.
        assert run(command) == (2 if command[0] == "verify" else 1)
        out, err = capsys.readouterr()
        assert (out, bool(re.match(lacking, err))) == ("", True), err


def background_windows(truth: dict[str, Any], rows: int, columns: int) -> NDArray[np.bool_]:
    """Which cells' windows touch no digit's box."""
    side, stride = truth["window"], truth["stride"]
    top, left = np.mgrid[0 : rows * stride : stride, 0 : columns * stride : stride]
    free = np.ones((rows, columns), dtype=bool)
    for digit in truth["digits"]:
        x0, y0, x1, y1 = digit["box"]
        free &= (left >= x1) | (left + side <= x0) | (top >= y1) | (top + side <= y0)
    return free


def test_right_on_held_out_windows(repo_root: Path, caffe_python: str, measure: ModuleType) -> None:
    shown, labels = measure.held_out_windows()
    weights = repo_root / "models/digits/digits.caffemodel"
    caffe = ns.EngineOptions("caffe", caffe_python=caffe_python)
    with ns.Net(repo_root / "prototxt/digits_deploy.prototxt", weights, engine=caffe) as net:
        answers = measure.answers(net, shown)
    right = answers == labels
    assert right.mean() >= 0.97
    # The thousand background windows must not hide bad digits, nor the other way round.
    assert right[labels != BACKGROUND].mean() >= 0.97
    assert right[labels == BACKGROUND].mean() >= 0.97


def test_the_map_finds_every_digit(canvas_map: NDArray[np.float32], truth: dict[str, Any]) -> None:
    classes = canvas_map.argmax(axis=0)
    expected = {tuple(digit["cell"]): digit["digit"] for digit in truth["digits"]}
    assert {cell: int(classes[cell]) for cell in expected} == expected


def test_the_map_is_quiet_where_no_digit_is(
    canvas_map: NDArray[np.float32], truth: dict[str, Any]
) -> None:
    classes = canvas_map.argmax(axis=0)
    free = background_windows(truth, *classes.shape)
    assert classes.shape == (21, 33)
    assert free.sum() > 200
    assert (classes[free] == BACKGROUND).mean() >= 0.9


def test_a_cell_is_the_classifiers_answer_on_its_window(
    repo_root: Path,
    caffe_engine: PycaffeEngine,
    canvas_map: NDArray[np.float32],
    truth: dict[str, Any],
) -> None:
    side, stride = truth["window"], truth["stride"]
    with Image.open(repo_root / "examples/digits_canvas.png") as picture:
        grey = np.asarray(picture, dtype=np.float32) / np.float32(255)
    crops = np.lib.stride_tricks.sliding_window_view(grey, (side, side))[::stride, ::stride]
    shown = np.ascontiguousarray(crops.reshape(-1, 1, side, side))
    weights = repo_root / "models/digits/digits.caffemodel"
    with caffe_engine.load(repo_root / "prototxt/digits_deploy.prototxt", weights) as net:
        net.reshape({"data": shown.shape})
        prob = net.forward({"data": shown}, ["prob"])["prob"]
    assert np.abs(prob.T.reshape(canvas_map.shape) - canvas_map).max() <= 1e-5
    assert len(canvas_map) == BACKGROUND + 1
