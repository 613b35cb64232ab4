"""``python -m benchmarks.jobs``: what workers gain, and what they take.

    python -m benchmarks.jobs [--pictures N] [--small]

Pictures are mapped with a net of CaffeNet's size at 451 x 451: by one process with a thread and
with a thread a core, by jobs of one worker and of two, each of one thread, and on Ray of this
machine. What two workers gain is a ratio of pictures a second from the same run, from the first
picture that is done to the last; their CPU seconds a picture, which a busy machine changes less,
show what sharing the caches costs. A worker's memory is its PSS, the median while all are at work:
what it has alone, and its part of what it shares, as the weights are shared by all that map them.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import statistics
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.materials import CAFFENET, SMALL, Materials

__all__ = ["main"]

_MIB = 1 << 20


@dataclass(frozen=True)
class Measured:
    """Wall-clock and CPU seconds of a command, and the sum of its workers' PSS in bytes.

    rate: pictures a second, of a job while its workers are at it.
    """

    seconds: float
    cpu: float
    memory: float
    rate: float


def main(words: list[str] | None = None) -> None:
    """Run all of them and print the table."""
    parser = argparse.ArgumentParser(prog="jobs", description="Measure what workers gain.")
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--small", action="store_true", help="a small net, to try this itself")
    asked = parser.parse_args(words)
    with tempfile.TemporaryDirectory(prefix="nsj-", dir="/tmp") as name:
        materials = Materials(Path(name), SMALL if asked.small else CAFFENET)
        materials.make()
        for number in range(asked.pictures):
            os.link(materials.picture, materials.folder / f"{number:04d}.jpg")
        runs = {
            "one process, 1 thread": measure(materials, "--threads", "1"),
            "one process, a thread a core": measure(materials),
            "job, 1 worker": measure(materials, "--job", "1", "--workers", "1", "--threads", "1"),
            "job, 2 workers": measure(materials, "--job", "2", "--workers", "2", "--threads", "1"),
            "job, 2 workers of Ray": measure(
                materials, "--job", "r", "--workers", "2", "--threads", "1", "--on", "ray"
            ),
        }
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, {asked.pictures} pictures")
    print("| how | seconds | pictures/s | CPU s a picture | PSS of the workers |")
    print("|---|---:|---:|---:|---:|")
    for how, run in runs.items():
        print(
            f"| {how} | {run.seconds:.1f} | {run.rate:.2f} "
            f"| {run.cpu / asked.pictures:.2f} | {run.memory / _MIB:.0f} MiB |"
        )
    alone, paired = runs["job, 1 worker"], runs["job, 2 workers"]
    print(f"two workers: {paired.rate / alone.rate:.2f} times one")
    print(f"a further worker: {(paired.memory - alone.memory) / _MIB:.0f} MiB of PSS")


def measure(materials: Materials, *words: str) -> Measured:
    """Map all pictures, with these options."""
    pictures = [f"{number:04d}.jpg" for number in range(len(list(materials.folder.glob("0*.jpg"))))]
    weights = str(materials.dense[1])
    size = f"{materials.scale.mapped}x{materials.scale.mapped}"
    options = [*materials.mapping, "--ignore-config", "--size", size, *words, "--json"]
    command = [str(materials.netsurgery), "classify-map", *pictures, *options]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=materials.folder, env=materials.environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    seen, over = [(0, 0)], threading.Event()
    watcher = threading.Thread(target=_watch, args=(process.pid, weights, seen, over))
    watcher.start()
    code = process.wait()
    seconds = time.perf_counter() - began
    over.set()
    watcher.join()
    if code != 0:
        raise RuntimeError(f"{words}: exit code {code}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = sum(getattr(after, name) - getattr(before, name) for name in ("ru_utime", "ru_stime"))
    most = max(workers for _, workers in seen)
    memory = statistics.median(size for size, workers in seen if workers == most)
    job = materials.folder / words[words.index("--job") + 1] if "--job" in words else None
    rate = len(pictures) / seconds if job is None else _rate(job)
    return Measured(seconds, cpu, memory, rate)


def _rate(job: Path) -> float:
    """Records a second, by when they were written."""
    times = sorted(path.stat().st_mtime for path in job.glob("parts/*/*.json"))
    return (len(times) - 1) / (times[-1] - times[0])


def _watch(root: int, weights: str, seen: list[tuple[int, int]], over: threading.Event) -> None:
    """Look at the PSS of all processes of a tree that have the weights mapped, again and again."""
    while not over.wait(0.2):
        sizes = [_pss(pid) for pid in _tree(root) if _maps(pid, weights)]
        seen.append((sum(sizes), len(sizes)))


def _tree(root: int) -> list[int]:
    """A process and all below it."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            fields = _text(folder / "stat").rpartition(")")[2].split()
            if fields:
                parents[int(folder.name)] = int(fields[1])
    family = {root}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return sorted(family)


def _maps(pid: int, path: str) -> bool:
    return path in _text(Path(f"/proc/{pid}/maps"))


def _pss(pid: int) -> int:
    match = re.search(r"^Pss:\s+(\d+) kB", _text(Path(f"/proc/{pid}/smaps_rollup")), re.MULTILINE)
    return int(match[1]) << 10 if match else 0


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # it has ended
        return ""


if __name__ == "__main__":
    main()
