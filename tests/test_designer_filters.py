"""examples/01_designer_filters: its README's commands, and what the notebook found."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from lacking import lacking
from PIL import Image

from netsurgery.engines.debian import caffe_documentation
from netsurgery.engines.pycaffe import PycaffeEngine

pytestmark = pytest.mark.caffe


@pytest.fixture(scope="module")
def shown(
    repo_root: Path, caffe_python: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """The folder that the README's commands made, and what the last of them printed."""
    if caffe_documentation() is None:
        lacking("no caffe-doc; netsurgery caffe install brings it")
    folder = tmp_path_factory.mktemp("designer")
    (folder / "examples").symlink_to(repo_root / "examples")
    readme = (repo_root / "examples/01_designer_filters/README.md").read_text()
    (script,) = re.findall(r"^```sh\n(.*?)^```", readme, re.DOTALL | re.MULTILINE)
    env = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "NETSURGERY_CAFFE_PYTHON": caffe_python,
    }
    done = subprocess.run(
        ["bash", "-e", "-c", script], cwd=folder, env=env, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "filters", done.stdout


def test_the_readme_prints_what_its_commands_print(
    shown: tuple[Path, str], repo_root: Path
) -> None:
    readme = (repo_root / "examples/01_designer_filters/README.md").read_text()
    (_, printed) = re.findall(r"^```\w*\n(.*?)^```", readme, re.DOTALL | re.MULTILINE)
    assert printed in shown[1]


def test_a_bias_of_one_raises_the_mean_by_one_and_nothing_else(
    shown: tuple[Path, str], caffe_engine: PycaffeEngine
) -> None:
    folder, _ = shown
    with Image.open(folder / "cat_gray.jpg") as image:
        grey = np.asarray(image.convert("L"), dtype=np.float32) / np.float32(255)
    assert grey.shape == (360, 480)
    maps = {}
    for name in ("random", "raised", "designed"):
        with caffe_engine.load(folder / "conv.prototxt", folder / f"{name}.caffemodel") as net:
            net.reshape({"data": (1, 1, 360, 480)})
            maps[name] = net.forward({"data": grey[None, None]}, ["conv"])["conv"][0]
    assert {found.shape for found in maps.values()} == {(3, 356, 476)}
    raised = (maps["raised"] - maps["random"]).mean(axis=(1, 2))
    assert raised == pytest.approx([1, 0, 0], abs=1e-5)
    # The blur keeps the picture's mean; Sobel's halves are differences of it.
    inner = grey[2:-2, 2:-2]
    blur, down, across = maps["designed"]
    assert blur.mean() == pytest.approx(inner.mean(), abs=2e-3)
    assert blur.std() < inner.std()
    smooth = np.array([1, 2, 1], dtype=np.float32)
    rows = grey[3:-1] - grey[1:-3]
    wanted = sum(weight * rows[:, i + 1 : i + 477] for i, weight in enumerate(smooth))
    np.testing.assert_allclose(down, wanted, atol=1e-5)
    columns = grey[:, 3:-1] - grey[:, 1:-3]
    wanted = sum(weight * columns[i + 1 : i + 357] for i, weight in enumerate(smooth))
    np.testing.assert_allclose(across, wanted, atol=1e-5)


def test_the_picture_has_a_row_for_each(shown: tuple[Path, str]) -> None:
    with Image.open(shown[0] / "filters.png") as picture:
        assert picture.size == (3 * (476 + 8), 3 * (356 + 8))
        assert picture.getextrema() == (0, 255)
