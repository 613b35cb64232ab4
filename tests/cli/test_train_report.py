"""`train report`: a run's log, read back as curves, confusions and the worst pictures."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.drawing.colors import PAPER
from netsurgery.maps.palette import contrast
from netsurgery.training import curves
from netsurgery.training.evaluation import Evaluation
from netsurgery.training.run_log import LOG, LoggedStep, RunLog

STEPS = 1000


@pytest.fixture
def planned(bundled_nets: Path) -> Path:
    """The current folder, with a plan for two classes that was never run."""
    box = {"class": "7", "box": [221, 13, 243, 35]}
    truth = {"classes": ["7"], "pictures": [{"file": "digits_canvas.png", "boxes": [box]}]}
    Path("truth.json").write_text(json.dumps(truth))
    (bundled_nets / "examples").mkdir()
    canvas = Path(__file__).parents[2] / "examples/digits_canvas.png"
    (bundled_nets / "examples/digits_canvas.png").write_bytes(canvas.read_bytes())
    ns.train_plan(
        "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel", "plan",
        annotations="truth.json", images="examples", pictures=0,
        solver=ns.SolverSettings(steps=STEPS),
    )  # fmt: skip
    return bundled_nets


@pytest.fixture
def learnt(planned: Path) -> Path:
    with RunLog(Path("plan"), 0) as log:
        log.add_evaluation(Evaluation(0, np.array([[1, 3], [0, 6]]), 2.0, {"a": 2.0, "b": 1.0}))
        for step in range(1, STEPS):
            log.add(LoggedStep(step, {"loss": 1 / step}, 5))
        log.add_evaluation(Evaluation(999, np.array([[3, 1], [2, 4]]), 0.5, {"a": 0.1, "b": 0.7}))
    return planned


def test_it_says_what_is_still_wrong(learnt: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "report", "plan"]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["step", "held-out", "loss", "cells", "right"],
        ["0", "2", "70.00%"],
        ["999", "0.5", "70.00%"],
        ["plan:", "999", "of", "1000", "steps"],
        ["background", "is", "taken", "for", "7:", "cells:", "2"],
        ["7", "is", "taken", "for", "background:", "cells:", "1"],
        ["largest", "loss:", "b", "(0.7)"],
        ["largest", "loss:", "a", "(0.1)"],
    ]


def test_the_curves_are_the_logs_means(learnt: Path) -> None:
    assert run(["train", "report", "plan", "--curves", "curves.svg", "-q"]) == 0
    drawn = ET.parse("curves.svg").getroot()
    curves = {
        group.findtext("{*}title"): group for group in drawn.iter() if group.get("class") == "curve"
    }
    assert set(curves) == {
        "loss of each step",
        "loss of what is held out",
        "held-out cells that are right, %",
    }
    lines = [x for x in curves["loss of each step"].iter() if x.tag.endswith("line")]
    assert 100 <= len(lines) <= 240
    heights = [float(line.get("y1", "nan")) for line in lines]
    assert heights == sorted(heights)  # it falls, so it goes down the page
    words = {text.text for text in drawn.iter() if text.tag.endswith("text")}
    assert {"0", "step 999", "plan"} <= words
    assert "logarithmic scale; of the steps the means of 5" in words


@pytest.mark.parametrize(
    ("counts", "ends"), [([[4, 0], [0, 6]], (99, 100)), ([[0, 4], [6, 0]], (0, 1))]
)
def test_no_more_than_all_cells_are_right(
    planned: Path, counts: list[list[int]], ends: tuple[int, int]
) -> None:
    """Nor fewer than none, where each evaluation says so and the axis needs two ends."""
    with RunLog(Path("plan"), 0) as log:
        for step in (0, 5):
            log.add_evaluation(Evaluation(step, np.array(counts), 2.0, {"a": 2.0}))
    assert run(["train", "report", "plan", "--curves", "curves.svg", "-q"]) == 0
    drawn = ET.parse("curves.svg").getroot()
    words = [text.text for text in drawn.iter() if text.tag.endswith("text")]
    second = words[words.index("held-out cells that are right, %") + 1 :]
    assert second[:2] == [str(ends[1]), str(ends[0])]
    assert "logarithmic scale" in words


def test_its_words_can_be_read() -> None:
    """WCAG 1.4.3, on the paper."""
    assert all(contrast(curve, PAPER) >= 4.5 for curve in (curves._STEPS, curves._HELD_OUT))


def test_curves_are_drawn_as_svg_alone(learnt: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "report", "plan", "--curves", "curves.png"]) == 2
    assert capsys.readouterr().err == "error: curves.png: expected a name ending in .svg\n"
    assert not Path("curves.png").exists()


def test_a_plan_that_was_never_run_and_a_broken_log_are_refused(
    planned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", "report", "plan", "--curves", "curves.svg"]) == 1
    assert re.fullmatch(r"error: plan: was never run .*\n", capsys.readouterr().err)
    assert not Path("curves.svg").exists()
    (Path("plan") / LOG).write_text('{"step": 1, "losses": 3}\n')
    assert run(["train", "report", "plan"]) == 1
    assert f"plan/{LOG}:1: this is no line of a training run's log" in capsys.readouterr().err
    assert run(["train", "report", "."]) == 1
    assert "holds no training plan" in capsys.readouterr().err
