"""``netsurgery.train_report``: how a training run went."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from netsurgery.errors import TrainingError
from netsurgery.io.argument_types import checks_arguments
from netsurgery.io.files import Outputs
from netsurgery.io.targets import check_ending
from netsurgery.open_net.arguments import AnyPath
from netsurgery.training.plan import PLAN, read_plan
from netsurgery.training.run_log import LOG, read_log
from netsurgery.verbs.train_report_result import TrainingReport

__all__ = ["train_report"]


@checks_arguments()
def train_report(
    folder: AnyPath, curves: AnyPath | None = None, *, force: bool = False
) -> TrainingReport:
    """How the training run in a plan's folder went, whether it is finished or not.

    curves: where to draw the losses and what the held-out pictures say, an SVG; None to draw
    nothing. force: replace that file.

    >>> import json
    >>> import netsurgery as ns
    >>> truth = {"classes": ["7"], "pictures": [
    ...     {"file": "digits_canvas.png", "points": [{"class": "7", "at": [232, 24]}]}]}
    >>> with open("seven.json", "w") as file:
    ...     json.dump(truth, file)
    >>> plan = ns.train_plan("prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel",
    ...                      "sevens", annotations="seven.json", images="examples", pictures=0)
    >>> with open("sevens/log.jsonl", "w") as file:  # a run writes it
    ...     for step, right in ((0, 380), (1000, 399)):
    ...         counts = [[right, 400 - right], [0, 600]]
    ...         pictures = {"digits_canvas.png": 0.02}
    ...         found = {"step": step, "loss": 0.02, "counts": counts, "pictures": pictures}
    ...         print(json.dumps({"step": step, "evaluation": found}), file=file)
    >>> report = ns.train_report("sevens", "curves.svg")
    >>> [each.accuracy for each in report.history.evaluations]
    [0.98, 0.999]

    Raises FormatError for a folder without a plan or with a log that is none, TrainingError for a
    plan that was never run, OutputError; WrongOutput for a name of another ending than .svg.
    """
    if curves is not None:
        check_ending(os.fspath(curves), ".svg")
    path = Path(folder)
    plan, history = read_plan(path), read_log(path)
    if not (history.steps or history.evaluations):
        raise TrainingError(f"{path}: was never run (no {LOG}); `netsurgery train run` does that")
    step = history.steps[-1].step if history.steps else 0
    report = TrainingReport(str(path), step, plan.solver.steps, plan.names, history)
    if curves is None:
        return report
    inputs = [path / PLAN, path / LOG]
    with Outputs([str(curves)], inputs=inputs, force=force) as outputs:
        outputs[str(curves)].write(report.svg().encode())
    return replace(report, files=(str(curves),))
