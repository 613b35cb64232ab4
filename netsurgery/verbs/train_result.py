"""What `train` returns: what became of a training run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from netsurgery.io.short_repr import ShortRepr
from netsurgery.io.table import Column, Table
from netsurgery.io.wording import counted
from netsurgery.training.evaluation import Evaluation
from netsurgery.training.score import ClassFigures

__all__ = ["Training"]


@dataclass(frozen=True, eq=False, repr=False)
class Training(ShortRepr):
    """A training run, finished or stopped before.

    folder: the plan's. step: how many of `steps` are done. names: of the classes. before, after:
    what the pictures that are held out say of the net at the beginning and now, None without any.
    files: what was written: the net, its weights and their netsurgery.toml once the run is
    finished. engine: one line about what trained it. notes: what the user should know. next: the
    command that maps a picture, at the scale that was learnt, by a finished net; None before.

    >>> import numpy as np
    >>> from netsurgery.training.evaluation import Evaluation
    >>> before = Evaluation(0, np.array([[90, 10], [3, 27]]), 0.31, {"a.png": 0.31})
    >>> after = Evaluation(60, np.array([[99, 1], [0, 30]]), 0.02, {"a.png": 0.02})
    >>> training = Training("plan", 60, 60, ("background", "7"), before, after, (), "Caffe")
    >>> training.finished, training.after.classes[1].recall
    (True, 1.0)
    >>> print(training)
    plan: 60 of 60 steps; cells of the held-out pictures right: 90.00% before, 99.23% after
    """

    folder: str
    step: int
    steps: int
    names: tuple[str, ...]
    before: Evaluation | None
    after: Evaluation | None
    files: tuple[str, ...]
    engine: str
    notes: tuple[str, ...] = ()
    next: str | None = None

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        return self.step == self.steps

    def to_json(self) -> dict[str, Any]:
        """What `train run --json` prints; docs/json.md says what is in it."""
        return {
            "folder": self.folder,
            "step": self.step,
            "steps": self.steps,
            "finished": self.finished,
            "before": _record(self.before),
            "after": _record(self.after),
            "classes": self._classes(),
            "files": list(self.files),
            "engine": self.engine,
            "notes": list(self.notes),
            "next": self.next,
        }

    def _classes(self) -> list[dict[str, Any]]:
        return [
            {"name": name, "before": _figures(before), "after": _figures(after)}
            for name, before, after in self._rows()
        ]

    def _rows(self) -> list[tuple[str, ClassFigures | None, ClassFigures | None]]:
        nothing: list[ClassFigures | None] = [None] * len(self.names)
        before = nothing if self.before is None else [*self.before.classes]
        after = nothing if self.after is None else [*self.after.classes]
        return list(zip(self.names, before, after, strict=True))

    def table(self) -> Table:
        """Of each class how many of its cells are found, and how many found are right, in %.

        Of the pictures that are held out, before and after; no rows without any.
        """
        table = Table(
            (
                Column("class"),
                Column("cells", number=True),
                Column("found before", 1, number=True),
                Column("found after", number=True),
                Column("right before", 2, number=True),
                Column("right after", number=True),
            )
        )
        for name, before, after in self._rows():
            if before is not None and after is not None:
                parts = (before.recall, after.recall, before.precision, after.precision)
                table.add(name, str(after.true), *map(_percent, parts))
        return table

    def __str__(self) -> str:
        done = f"{self.folder}: {self.step} of {counted(self.steps, 'step')}"
        if self.before is None or self.after is None:
            return done
        before, after = (f"{each.accuracy:.2%}" for each in (self.before, self.after))
        return f"{done}; cells of the held-out pictures right: {before} before, {after} after"


def _percent(part: float | None) -> str:
    return "-" if part is None else f"{part:.2%}"


def _figures(figures: ClassFigures | None) -> dict[str, Any] | None:
    if figures is None:
        return None
    return {
        "cells": figures.true,
        "right": figures.right,
        "given": figures.given,
        "recall": figures.recall,
        "precision": figures.precision,
    }


def _record(evaluation: Evaluation | None) -> dict[str, Any] | None:
    if evaluation is None:
        return None
    return {"step": evaluation.step, "loss": evaluation.loss, "accuracy": evaluation.accuracy}
