"""What the documents have their readers type is run, page by page, in a folder of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from caffe_schema import caffe_messages
from PIL import Image

import netsurgery as ns

ROOT = Path(__file__).resolve().parent.parent
#: What it has to type is the README's, which is run.
SITE = "docs/index.md"
PAGES = [
    "README.md",
    SITE,
    "docs/tutorial.md",
    "docs/scale.md",
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


def color_net(folder: Path) -> None:
    """A net as README.md's reader has it: of color pictures, with a class that its cat is.

    Of random params: the class is one that comes first by one preset alone.
    """
    shutil.copy(folder / "prototxt" / "small_caffenet.prototxt", folder / "deploy.prototxt")
    pixels = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)
    Image.fromarray(pixels).resize((300, 200)).save(folder / "cat.jpg")
    labels = [f"n{number:08} thing {number}" for number in range(10)]
    labels[next(filter(None, (class_by_bvlc(folder, seed) for seed in range(11, 50))))] = "n1 tabby"
    (folder / "labels.txt").write_text("\n".join(labels))
    with ns.Net(folder / "deploy.prototxt", folder / "model.caffemodel") as net:
        net.params["fc8"][0][...] *= 1e5  # as sure as a trained net
        net.save(folder / "sure.caffemodel")
    (folder / "sure.caffemodel").replace(folder / "model.caffemodel")


def class_by_bvlc(folder: Path, seed: int) -> int:
    """The class of cat.jpg that only preset bvlc puts first, with params of `seed`; 0 for none."""
    files = (str(folder / "deploy.prototxt"), str(folder / "model.caffemodel"))
    ns.init(*files, seed=seed, force=True)
    result = ns.setup(*files, str(folder / "cat.jpg"), 0, folder=folder, engine="embedded")
    (folder / "netsurgery.toml").unlink(missing_ok=True)
    first = {trial.preset: trial.answers[0].first for trial in result.trials}
    own = first.pop("bvlc")
    return 0 if own in first.values() else own


@pytest.mark.parametrize("page", [page for page in PAGES if page != SITE])
def test_what_is_typed_runs(page: str, folder: Path, request: pytest.FixtureRequest) -> None:
    if page.endswith("caffe.md"):
        request.getfixturevalue("caffe_python")
    if page == "README.md":
        color_net(folder)
    place = folder / "here"
    place.write_text(str(folder))
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
            bash(["-c", shell, "bash", str(place)], environment)
    if script:
        whole = "\n".join(script)
        run([sys.executable, "-c", whole], environment, Path(place.read_text().strip()))


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


def test_the_readme_is_short_enough_to_be_read() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 200


def test_the_site_opens_with_the_commands_of_the_readme() -> None:
    readme, site = list(blocks("README.md")), list(blocks(SITE))
    assert site == readme[:2]
    assert "--preprocess" in site[1][1]


def test_links_between_documents_lead_somewhere() -> None:
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if "://" not in target:
                assert (ROOT / page).parent.joinpath(target).exists(), (page, target)
