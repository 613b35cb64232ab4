"""The workers of a job on this machine: processes that are started, watched, and ended together.

A worker that dies is started again; what it was at is found in the job's folder by whoever comes
there next. So that this process leaves nothing when a signal ends it, the workers are ended first,
politely: their standard input closes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from netsurgery.errors import JobError
from netsurgery.io.children import start, wait_for_end
from netsurgery.io.cleanup import Undo, step
from netsurgery.verbs.jobs.worker import JobAssignment

__all__ = ["run_crew"]

#: Seconds between two looks at the workers.
_LOOK = 0.1
#: Seconds that workers get to end by themselves.
_GRACE = 2.0
#: Workers that die so often in a row, with no picture done in between, are not started again.
_DEATHS = 5

#: The package's folder comes last: nothing beside it may take the place of a module of Python's.
#: Nor may anything beside the pictures, where the worker goes.
_START = (
    "import sys; sys.path[:] = [*filter(None, sys.path), sys.argv[1]]; "
    "from netsurgery.verbs.jobs.worker import main; main()"
)
_PACKAGES = Path(__file__).resolve().parents[3]


def run_crew(
    assignments: Sequence[JobAssignment], look: Callable[[], int], pause: float = 0.0
) -> None:
    """Run a worker for each assignment until all have ended.

    look: called now and then, and where a worker has ended; how much is over, in any measure that
    changes with it. pause: seconds at least between two looks while all live. Raises JobError for a
    worker that ended with an error, and where they only die.
    """
    crew: list[_Process] = []
    undo = Undo(lambda: _dismiss(crew), early=True)
    over, deaths, again = look(), 0, time.monotonic() + pause
    try:
        for each in assignments:
            with step:
                crew.append(_Process(each))
        while crew:
            time.sleep(_LOOK)
            ended = [each for each in crew if each.has_ended()]
            if ended or time.monotonic() >= again:
                now, again = look(), time.monotonic() + pause
                over, deaths = now, deaths if now == over else 0
            for process in ended:
                crew.remove(process)
                code = process.end()
                if code > 0:
                    raise JobError(process.last_words)
                if code < 0:
                    deaths += 1
                    if deaths >= _DEATHS:
                        raise JobError(
                            f"workers die, {deaths} in a row and no picture done: the last by "
                            f"signal {-code}{_OUT_OF_MEMORY if code == -9 else ''}"
                        )
                    with step:
                        crew.append(_Process(process.assignment))
    finally:
        undo()
    look()


_OUT_OF_MEMORY = ", as the system's where memory runs out; fewer workers need less"


class _Process:
    """A worker's process."""

    def __init__(self, assignment: JobAssignment) -> None:
        self.assignment = assignment
        #: The last line that it wrote to standard error, once it has ended.
        self.last_words = ""
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # as long as the process
        environment = {"OPENBLAS_NUM_THREADS": "1", **os.environ}
        self._process, self._undo = start(
            [sys.executable, "-c", _START, str(_PACKAGES)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._said,
            cwd="/",
            env=environment,
        )
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has died already
            self._process.stdin.write(f"{json.dumps(assignment.to_json())}\n".encode())
            self._process.stdin.flush()

    def has_ended(self) -> bool:
        """Whether it has; it is not reaped: `end` does that, after all that it started."""
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._process.pid, flags) is not None

    def dismiss(self) -> None:
        """Have it end by itself."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()

    def wait(self, seconds: float) -> None:
        """Wait until it has ended, not for ever."""
        wait_for_end(self._process.pid, seconds)

    def end(self) -> int:
        """End it and all that it started; returns its exit code, -n for signal n."""
        self.dismiss()
        self._undo()
        code = self._process.wait()
        if not self._said.closed:
            self._said.seek(0)
            lines = self._said.read().decode("utf-8", "replace").strip().splitlines()
            self.last_words = lines[-1] if lines else f"a worker ended with {code}"
            self._said.close()
        return code


def _dismiss(crew: Sequence[_Process]) -> None:
    """End what there is of a crew: all are asked first."""
    for process in crew:
        process.dismiss()
    until = time.monotonic() + _GRACE
    for process in crew:
        process.wait(max(0.0, until - time.monotonic()))
    for process in crew:
        process.end()
