"""What `train_report` returns: how a run went, and what it is still wrong about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from netsurgery.io.short_repr import ShortRepr
from netsurgery.io.table import Column, Table
from netsurgery.io.wording import counted
from netsurgery.training.evaluation import Evaluation, worst
from netsurgery.training.run_log import History

__all__ = ["TrainingReport"]

#: How many pairs of classes and pictures are reported.
_REPORTED = 10


@dataclass(frozen=True, eq=False, repr=False)
class TrainingReport(ShortRepr):
    """The log of a training run, read.

    folder: the plan's. step: how many of `steps` are done. names: of the classes. history: all
    steps and evaluations. files: what was written.

    >>> import numpy as np
    >>> from netsurgery.training.evaluation import Evaluation
    >>> last = Evaluation(800, np.array([[396, 4], [0, 33]]), 0.02, {"a.png": 0.02})
    >>> report = TrainingReport("plan", 800, 1000, ("background", "7"), History([], [last]))
    >>> report.confused, report.worst
    ([('background', '7', 4)], [('a.png', 0.02)])
    >>> report.svg()[:4]
    '<svg'
    """

    folder: str
    step: int
    steps: int
    names: tuple[str, ...]
    history: History
    files: tuple[str, ...] = ()

    @property
    def last(self) -> Evaluation | None:
        """What the held-out pictures said last; None without any."""
        return self.history.evaluations[-1] if self.history.evaluations else None

    @property
    def confused(self) -> list[tuple[str, str, int]]:
        """The classes that are taken for another most often: the truth, what is given, cells."""
        if self.last is None:
            return []
        counts, names = self.last.counts, self.names
        pairs = [
            (names[truth], names[answer], int(counts[truth, answer]))
            for truth in range(len(names))
            for answer in range(len(names))
            if truth != answer and counts[truth, answer]
        ]
        return sorted(pairs, key=lambda pair: -pair[2])[:_REPORTED]

    @property
    def worst(self) -> list[tuple[str, float]]:
        """The held-out pictures with the largest mean loss, the worst first."""
        return [] if self.last is None else list(worst(self.last, _REPORTED))

    def svg(self) -> str:
        """The losses by step, and the part of the held-out cells that is right."""
        from netsurgery.drawing.svg import to_svg
        from netsurgery.training.curves import curves

        return to_svg(curves(self.history, self.folder))

    def to_json(self) -> dict[str, Any]:
        """What `train report --json` prints; docs/json.md says what is in it."""
        return {
            "folder": self.folder,
            "step": self.step,
            "steps": self.steps,
            "evaluations": [
                {"step": each.step, "loss": each.loss, "accuracy": each.accuracy}
                for each in self.history.evaluations
            ],
            "classes": list(self.names),
            "counts": [] if self.last is None else self.last.counts.tolist(),
            "confused": [
                {"class": truth, "given": answer, "cells": cells}
                for truth, answer, cells in self.confused
            ],
            "worst": [{"picture": name, "loss": loss} for name, loss in self.worst],
            "files": list(self.files),
        }

    def table(self) -> Table:
        """The evaluations: after how many steps, the mean loss, and the part of cells right."""
        table = Table(
            (
                Column("step", number=True),
                Column("held-out loss", number=True),
                Column("cells right", number=True),
            )
        )
        for each in self.history.evaluations:
            table.add(str(each.step), f"{each.loss:.4g}", f"{each.accuracy:.2%}")
        return table

    def __str__(self) -> str:
        return f"{self.folder}: {self.step} of {counted(self.steps, 'step')}"
