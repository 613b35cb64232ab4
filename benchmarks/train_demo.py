"""``python -m benchmarks.train_demo``: the demo net fine-tuned over whole sheets of digits.

    python -m benchmarks.train_demo [--tune] [--steps 560] [--sheets 600] [--sets 3] [--judged 60]
                                    [--keep FOLDER] [-- OPTIONS OF train plan]

The digits that the net was trained on are parted: `train plan` and `train run` learn from sheets of
four fifths of them. Sheets and windows of the last fifth are for choosing settings: with --tune
nothing else is looked at, and words after -- are options of `train plan` to try. Without it the net
before and after is judged besides by sheets and windows of digits that neither has seen; more sets
of 60 sheets show how much of the false digits is chance. Needs real Caffe and scikit-learn. CPU
seconds are those of `train run`, with Caffe's process, on one thread.

A digit cell is one whose window's center is at most 5 pixels off a digit's, across and down; it is
right where its largest score is that digit's. A false digit is a cell with no digit's center within
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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import netsurgery as ns

if TYPE_CHECKING:
    from make_sheets import Digits
    from numpy.typing import NDArray

__all__ = ["main"]

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples/06_train_digits"
NET, MODEL = ROOT / "prototxt/digits_deploy.prototxt", ROOT / "models/digits/digits.caffemodel"
BACKGROUND, WINDOW = 10, 32
#: Pixels from a window's center: a digit's is within the first, or there is none within the other.
NEAR, FAR = 5, 10
#: The seed of the sheets that are learnt from.
LEARNT = 1003


@dataclass(frozen=True)
class Part:
    """Digits by which a net is looked at: which, and the seeds and numbers of what shows them.

    seed: of the first set of sheets; the others have the next ones. windows: how many of each
    digit, how many of background, and their seed.
    """

    digits: Digits
    seed: int
    sheets: int
    windows: tuple[int, int, int]


TUNING = Part("tuning", 1004, 120, (8, 2400, 1002))
JUDGED = Part("held-out", 4, 60, (3, 1000, 2))


class Windows(NamedTuple):
    """Pictures of the net's size, N x 1 x H x W, and their classes."""

    shown: NDArray[Any]
    labels: NDArray[Any]


class Judged(NamedTuple):
    """Parts of digit cells and of windows that are right, and false digits a sheet.

    cells: of the first set of sheets. false: of each set.
    """

    cells: float
    windows: float
    false: tuple[float, ...]

    def __str__(self) -> str:
        first, *others = self.false
        more = " ".join(f"{each:.2f}" for each in others)
        return f"{self.cells:11.2%}  {self.windows:7.2%}  {first:20.2f}  {more}".rstrip()


def main(words: list[str] | None = None) -> None:
    """Train, and print the figures."""
    parser = argparse.ArgumentParser(prog="train_demo", description="Fine-tune the demo net.")
    parser.add_argument("--tune", action="store_true", help="look at the tuning digits alone")
    parser.add_argument("--steps", type=int, default=560)
    parser.add_argument("--sheets", type=int, default=600, help="sheets that are learnt from")
    parser.add_argument("--sets", type=int, default=3, help="sets of judged sheets")
    parser.add_argument("--judged", type=int, help="sheets of a set (default: 120, then 60)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where to leave all of it")
    parser.add_argument("options", nargs="*", help="options of train plan, after --")
    asked = parser.parse_args(words)
    parts = {TUNING: 1} if asked.tune else {TUNING: 1, JUDGED: asked.sets}
    with folder(asked.keep) as place:
        draw(place / "learnt", asked.sheets, LEARNT, "rest")
        plan(place, asked.steps, asked.options)
        seconds = run(place / "plan")
        print(f"{asked.steps} steps of 8 crops, {seconds:.0f} CPU seconds")
        trained = place / "plan/deploy.prototxt", place / "plan/model.caffemodel"
        for part, count in parts.items():
            shown = part if asked.judged is None else replace(part, sheets=asked.judged)
            windows, sets = draw_windows(shown), draw_sets(place, shown, count)
            print(f"\n{part.digits:10}digit cells  windows  false digits a sheet  other sets")
            print(f"before    {judge(NET, MODEL, windows, sets)}")
            print(f"after     {judge(*trained, windows, sets)}")


@contextlib.contextmanager
def folder(chosen: Path | None) -> Iterator[Path]:
    if chosen is not None:
        chosen.mkdir(parents=True)
        yield chosen
        return
    with tempfile.TemporaryDirectory(prefix="train-demo-") as name:
        yield Path(name)


def draw(place: Path, count: int, seed: int, digits: str, *more: str) -> None:
    script = EXAMPLE / "make_sheets.py"
    words = [str(place), "--count", str(count), "--seed", str(seed), "--digits", digits, *more]
    subprocess.run([sys.executable, str(script), *words], check=True)


def netsurgery(*words: object) -> None:
    subprocess.run([sys.executable, "-m", "netsurgery", *map(str, words)], cwd=ROOT, check=True)


def plan(place: Path, steps: int, options: list[str]) -> None:
    """Plan the training; a later option comes instead of an earlier one."""
    sheets = place / "learnt"
    netsurgery(
        "train", "plan", NET, MODEL, "--annotations", sheets / "sheets.json", "--images", sheets,
        "-o", place / "plan", "--background-class", BACKGROUND,
        "--near", NEAR / WINDOW, "--far", FAR / WINDOW,
        "--input-size", "128x128", "--rate", "0.008", "--steps", steps,
        "--drop", max(1, steps * 5 // 8), "--hold-out", 0, "--pictures", 0,
        "--background", "0.5", "--scales", "1-1", "--color", 0, "--around", "0.5", "-q",
        "--background-weight", 20, *options,
    )  # fmt: skip


def run(place: Path) -> float:
    """The CPU seconds of `train run` and what it starts."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    netsurgery("train", "run", place, "--threads", 1)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def draw_sets(place: Path, part: Part, count: int) -> list[Path]:
    sets = [place / f"{part.digits}{number}" for number in range(count)]
    for number, sheets in enumerate(sets):
        draw(sheets, part.sheets, part.seed + number, part.digits, "--size", "384x512")
    return sets


def draw_windows(part: Part) -> Windows:
    sys.path.insert(0, str(EXAMPLE))
    from digits import windows
    from make_sheets import digits_of

    each, backgrounds, seed = part.windows
    return Windows(*windows(digits_of(part.digits), each=each, backgrounds=backgrounds, seed=seed))


def judge(net: Path, model: Path, windows: Windows, sets: list[Path]) -> Judged:
    """How good a net is on windows, and on sets of sheets."""
    shown = windows.shown
    with contextlib.ExitStack() as stack:
        opened = stack.enter_context(ns.Net(net, model))
        batches = [shown[at : at + 256] / np.float32(255) for at in range(0, len(shown), 256)]
        answers = [opened.forward(data=batch)["prob"].argmax(axis=1).ravel() for batch in batches]
        if opened.layers[-2].type == "InnerProduct":
            opened = stack.enter_context(ns.convert(opened).net)
        judged = [judge_sheets(opened, sheets) for sheets in sets]
    right = float((np.concatenate(answers) == windows.labels).mean())
    return Judged(judged[0][0], right, tuple(false for _, false in judged))


def judge_sheets(net: ns.Net, sheets: Path) -> tuple[float, float]:
    """The part of digit cells that is right, and false digits a sheet."""
    pictures = json.loads((sheets / "sheets.json").read_text())["pictures"]
    counts = [judge_sheet(net, sheets / each["file"], each["points"]) for each in pictures]
    cells, right, false = (sum(column) for column in zip(*counts, strict=True))
    return right / cells, false / len(counts)


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
    digits, empty = nearest <= NEAR, nearest > FAR
    right = int((best[digits] == label[digits]).sum())
    return int(digits.sum()), right, int((best[empty] != BACKGROUND).sum())


if __name__ == "__main__":
    main()
