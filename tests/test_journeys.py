"""The two halves of BVLC's notebook Net Surgery, by shell and by library, in no more lines.

Lines are those of code: neither blank nor a comment; a line that is continued counts again. The
notebook is examples/net_surgery.ipynb of BVLC/caffe, counted cell by cell; its cells that draw are
held against ours that save what they draw.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import netsurgery as ns

JOURNEYS = Path(__file__).resolve().parent / "journeys"

#: Step -> the lines that the notebook's cells take for it.
NOTEBOOK = {
    "designer_filters": {"imports": 10, "load": 10, "show": 11, "bias": 5, "kernels": 11},
    # Two nets loaded and their shapes printed; the params moved and saved; the map drawn.
    "fully_convolutional": {"differences": 1, "shapes": 7 + 7, "transplant": 3 + 1, "map": 15},
}

#: The notebook's steps of designer filters, in pycaffe, on the same random filters.
PYCAFFE = """
import sys, numpy as np, caffe
net = caffe.Net('filters.prototxt', 'random.caffemodel', caffe.TEST)
image = np.load('image.npy')[None, None]
net.blobs['data'].reshape(*image.shape)
net.blobs['data'].data[...] = image
net.forward()
conv0 = net.blobs['conv'].data[0, 0]
print('pre-surgery output mean {:.2f}'.format(conv0.mean()))
net.params['conv'][1].data[0] = 1.
net.forward()
print('post-surgery output mean {:.2f}'.format(conv0.mean()))
y, x = np.mgrid[-2:3, -2:3]
gaussian = np.exp(-(x**2 + y**2) / 2.)
sobel = np.outer([-1, 0, 1], [1, 2, 1])
net.params['conv'][0].data[0] = gaussian / gaussian.sum()
net.params['conv'][0].data[1:] = 0
net.params['conv'][0].data[1, 0, 1:-1, 1:-1] = sobel
net.params['conv'][0].data[2, 0, 1:-1, 1:-1] = sobel.T
net.forward()
np.save('pycaffe.npy', net.blobs['conv'].data)
"""


def steps(script: Path) -> dict[str, int]:
    """Step -> how many lines of code it takes; each begins with a comment that names it."""
    counts: dict[str, int] = {}
    step = ""
    for line in script.read_text(encoding="utf-8").splitlines():
        if named := re.fullmatch(r"# (\w+)", line):
            step = named[1]
            counts[step] = 0
        elif line.strip() and not line.lstrip().startswith("#"):
            counts[step] += 1
    return counts


@pytest.fixture
def folder(tmp_path: Path, repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with what the journeys begin with."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NETSURGERY_ENGINE", "embedded")
    monkeypatch.setenv("NETSURGERY_CAFFE_PYTHON", str(tmp_path / "no-caffe"))
    for source, name in (
        ("examples/01_designer_filters/filters.prototxt", "filters.prototxt"),
        ("examples/digits_canvas.png", "digits_canvas.png"),
        ("models/digits/digits.caffemodel", "digits.caffemodel"),
        ("models/digits/digits_labels.txt", "digits_labels.txt"),
        ("prototxt/digits_deploy.prototxt", "digits.prototxt"),
    ):
        shutil.copy(repo_root / source, name)
    return tmp_path


def by_library(journey: str) -> dict[str, Any]:
    """The names that the journey in Python leaves."""
    return runpy.run_path(str(JOURNEYS / f"{journey}.py"))


def by_shell(journey: str) -> str:
    """What the journey's commands print."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-e", JOURNEYS / f"{journey}.sh"], env={**os.environ, "PATH": path},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("form", ["py", "sh"])
@pytest.mark.parametrize("journey", NOTEBOOK)
def test_no_step_takes_more_lines_than_in_the_notebook(journey: str, form: str) -> None:
    theirs, ours = NOTEBOOK[journey], steps(JOURNEYS / f"{journey}.{form}")
    assert set(ours) == set(theirs) - ({"imports"} if form == "sh" else set())
    assert {step: count for step, count in ours.items() if count > theirs[step]} == {}
    assert sum(ours.values()) <= 0.6 * sum(theirs.values())


def test_designer_filters_by_library_and_by_shell(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = by_library("designer_filters")
    before, after = re.findall(r"output mean (-?[\d.]+)", capsys.readouterr().out)
    assert float(after) - float(before) == pytest.approx(1)
    designed = names["net"].blobs["conv"].data[0]
    image = np.asarray(Image.open("digits_canvas.png")) / 255
    assert designed[0].mean() == pytest.approx(image[2:-2, 2:-2].mean() + 1, abs=2e-3)
    assert designed[0].std() < image.std()
    for name in ("random.png", "designed.png"):
        with Image.open(name) as picture:
            assert picture.size == (3 * 284, 188)
            assert picture.getextrema() in {(0, 254), (0, 255)}
    params = [np.array(array) for array in names["net"].params["conv"]]
    Path("random.png").unlink()
    Path("designed.png").unlink()

    by_shell("designer_filters")
    assert Path("random.png").exists()
    assert Path("designed.png").exists()
    with ns.Net("filters.prototxt", "designed.caffemodel") as net:
        for ours, shells in zip(params, net.params["conv"], strict=True):
            np.testing.assert_allclose(ours, shells, atol=1e-7)
    blobs = {name: np.load(f"{name}.npz") for name in ("random", "raised", "designed")}
    maps = {name: loaded["digits_canvas/conv"] for name, loaded in blobs.items()}
    raised = (maps["raised"] - maps["random"]).mean(axis=(1, 2))
    np.testing.assert_allclose(raised, [1, 0, 0], atol=1e-5)
    np.testing.assert_allclose(maps["designed"], designed, atol=1e-5)


@pytest.mark.caffe
def test_designer_filters_are_pycaffes_own(
    folder: Path, run_in_caffe: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    names = by_library("designer_filters")
    np.save("image.npy", names["image"])
    ns.init("filters.prototxt", "random.caffemodel", seed=1)
    said = run_in_caffe(f"import os; os.chdir({str(folder)!r})\n{PYCAFFE}")
    assert capsys.readouterr().out.endswith(said)
    ours = names["net"].blobs["conv"].data
    np.testing.assert_allclose(ours, np.load("pycaffe.npy"), atol=1e-4)


def test_fully_convolutional_by_library_and_by_shell(
    folder: Path, repo_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = by_library("fully_convolutional")
    printed = capsys.readouterr().out
    assert "ip1 ((96, 128), (96,)) -> ip1-conv ((96, 32, 2, 2), (96,))" in printed
    class_map = names["class_map"]
    assert str(class_map.argmax()) in printed
    truth = json.loads((repo_root / "examples/digits_canvas.json").read_text(encoding="utf-8"))
    for digit in truth["digits"]:
        assert class_map.argmax()[tuple(digit["cell"])] == digit["digit"]
    with Image.open("sevens.png") as picture:
        size = picture.size
    shutil.rmtree("converted")

    printed = by_shell("fully_convolutional")
    for words in ("-  inner_product_param {", "+  convolution_param {", "96x32x2x2, 96"):
        assert words in printed
    np.testing.assert_allclose(np.load("converted/map.npy"), class_map.values, atol=1e-6)
    with Image.open("converted/sevens.png") as picture:
        assert picture.size == size
    rows = re.findall(r"^(?: ?\d+ )+ ?\d+$", printed, re.MULTILINE)
    classes = [[int(number) for number in row.split()] for row in rows]
    assert classes == class_map.argmax().tolist()
