"""The log of a training run, log.jsonl: a line of JSON a step, and one an evaluation.

    {"step": 1, "losses": {"loss": 0.31}, "cells": 412}
    {"step": 400, "evaluation": {...}}

It has no times, so that a run that was interrupted leaves the same log as one that was not. A line
that is not whole, of a process that was killed, does not count.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any

from netsurgery.errors import FormatError, OutputError
from netsurgery.io.closeable import Closeable
from netsurgery.io.memory import Claim
from netsurgery.io.wording import counted
from netsurgery.training.evaluation import Evaluation

__all__ = ["LOG", "History", "LoggedStep", "RunLog", "read_log"]

LOG = "log.jsonl"
_LONGEST = 1 << 30
#: Bytes that a byte of the log takes once it is parsed.
_PARSED = 12


@dataclass(frozen=True)
class LoggedStep:
    """The losses of a step, by name, and how many cells counted in it."""

    step: int
    losses: Mapping[str, float]
    cells: int

    def to_json(self) -> dict[str, Any]:
        return {"step": self.step, "losses": dict(self.losses), "cells": self.cells}


@dataclass(frozen=True)
class History:
    """What a log says: its steps and its evaluations, in order."""

    steps: list[LoggedStep] = field(default_factory=list)
    evaluations: list[Evaluation] = field(default_factory=list)


class RunLog(Closeable):
    """The log in the folder of a run, to which lines are added. Raises OutputError."""

    def __init__(self, folder: Path, after: int) -> None:
        """Go on with it after that many steps, whatever it says of later ones; 0: from new."""
        self._path = folder / LOG
        # What stays is how the file begins, so that the rest is cut off.
        length = sum(len(line) for line in _until(self._path, after)) if after else 0
        try:
            self._file = FileIO(self._path, "ab")
            os.ftruncate(self._file.fileno(), length)
        except OSError as error:
            raise OutputError(f"{self._path}: {error.strerror}") from None

    def add(self, step: LoggedStep) -> None:
        """Add a step's line."""
        self._write(step.to_json())

    def add_evaluation(self, evaluation: Evaluation) -> None:
        """Add an evaluation's line."""
        self._write({"step": evaluation.step, "evaluation": evaluation.to_json()})

    def _write(self, record: Mapping[str, Any]) -> None:
        try:
            self._file.write(json.dumps(record).encode() + b"\n")
        except OSError as error:
            raise OutputError(f"{self._path}: {error.strerror}") from None

    def close(self) -> None:
        """Close it; it stays."""
        self._file.close()


def _lines(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """The lines that are whole, with their line ends, up to one that is not."""
    try:
        size = path.stat().st_size
        if size > _LONGEST:
            raise FormatError(
                f"{path}: {counted(size, 'byte')}, expected the log of a training run"
            )
        with Claim(_PARSED * size, f"{path}: the log"), open(path, "rb") as file:
            for line in file:
                try:
                    record = json.loads(line)
                except (ValueError, RecursionError):
                    return
                if not line.endswith(b"\n") or not isinstance(record, dict):
                    return
                if type(record.get("step")) is not int:
                    return
                yield line, record
    except FileNotFoundError:
        return
    except OSError as error:
        raise FormatError(f"{path}: {error.strerror}") from None


def _until(path: Path, step: int) -> Iterator[bytes]:
    """The lines of the steps up to `step`."""
    for line, record in _lines(path):
        if record["step"] > step:
            return
        yield line


def read_log(folder: Path) -> History:
    """The log in the folder of a run; an empty one where there is none. Raises FormatError."""
    history, path = History(), folder / LOG
    for number, (_, record) in enumerate(_lines(path), 1):
        where = f"{path}:{number}"
        if "evaluation" in record:
            history.evaluations.append(Evaluation.from_json(record["evaluation"], where))
            continue
        try:
            losses = {str(name): float(loss) for name, loss in record["losses"].items()}
            if not losses or not all(map(math.isfinite, losses.values())):
                raise ValueError(losses)
            history.steps.append(LoggedStep(record["step"], losses, int(record["cells"])))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            raise FormatError(f"{where}: this is no line of a training run's log") from None
    return history
