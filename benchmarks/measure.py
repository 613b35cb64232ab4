"""Time and peak memory of whole processes, and medians of turns taken one after another.

Nothing heavy is imported here, on purpose: Linux counts what a process had before it became
another program into that program's peak, so that whoever measures has to be small itself.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Run", "Summary", "alternate", "run"]


@dataclass(frozen=True)
class Run:
    """One process, from its start to its end: seconds, and the peak of its memory in bytes."""

    seconds: float
    peak: int


@dataclass(frozen=True)
class Summary:
    """Medians of several runs, and the shortest and longest of them."""

    seconds: float
    peak: int
    shortest: float
    longest: float
    count: int

    @classmethod
    def of(cls, runs: Sequence[Run]) -> Summary:
        """The summary of at least one run."""
        seconds = [run.seconds for run in runs]
        return cls(
            seconds=statistics.median(seconds),
            peak=int(statistics.median(run.peak for run in runs)),
            shortest=min(seconds),
            longest=max(seconds),
            count=len(runs),
        )


def run(
    command: Sequence[str | Path], cwd: Path, environment: Mapping[str, str] | None = None
) -> Run:
    """Run a command to its end. Raises RuntimeError, with what it printed, where it fails."""
    with (cwd / "stderr.txt").open("w+b") as stderr:
        started = time.perf_counter()
        child = subprocess.Popen(
            list(map(str, command)),
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
        _, status, used = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            stderr.seek(0)
            raise RuntimeError(f"{command}: exit {child.returncode}: {stderr.read().decode()}")
    return Run(seconds, used.ru_maxrss * 1024)  # kilobytes on Linux


def alternate(turns: Sequence[Callable[[], Run]], count: int) -> list[Summary]:
    """A B A B ..., `count` of each after one of each that counts only where `count` is 0."""
    runs_of: list[list[Run]] = [[] for _ in turns]
    for number in range(count + 1):
        for place, turn in enumerate(turns):
            result = turn()
            if number or not count:
                runs_of[place].append(result)
    return [Summary.of(runs) for runs in runs_of]
