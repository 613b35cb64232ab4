"""What the documents have their readers type is run, page by page, in a folder of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from caffe_schema import caffe_messages
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    "docs/tutorial.md",
    *sorted(f"docs/how-to/{p.name}" for p in (ROOT / "docs" / "how-to").glob("*.md")),
]
BLOCK = re.compile(r"^```(?P<language>sh|python)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)

#: Blocks that begin so install something, or want the network: other tests run what they do.
INSTALLS = ("pip ", "pipx ", "uvx ", "docker ", "git clone ", "make ", "netsurgery caffe install")

OLD_NET = """
name: "old" input: "data" input_dim: 1 input_dim: 1 input_dim: 8 input_dim: 8
layers { name: "ip" type: INNER_PRODUCT bottom: "data" top: "ip"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
"""
TRAINING_NET = """
name: "train_val"
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 2 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


def blocks(page: str) -> Iterator[tuple[str, str]]:
    """(language, text) of each block of a page."""
    for match in BLOCK.finditer((ROOT / page).read_text(encoding="utf-8")):
        yield match["language"], match["text"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the pages name: the repository's own files, and a reader's files of the usual names."""
    for name in ("prototxt", "models", "examples"):
        shutil.copytree(ROOT / name, tmp_path / name)
    digits = tmp_path / "models" / "digits"
    shutil.copy(tmp_path / "prototxt" / "digits_deploy.prototxt", tmp_path / "deploy.prototxt")
    shutil.copy(digits / "digits.caffemodel", tmp_path / "model.caffemodel")
    shutil.copy(digits / "digits_labels.txt", tmp_path / "labels.txt")
    for name in ("cat.jpg", "dog.jpg"):
        Image.open(tmp_path / "examples" / "digits_canvas.png").save(tmp_path / name)
    (tmp_path / "old.prototxt").write_text(OLD_NET)
    (tmp_path / "old.caffemodel").write_bytes(old_model())
    (tmp_path / "train_val.prototxt").write_text(TRAINING_NET)
    return tmp_path


def old_model() -> bytes:
    """Weights for the old net, as Caffe wrote them in 2014."""
    message = caffe_messages().NetParameter()
    layer = message.layers.add(name="ip", type=14)  # INNER_PRODUCT
    for shape in ((1, 1, 2, 64), (1, 1, 1, 2)):
        blob = layer.blobs.add(
            **dict(zip(("num", "channels", "height", "width"), shape, strict=True))
        )
        blob.data.extend([0.5] * shape[-1] * shape[-2])
    return bytes(message.SerializeToString())


@pytest.mark.parametrize("page", PAGES)
def test_what_is_typed_runs(page: str, folder: Path, request: pytest.FixtureRequest) -> None:
    if page.endswith("caffe.md"):
        request.getfixturevalue("caffe_python")
    here = folder / "here"
    here.write_text(str(folder))
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "NETSURGERY_ENGINE": "embedded",
    }
    script = []
    for language, text in blocks(page):
        if language == "python":
            script.append(text)
        elif not text.startswith(INSTALLS):
            shell = f'set -euo pipefail; cd "$(cat "$1")"\n{text}\npwd > "$1"'
            bash(["-c", shell, "bash", str(here)], environment)
    if script:
        whole = "\n".join(script)
        run([sys.executable, "-c", whole], environment, Path(here.read_text().strip()))


def bash(words: list[str], environment: dict[str, str]) -> None:
    run(["bash", *words], environment, None)


def run(command: list[str], environment: dict[str, str], folder: Path | None) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
