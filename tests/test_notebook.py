"""examples/net_surgery.ipynb: run from top to bottom; what is stored in it is what comes out."""

from __future__ import annotations

import base64
import importlib.util
import io
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

from netsurgery.engines.debian import caffe_documentation

NAME = "examples/net_surgery.ipynb"


@pytest.fixture(scope="module")
def runner(repo_root: Path) -> ModuleType:
    """examples/run_notebook.py."""
    path = repo_root / "examples/run_notebook.py"
    spec = importlib.util.spec_from_file_location("run_notebook", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def cells(runner: ModuleType, repo_root: Path) -> list[dict[str, Any]]:
    """The cells that run, as they are stored."""
    code_cells: list[dict[str, Any]] = runner.code_cells(runner.load(repo_root / NAME))
    return code_cells


@pytest.fixture(scope="module")
def outputs_of_cells(runner: ModuleType, repo_root: Path) -> list[list[dict[str, Any]]]:
    """The outputs of every cell, from a run of our own."""
    return list(runner.execute(runner.load(repo_root / NAME), repo_root / "examples"))


def on_bvlcs_files(cell: dict[str, Any]) -> bool:
    return "caffe-doc" in cell["metadata"].get("tags", ())


def printed(outputs: list[dict[str, Any]]) -> str:
    return "".join(line for output in outputs for line in output.get("text", ()))


def pictures(outputs: list[dict[str, Any]]) -> list[tuple[int, int]]:
    """The sizes of the pictures shown; their pixels depend on Pillow's version."""
    encoded = [
        output["data"]["image/png"] for output in outputs if "image/png" in output.get("data", ())
    ]
    sizes = []
    for text in encoded:
        with Image.open(io.BytesIO(base64.b64decode(text))) as image:
            sizes.append(image.size)
    return sizes


def test_what_cells_print_is_what_is_stored(
    cells: list[dict[str, Any]], outputs_of_cells: list[list[dict[str, Any]]]
) -> None:
    assert len(outputs_of_cells) == len(cells)
    for cell, outputs in zip(cells, outputs_of_cells, strict=True):
        if on_bvlcs_files(cell) and caffe_documentation() is None:
            assert outputs == []
        else:
            assert printed(outputs) == printed(cell["outputs"])
            assert pictures(outputs) == pictures(cell["outputs"])


def test_cells_that_need_bvlcs_files_and_no_others_ask_for_them(
    cells: list[dict[str, Any]],
) -> None:
    asking = [cell["source"][0] == "if bvlc:\n" for cell in cells]
    assert asking == [on_bvlcs_files(cell) for cell in cells]
    assert sum(asking) == 5


def test_its_shapes_are_those_of_bvlcs_notebook(cells: list[dict[str, Any]]) -> None:
    """As that one printed them, on the CaffeNet of 2012."""
    text = "\n".join(printed(cell["outputs"]) for cell in cells)
    for line in (
        "blobs ['data', 'conv'] params ['conv']",
        "fc6 weights (4096, 9216) biases (4096,)",
        "fc7 weights (4096, 4096) biases (4096,)",
        "fc8 weights (1000, 4096) biases (1000,)",
        "fc6 (4096, 9216) -> fc6-conv (4096, 256, 6, 6), biases (4096,)",
        "fc7 (4096, 4096) -> fc7-conv (4096, 4096, 1, 1), biases (4096,)",
        "fc8 (1000, 4096) -> fc8-conv (1000, 4096, 1, 1), biases (1000,)",
        "CaffeNetConv (1, 3, 451, 451) -> (1, 1000, 8, 8)",
        "prob (1, 1000, 8, 8) each cell sums to 1: True",
    ):
        assert line in text.splitlines() or f"\n{line}" in f"\n{text}"


def test_it_is_light_and_in_order(cells: list[dict[str, Any]], repo_root: Path) -> None:
    assert (repo_root / NAME).stat().st_size < 1 << 20
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert sum(len(pictures(cell["outputs"])) for cell in cells) == 2


def test_a_cell_that_fails_stops_the_run(runner: ModuleType, tmp_path: Path) -> None:
    sources = ["x = 2\nprint(x)\nx * 21", "raise ValueError(x)", "print('on')"]
    cells = [{"cell_type": "code", "source": [source], "metadata": {}} for source in sources]
    before = Path.cwd()
    run = runner.execute({"cells": cells}, tmp_path)
    assert next(run) == [
        {"name": "stdout", "output_type": "stream", "text": ["2\n"]},
        {
            "data": {"text/plain": ["42"]},
            "execution_count": 1,
            "metadata": {},
            "output_type": "execute_result",
        },
    ]
    with pytest.raises(ValueError, match="2"):
        next(run)
    assert Path.cwd() == before
