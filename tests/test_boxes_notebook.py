"""examples/boxes_to_map.ipynb: run from top to bottom by real Caffe; it has no stored outputs."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

NAME = "examples/boxes_to_map.ipynb"


@pytest.fixture(scope="module")
def runner(repo_root: Path) -> dict[str, Any]:
    """What examples/run_notebook.py defines."""
    return runpy.run_path(str(repo_root / "examples/run_notebook.py"))


def test_it_is_stored_without_outputs(runner: dict[str, Any], repo_root: Path) -> None:
    cells = runner["code_cells"](runner["load"](repo_root / NAME))
    assert cells
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)


@pytest.mark.caffe
def test_a_net_learns_a_class_from_boxes(
    runner: dict[str, Any], repo_root: Path, caffe_python: str
) -> None:
    notebook = runner["load"](repo_root / NAME)
    outputs = [
        each for cell in runner["execute"](notebook, repo_root / "examples") for each in cell
    ]
    said = "".join(line for each in outputs for line in each.get("text", ()))
    assert re.search(r"^0 +0 kept +\d+ cells", said, re.MULTILINE)
    assert re.search(r"^cross +11 new +\d+ cells", said, re.MULTILINE)
    right = [float(each) for each in re.findall(r"^step \d+: ([\d.]+)% of", said, re.MULTILINE)]
    # Every cell of a cross was wrong before, as no class was theirs.
    assert len(right) == 4
    assert right[-1] > right[0] + 3
    crosses = re.search(r"^(\d+) windows with a cross", said, re.MULTILINE)
    assert crosses is not None
    assert int(crosses[1]) >= 8  # the sheet has eight
    # The map before, the truth, and the map after.
    assert sum("image/png" in each.get("data", ()) for each in outputs) == 3
