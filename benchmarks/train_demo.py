"""``python -m benchmarks.train_demo``: the demo net fine-tuned over whole sheets of digits.

    python -m benchmarks.train_demo [--steps 560] [--sheets 150] [--keep FOLDER]

Sheets are drawn from the digits that the net was trained on, `train plan` and `train run` learn
from them, and the net before and after is judged by 60 sheets, and by the windows of
examples/06_train_digits/measure.py, all of digits that neither has seen. Needs real Caffe and
scikit-learn. CPU seconds are those of `train run`, with Caffe's process, on one thread.

A digit cell is one whose window's centre is at most 5 pixels off a digit's, across and down; it is
right where its largest score is that digit's. A false digit is a cell with no digit's centre within
10 pixels that is given a digit.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import netsurgery as ns

__all__ = ["main"]

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples/06_train_digits"
NET, MODEL = ROOT / "prototxt/digits_deploy.prototxt", ROOT / "models/digits/digits.caffemodel"
JUDGED, BACKGROUND, WINDOW = 60, 10, 32
NEAR, FAR = 5 / WINDOW, 10 / WINDOW


@dataclass(frozen=True)
class Judged:
    """Parts of digit cells and of windows that are right, and false digits a sheet."""

    cells: float
    windows: float
    false: float

    def __str__(self) -> str:
        return f"{self.cells:11.2%}  {self.windows:7.2%}  {self.false:20.2f}"


def main(words: list[str] | None = None) -> None:
    """Train, and print the figures."""
    parser = argparse.ArgumentParser(prog="train_demo", description="Fine-tune the demo net.")
    parser.add_argument("--steps", type=int, default=560)
    parser.add_argument("--sheets", type=int, default=150)
    parser.add_argument("--judged", type=int, default=JUDGED)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where to leave all of it")
    asked = parser.parse_args(words)
    with folder(asked.keep) as place:
        draw(place / "learnt", asked.sheets, 3)
        draw(place / "judged", asked.judged, 4, "--held-out", "--size", "384x512")
        before = judge(NET, MODEL, place / "judged")
        plan(place, asked.steps)
        seconds = run(place / "plan")
        after = judge(
            place / "plan/deploy.prototxt", place / "plan/model.caffemodel", place / "judged"
        )
    print(f"{'':8}digit cells  windows  false digits a sheet")
    print(f"before  {before}")
    print(f"after   {after}")
    print(f"{asked.steps} steps of 8 crops, {seconds:.0f} CPU seconds")


@contextlib.contextmanager
def folder(chosen: Path | None) -> Iterator[Path]:
    if chosen is not None:
        chosen.mkdir(parents=True)
        yield chosen
        return
    with tempfile.TemporaryDirectory(prefix="train-demo-") as name:
        yield Path(name)


def draw(place: Path, count: int, seed: int, *more: str) -> None:
    script = EXAMPLE / "make_sheets.py"
    words = [str(place), "--count", str(count), "--seed", str(seed), *more]
    subprocess.run([sys.executable, str(script), *words], check=True)


def netsurgery(*words: object) -> None:
    subprocess.run([sys.executable, "-m", "netsurgery", *map(str, words)], cwd=ROOT, check=True)


def plan(place: Path, steps: int) -> None:
    sheets = place / "learnt"
    netsurgery(
        "train", "plan", NET, MODEL, "--annotations", sheets / "sheets.json", "--images", sheets,
        "-o", place / "plan", "--background-class", BACKGROUND, "--near", NEAR, "--far", FAR,
        "--input-size", "128x128", "--rate", "0.008", "--steps", steps,
        "--drop", max(1, steps * 5 // 8), "--hold-out", "0.02", "--pictures", 0,
        "--background", "0.5", "--scales", "1-1", "--color", 0, "--around", "0.5", "-q",
    )  # fmt: skip


def run(place: Path) -> float:
    """The CPU seconds of `train run` and what it starts."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    netsurgery("train", "run", place, "--threads", 1)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def judge(net: Path, model: Path, sheets: Path) -> Judged:
    """How good a net is on sheets and on windows."""
    sys.path.insert(0, str(EXAMPLE))
    from measure import held_out_windows

    shown, labels = held_out_windows()
    with contextlib.ExitStack() as stack:
        opened = stack.enter_context(ns.Net(net, model))
        parts = [
            shown[start : start + 256] / np.float32(255) for start in range(0, len(shown), 256)
        ]
        answers = [opened.forward(data=part)["prob"].argmax(axis=1).ravel() for part in parts]
        if opened.layers[-2].type == "InnerProduct":
            opened = stack.enter_context(ns.convert(opened).net)
        pictures = json.loads((sheets / "sheets.json").read_text())["pictures"]
        counts = [judge_sheet(opened, sheets / each["file"], each["points"]) for each in pictures]
    cells, right, false = (sum(column) for column in zip(*counts, strict=True))
    windows = float((np.concatenate(answers) == labels).mean())
    return Judged(right / cells, windows, false / len(counts))


def judge_sheet(net: ns.Net, path: Path, points: list[dict[str, Any]]) -> tuple[int, int, int]:
    """Digit cells, those that are right, and false digits."""
    pixels = ns.read_picture(path).pixels[..., 0].astype(np.float32) / 255
    best = net.forward(data=pixels[np.newaxis, np.newaxis])["prob"][0].argmax(axis=0)
    rows, columns = np.indices(best.shape)
    nearest = np.full(best.shape, np.inf)
    label = np.full(best.shape, BACKGROUND)
    for point in points:
        x, y = point["at"]
        off = np.maximum(abs(8 * columns + 16 - x), abs(8 * rows + 16 - y))
        label[off < nearest] = int(point["class"])
        nearest = np.minimum(nearest, off)
    digits, empty = nearest <= NEAR * WINDOW, nearest > FAR * WINDOW
    right = int((best[digits] == label[digits]).sum())
    return int(digits.sum()), right, int((best[empty] != BACKGROUND).sum())


if __name__ == "__main__":
    main()
