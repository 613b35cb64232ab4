"""Nets held ready in processes of their own, that run forwards on request."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Run

__all__ = ["ROOT", "Held", "held"]

ROOT = Path(__file__).resolve().parent.parent
#: Between one engine's turn and the next: both engines' threads go on waiting busily for a while.
PAUSE = 0.1
#: Forwards in a row that a steady figure is taken over.
STEADY = 4


@dataclass(frozen=True)
class Held:
    """A net that waits for its turn."""

    child: subprocess.Popen[str]

    def forwards(self, count: int = 1) -> Run:
        """So many forwards, one after another; the memory is not measured."""
        time.sleep(PAUSE)
        return self._forwards(count)

    def _forwards(self, count: int) -> Run:
        assert self.child.stdin is not None
        self.child.stdin.write(f"{count}\n")
        self.child.stdin.flush()
        return Run(float(self._answer()), 0)

    def steady(self) -> Run:
        """One forward of several in a row; one before them wakes the threads and is not timed."""
        self.forwards()
        return Run(self._forwards(STEADY).seconds / STEADY, 0)

    def wait(self) -> None:
        """Wait until the net is loaded."""
        self._answer()

    def _answer(self) -> str:
        assert self.child.stdout is not None
        line = self.child.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.child.args!r} ended with {self.child.wait()}")
        return line


@contextmanager
def held(
    net: tuple[Path, Path],
    shape: tuple[int, ...],
    caffe: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Held]:
    """A net (prototxt, caffemodel) at an input shape, in pycaffe under `caffe` or embedded."""
    if caffe is None:
        command = [sys.executable, "-m", "benchmarks.forward_embedded"]
    else:
        command = [caffe, str(ROOT / "benchmarks" / "forward_caffe.py")]
    with subprocess.Popen(
        [*command, *map(str, net), ",".join(map(str, shape))],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        process = Held(child)
        process.wait()
        yield process
