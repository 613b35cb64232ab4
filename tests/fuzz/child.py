"""One target fuzzed for some seconds, in a process that may not take much memory.

    python -m fuzz.child TARGET SECONDS SEED hypothesis|atheris FINDINGS

A case that ends in anything but success or a NetsurgeryError, takes longer than `_SLOW` seconds
or asks for more memory than `_MEMORY` is written to the folder FINDINGS, and the exit code is 1.
Cases are tried in a scratch folder that is the current one.
"""

from __future__ import annotations

import contextlib
import faulthandler
import hashlib
import importlib
import resource
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

#: Where the lines are that lead a coverage-guided fuzzer, with what these import.
INSTRUMENTED = (
    "netsurgery.formats.caffemodel",
    "netsurgery.formats.caffemodel_write",
    "netsurgery.formats.found_settings",
    "netsurgery.formats.hdf5",
    "netsurgery.formats.labels",
    "netsurgery.formats.mean",
    "netsurgery.formats.prototxt",
    "netsurgery.formats.settings",
    "netsurgery.formats.upgrade.binary",
    "netsurgery.formats.upgrade.text",
    "netsurgery.net.cost",
    "netsurgery.net.field",
    "netsurgery.net.shapes",
    "netsurgery.surgery.convolution.plan",
)

_SLOW, _HUNG = 10, 40
_MEMORY = 2 << 30


class Slow(BaseException):
    """The case took longer than it may."""


class Finder:
    """Tries cases; remembers what kinds of failure it has met, so that each is reported once."""

    def __init__(self, target: str, findings: Path) -> None:
        from fuzz.targets import run_target

        self.target, self.findings, self.run = target, findings, run_target
        self.tried = self.refused = 0
        self.met: dict[str, str] = {}
        self.last: tuple[str, bytes, str] | None = None

    def __call__(self, data: bytes) -> None:
        """Try a case; raises what it raised, the first time that kind is met."""
        Path("current").write_bytes(data)  # for whoever finds this process dead
        self.tried += 1
        try:
            with _in_time():
                self.refused += bool(self.run(self.target, data))
            if self.tried % 50 == 0:
                Path("count").write_text(f"{self.tried} cases, {self.refused} refused")
        except (Exception, Slow) as error:
            kind = _kind(error)
            if kind in self.met:
                return
            trace = "".join(traceback.format_exception(error))
            self.last = kind, data, trace
            raise RuntimeError(kind) from error

    def keep(self) -> None:
        """Write the last failure down as a finding."""
        if self.last is None:
            return
        kind, data, trace = self.last
        name = f"{self.target}-{hashlib.sha256(data).hexdigest()[:12]}"
        self.findings.mkdir(parents=True, exist_ok=True)
        (self.findings / name).write_bytes(data)
        (self.findings / f"{name}.txt").write_text(trace, errors="backslashreplace")
        self.met[kind] = name
        print(f"found {name}: {kind}", flush=True)
        self.last = None


def _kind(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/netsurgery/" in frame.filename] or frames
    if isinstance(error, Slow):
        return "slower than it may be"
    name = Path(ours[-1].filename).name
    return f"{type(error).__name__} at {name}:{ours[-1].lineno}: {str(error)[:100]!a}"


@contextlib.contextmanager
def _in_time() -> Iterator[None]:
    def ring(_: int, __: FrameType | None) -> None:
        raise Slow

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, _SLOW)
    # Where no signal gets through (a library's own loop) the process ends, and shows where.
    faulthandler.dump_traceback_later(_HUNG, exit=True)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()


def limit_memory() -> None:
    """Allow `_MEMORY` bytes more than this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + _MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def by_hypothesis(finder: Finder, seconds: float, seed: int) -> None:
    """Cases as hypothesis draws them, in rounds; a failing one is made as small as it can be."""
    import hypothesis as hy
    from fuzz.commands import cases
    from fuzz.layers import cases as layer_cases
    from fuzz.mutation import mutated
    from fuzz.seeds import seeds

    of_bytes = {"upgrade": "prototxt"}.get(finder.target, finder.target)
    drawn = {"command": cases, "layers": layer_cases}.get(finder.target)
    strategy: Any = mutated(seeds(of_bytes)) if drawn is None else drawn

    @hy.settings(
        max_examples=200,
        deadline=None,
        database=None,
        suppress_health_check=list(hy.HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
    )
    @hy.given(strategy)
    def try_case(case: Any) -> None:
        if time.monotonic() < end:
            finder(case if isinstance(case, bytes) else case.to_bytes())

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        seed += 1
        try:
            hy.seed(seed)(try_case)()
        except (Exception, Slow):
            if finder.last is None:
                raise
            finder.keep()


def by_atheris(finder: Finder, seconds: float, seed: int) -> None:
    """Cases as libFuzzer finds them, led by which lines of netsurgery they reach."""
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["netsurgery"]):
        for module in INSTRUMENTED:
            importlib.import_module(module)
    from fuzz.seeds import seeds  # behind the imports above: it has some of the same modules

    corpus = Path("corpus")
    corpus.mkdir()
    for number, data in enumerate(seeds({"upgrade": "prototxt"}.get(finder.target, finder.target))):
        (corpus / str(number)).write_bytes(data)

    def try_case(data: bytes) -> None:
        try:
            finder(data)
        except RuntimeError:
            finder.keep()

    arguments = [f"-max_total_time={max(1, int(seconds))}", f"-seed={seed}", "-timeout=60",
                 "-rss_limit_mb=0", "-verbosity=0", "-print_final_stats=0", "-max_len=20000",
                 "-close_fd_mask=2"]  # fmt: skip
    atheris.Setup([sys.argv[0], *arguments, str(corpus)], try_case)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    atheris.Fuzz()


def main() -> None:
    """Fuzz; what was found is printed, and how many cases there were is kept in `count`."""
    target, seconds, seed, engine, findings = sys.argv[1:]
    finder = Finder(target, Path(findings))
    limit_memory()
    run = by_hypothesis if engine == "hypothesis" else by_atheris
    run(finder, float(seconds), int(seed))
    sys.exit(1 if finder.met else 0)


if __name__ == "__main__":
    main()
