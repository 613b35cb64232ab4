"""The examples: each README's commands run and print what it says, with public names only."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import netsurgery as ns

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
NUMBERED = sorted(path.name for path in EXAMPLES.iterdir() if re.match(r"\d\d_", path.name))
SCRIPTS = sorted(str(path.relative_to(EXAMPLES)) for path in EXAMPLES.rglob("*.py"))
NOTEBOOKS = sorted(path.name for path in EXAMPLES.glob("*.ipynb"))
NEEDS_CAFFE = {"06_train_digits"}


def blocks(example: str, language: str) -> list[str]:
    """The fenced blocks of that language in an example's README."""
    text = (EXAMPLES / example / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def test_they_are_numbered_and_listed_in_order() -> None:
    assert [int(name[:2]) for name in NUMBERED] == list(range(1, 8))
    index = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"\]\((\d\d_\w+)/README\.md\)", index) == NUMBERED


@pytest.mark.parametrize("example", NUMBERED)
def test_a_readme_runs_and_prints_what_it_says(
    example: str, tmp_path: Path, repo_root: Path, request: pytest.FixtureRequest
) -> None:
    for name in ("examples", "models", "prototxt"):
        (tmp_path / name).symlink_to(repo_root / name)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "NETSURGERY_ENGINE": "embedded"}
    environment["NETSURGERY_CAFFE_PYTHON"] = (
        request.getfixturevalue("caffe_python")
        if example in NEEDS_CAFFE
        else str(tmp_path / "no-caffe")
    )
    done = subprocess.run(
        ["bash", "-e", "-c", "".join(blocks(example, "sh"))],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for text in blocks(example, "text"):
        assert text in done.stdout
    assert blocks(example, "text") or example in NEEDS_CAFFE


def sources() -> dict[str, str]:
    """Every script, and the code of the notebooks, which are for users to copy."""
    texts = {name: (EXAMPLES / name).read_text(encoding="utf-8") for name in SCRIPTS + NOTEBOOKS}
    for name in NOTEBOOKS:
        cells = json.loads(texts[name])["cells"]
        texts[name] = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    return texts


@pytest.mark.parametrize("name", [*SCRIPTS, *NOTEBOOKS])
def test_public_names_are_enough(name: str) -> None:
    tree = ast.parse(sources()[name])
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert not str(node.module).startswith("netsurgery"), node.lineno
        if isinstance(node, ast.Import):
            ours = [each for each in node.names if each.name.startswith("netsurgery")]
            assert all((each.name, each.asname) == ("netsurgery", "ns") for each in ours)
        if isinstance(node, ast.Attribute):
            dunder = node.attr.startswith("__")
            assert dunder or not node.attr.startswith("_") or node.attr == "_repr_png_", node.attr
            if isinstance(node.value, ast.Name) and node.value.id == "ns":
                assert node.attr in ns.__all__


def test_the_examples_use_the_library() -> None:
    """The test above says nothing of scripts that call nothing."""
    users = [name for name, text in sources().items() if "import netsurgery as ns" in text]
    assert len(users) >= 7
