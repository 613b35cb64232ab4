"""Conversions killed, starved and set upon one another: outputs are whole, or are not there.

    python tests/torture.py FOLDER --megabytes 256 --rounds 100 --seed 0

Each conversion runs in a forked process on the same inputs, a net whose weights are of the size
given. Every other round there are old outputs, which --force replaces. After each kill the inputs
have to be untouched, each output the old one, the new one or (where there was none) none, and a
new prototxt has to have its weights and settings beside it.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from netsurgery.cli import run
from netsurgery.formats.caffemodel import Caffemodel
from netsurgery.io.wire import delimited, header, packed_varints

__all__ = ["Torture"]

OUTPUTS = ("model_full_conv.caffemodel", "netsurgery.toml", "net_full_conv.prototxt")
OLD = b"old"
_MARK = 1 << 24

NET = """\
name: "Wide"
input: "data"
input_shape { dim: 1 dim: 16 dim: 8 dim: 8 }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
  inner_product_param { num_output: %d } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""


def write_model(path: Path, outputs: int) -> None:
    """A layer fc of `outputs` x 1024 weights: zeros that take no room, and marks here and there."""
    weights, bias = outputs * 1024 * 4, bytes(4 * outputs)
    shape = delimited(7, packed_varints(1, (outputs, 1024)))
    blob = shape + header(5, weights)
    second_layer = delimited(7, delimited(7, packed_varints(1, (outputs,))) + delimited(5, bias))
    start = delimited(1, b"fc") + delimited(2, b"InnerProduct")
    start += header(7, len(blob) + weights) + blob
    with path.open("wb") as file:
        file.write(
            delimited(1, b"Wide") + header(100, len(start) + weights + len(second_layer)) + start
        )
        first = file.tell()
        for at in range(0, weights, _MARK):
            file.seek(first + at)
            file.write(at.to_bytes(8, "little"))
        file.seek(first + weights)
        file.write(second_layer)


class Torture:
    """Inputs in `folder`, and what becomes of conversions of them in its folder ``out``."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        self.folder, self.out = folder, folder / "out"
        outputs = megabytes * 256
        (folder / "net.prototxt").write_text(NET % outputs)
        write_model(folder / "model.caffemodel", outputs)
        self.inputs = self._inputs()
        self.out.mkdir()
        # What a conversion imports is imported once, here, and not by each process that is forked.
        # Into another folder: a process remembers when it has cleared one.
        current = os.getcwd()
        self.convert(out="first")
        os.chdir(current)
        assert threading.active_count() == 1
        # The least of three: moments behind the end would prove nothing.
        self.seconds = min(self.finished_after() for _ in range(3))
        self.new = {name: self.fingerprint(name) for name in OUTPUTS}
        self.clear()

    def _inputs(self) -> list[tuple[int, ...]]:
        states = [os.stat(self.folder / name) for name in ("net.prototxt", "model.caffemodel")]
        return [
            (state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns) for state in states
        ]

    def start(self, *options: str, first: Callable[[], None] | None = None) -> int:
        """Begin a conversion in a process of its own, after `first`; returns its number."""
        process = os.fork()
        if process == 0:
            code = 99
            try:
                os.chdir(self.folder)
                os.dup2(os.open("said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
                if first is not None:
                    first()
                code = self.convert(*options)
            finally:
                os._exit(code)
        return process

    def convert(self, *options: str, out: str = "out") -> int:
        """Do a conversion in this process, whose current folder then is the one of the inputs."""
        os.chdir(self.folder)
        os.environ["NETSURGERY_ENGINE"] = "embedded"
        words = ["convert", "net.prototxt", "model.caffemodel", "-q", "-o", out, *options]
        return run(words)

    def finished(self, process: int) -> int:
        """The exit code, negative for a signal."""
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])

    def finished_after(self) -> float:
        """Seconds that an undisturbed conversion takes."""
        started = time.monotonic()
        assert self.finished(self.start("--force")) == 0, self.said()
        return time.monotonic() - started

    def said(self) -> str:
        """What the last conversion wrote to standard error."""
        return (self.folder / "said").read_text()

    def fingerprint(self, name: str) -> bytes | None:
        """The file, or of a large one its length, its marks and its end; None for no file."""
        path = self.out / name
        if not path.exists():
            return None
        size = path.stat().st_size
        with path.open("rb") as file:
            if size < 1 << 20:
                return file.read()
            pieces = [size.to_bytes(8, "little")]
            for at in (*range(0, size, _MARK), size - 4096):
                file.seek(at)
                pieces.append(file.read(4096))
        return b"".join(pieces)

    def clear(self) -> None:
        """Nothing there."""
        shutil.rmtree(self.out)
        self.out.mkdir()

    def prepare(self, old: bool) -> None:
        """Outputs of an earlier run, or none; what dead runs left behind stays."""
        for name in OUTPUTS:
            (self.out / name).unlink(missing_ok=True)
            if old and name != "netsurgery.toml":
                (self.out / name).write_bytes(OLD)

    def left(self) -> list[str]:
        """Temporary files."""
        return [name for name in os.listdir(self.out) if name.endswith(".netsurgery-tmp")]

    def check(self, old: bool) -> str:
        """Raise AssertionError unless all is well; else say what is there: old, new or between."""
        assert self._inputs() == self.inputs, "an input was touched"
        weights, settings, prototxt = (self.fingerprint(name) for name in OUTPUTS)
        before = OLD if old else None
        assert weights in (before, self.new[OUTPUTS[0]]), "weights that are neither old nor new"
        assert settings in (None, self.new[OUTPUTS[1]]), "settings that are neither old nor new"
        assert prototxt in (before, self.new[OUTPUTS[2]]), "a prototxt neither old nor new"
        if prototxt != before:
            assert weights == self.new[OUTPUTS[0]], "a new prototxt without its weights"
            assert settings is not None, "a new prototxt without its settings"
            return "new"
        return "old" if weights == before else "between"

    def killed(self, old: bool, delay: float) -> str:
        """Kill a conversion after `delay` seconds and check."""
        self.prepare(old)
        process = self.start(*(["--force"] if old else []))
        time.sleep(delay)
        os.kill(process, signal.SIGKILL)
        self.finished(process)
        return self.check(old)

    def killed_at_step(self, old: bool, step: int) -> str:
        """Kill a conversion before its `step`-th call to the system that changes a file."""
        self.prepare(old)
        process = self.start(*(["--force"] if old else []), first=lambda: die_at(step))
        code = self.finished(process)
        assert code in (0, -signal.SIGKILL), (code, self.said())
        return self.check(old) if code else "done"

    def recovered(self) -> None:
        """A run after all that takes no notice of it, and clears up."""
        self.prepare(old=True)
        assert self.finished(self.start("--force")) == 0, self.said()
        assert self.check(old=True) == "new"
        assert self.left() == []
        with Caffemodel.open(self.out / OUTPUTS[0]) as model:
            assert [layer.name for layer in model.layers] == ["fc-conv"]

    def without_room(self, limit: int) -> str:
        """A conversion whose files may not grow beyond `limit`; what it says."""
        self.clear()
        self.prepare(old=True)

        def starve() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        assert self.finished(self.start("--force", first=starve)) == 1
        assert self.check(old=True) == "old"
        assert self.left() == []
        return self.said()

    def together(self, count: int = 4) -> None:
        """Several at once to one place: one set of outputs, of one of them."""
        self.clear()
        suffixes = [f"-{number}" for number in range(count)]
        started = [self.start("--force", "--suffix", suffix) for suffix in suffixes]
        assert [self.finished(process) for process in started] == [0] * count, self.said()
        assert self.left() == []
        with Caffemodel.open(self.out / OUTPUTS[0]) as model:
            (layer,) = model.layers
        assert f'name: "{layer.name}"' in (self.out / OUTPUTS[2]).read_text()


def die_at(step: int) -> None:
    """Have this process killed before the `step`-th of its calls that change files."""
    left = [step]

    def counted(real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)

        return call

    names = "open link unlink replace fchmod ftruncate posix_fallocate copy_file_range pwrite close"
    for name in names.split():
        setattr(os, name, counted(getattr(os, name)))


def main() -> None:
    """Torture, and count what was seen."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    random.seed(options.seed)
    torture = Torture(options.folder, options.megabytes)
    print(
        f"{options.megabytes} MiB take {torture.seconds:.2f} s; --seed {options.seed}", flush=True
    )
    seen = {"old": 0, "between": 0, "new": 0}
    for turn in range(options.rounds):
        seen[torture.killed(bool(turn % 2), random.uniform(0, 1.1 * torture.seconds))] += 1
    torture.recovered()
    torture.together()
    print(f"{options.rounds} killed: " + ", ".join(f"{n} {what}" for what, n in seen.items()))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
