"""No output replaces a file that its command reads, whatever option names it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from command_tree import every_command
from every_command import make_good
from PIL import Image

import netsurgery as ns
from netsurgery.cli import run

#: What commands that run a net read: settings and labels are the net's, "two.txt" those of conv.
_NET = "--prototxt good.prototxt --weights good.caffemodel --blob conv --mean mean.npy"
_MAP = f"classify-map grey.png {_NET} --labels two.txt --engine embedded"

#: Commands with all that they read, and OUT in the place of what they write; the ending of that.
WAYS = [
    ("convert good.prototxt good.caffemodel --labels three.txt --mean mean.npy --engine embedded "
     "--weights-out o.caffemodel --prototxt-out OUT", ".prototxt"),
    ("convert good.prototxt good.caffemodel --labels three.txt --mean mean.npy --engine embedded "
     "--draw OUT --dry-run", ".svg"),
    ("dense good.prototxt --stride 1 -o OUT", ".prototxt"),
    ("draw good.prototxt good.caffemodel -o OUT", ".svg"),
    ("diff good.prototxt other.prototxt --draw OUT", ".svg"),
    ("init good.prototxt --missing good.caffemodel -o OUT", ".caffemodel"),
    ("inspect good.prototxt good.caffemodel --param conv[0] --npy OUT", ".npy"),
    ("edit good.prototxt good.caffemodel conv[0]=npy:w.npy fold-mean:mean.npy --prototxt-out OUT",
     ".prototxt"),
    ("edit good.prototxt good.caffemodel conv[0]=npy:w.npy save:conv[0]=OUT --dry-run", ".npy"),
    ("edit good.prototxt good.caffemodel fold-mean:mean.npy:padding=approximate -o OUT",
     ".caffemodel"),
    ("export good.prototxt good.caffemodel --with-preprocess -o OUT", ".onnx"),
    ("transplant good.prototxt good.caffemodel other.prototxt other.caffemodel -o OUT",
     ".caffemodel"),
    ("upgrade good.prototxt -o OUT", ".prototxt"),
    ("setup good.prototxt good.caffemodel --image grey.png --class a --labels three.txt "
     "--preprocess scaled -o OUT", "/netsurgery.toml"),
    ("setup three.prototxt three.caffemodel --image grey.png --class 0 "
     "--preprocess bvlc-mean=mean.npy -o OUT", "/netsurgery.toml"),
    (f"evaluate . {_NET} --labels two.txt --annotations good.json --classes 1=0 --boxes "
     "--threshold 1 --engine embedded --coco-results OUT", ".json"),
    (f"features --from list.txt {_NET} --engine embedded -o OUT", ".npz"),
    (f"features grey.png {_NET} --engine embedded --picture OUT", ".png"),
    (f"{_MAP} --npy OUT", ".npy"),
    (f"{_MAP} --html OUT", ".html"),
    (f"{_MAP} --boxes OUT --threshold 1", ".json"),
    (f"classify-map --from list.txt {_NET} --engine embedded --npz OUT", ".npz"),
    (f"classify-map --from list.txt {_NET} --engine embedded --npy OUT --job job", ".npy"),
    ("train report plan --curves OUT", ".svg"),
]  # fmt: skip

#: What a command reads that its words do not say.
_UNSAID = {
    "export": ["mean.npy", "netsurgery.toml"],
    "evaluate": ["grey.png"],
    "train": ["plan/plan.json", "plan/log.jsonl"],
}
#: Commands that fill a folder of their own, and one that tests/test_jobs.py asks the same.
_OTHERS = {"caffe install", "train plan", "train run", "job merge"}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with everything that the commands take."""
    folder, before = tmp_path_factory.mktemp("files"), Path.cwd()
    os.chdir(folder)
    make_good()
    Image.effect_noise((8, 8), 90).save("grey.png")
    for ending in ("prototxt", "caffemodel"):
        shutil.copy(f"good.{ending}", f"other.{ending}")
    text = Path("good.prototxt").read_text()
    Path("three.prototxt").write_text(text.replace("dim: 1 dim: 1", "dim: 1 dim: 3"))
    ns.init("three.prototxt", "three.caffemodel")
    Path("two.txt").write_text("a\nb\n")
    Path("three.txt").write_text("a\nb\nc\n")
    Path("list.txt").write_text("grey.png\n")
    np.save("mean.npy", np.array([3.0]))
    np.save("w.npy", np.zeros((2, 1, 3, 3), np.float32))
    Path("netsurgery.toml").write_text('[preprocess]\nmean = "mean.npy"\n')
    ns.train_plan(
        "good.prototxt", "good.caffemodel", "plan", annotations="good.json", images=".", pictures=0
    )
    Path("plan/log.jsonl").write_text('{"step": 1, "losses": {"fc": 1.0}, "cells": 1}\n')
    try:
        yield folder
    finally:
        os.chdir(before)


def _inputs(words: list[str]) -> list[str]:
    """The files that a command reads, of its words and by `_UNSAID`."""
    parts = [part for word in words for part in word.replace("=", ":").split(":")]
    named = [part for part in parts if os.path.isfile(part)]
    return list(dict.fromkeys([*named, *_UNSAID.get(words[0], ())]))


@pytest.mark.parametrize(("line", "ending"), WAYS)
def test_no_output_replaces_what_is_read(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, ending: str
) -> None:
    """By another name, which the command cannot know but by looking at the file."""
    words = line.split()
    inputs = _inputs(words)
    assert inputs
    out = tmp_path / f"out{ending}"
    out.parent.mkdir(exist_ok=True)
    named = str(out.parent if ending.startswith("/") else out)
    for number, read in enumerate(inputs):
        out.unlink(missing_ok=True)
        (os.link if number % 2 else os.symlink)(files / read, out)
        before = (files / read).read_bytes()
        code = run([*(word.replace("OUT", named) for word in words), "--force"])
        assert code == (2 if words[0] == "diff" else 1), read
        assert f"{out}: is an input too (" in capsys.readouterr().err
        assert (files / read).read_bytes() == before
        assert out.samefile(files / read)


def test_every_command_that_replaces_files_is_asked() -> None:
    """--force is the option of those that write."""
    asked = [line.split() for line, _ in WAYS]
    for name, command in every_command().items():
        if any("--force" in option.opts for option in command.params) and name not in _OTHERS:
            assert any(words[: len(name.split())] == name.split() for words in asked), name
