"""``python -m benchmarks.jobs``: what workers gain, and what they take.

    python -m benchmarks.jobs [--pictures N] [--side PIXELS] [--small]

Pictures are mapped with a net of CaffeNet's size at 451 x 451: by one process with a thread and
with a thread a core, by jobs of one worker and of two, each of one thread, and on Ray of this
machine. What two workers gain is a ratio of pictures a second from the same run, from the first
picture that is done to the last; their CPU seconds a picture, which a busy machine changes less,
show what sharing the caches costs. A worker's memory is its PSS, the median while all are at work:
what it has alone, and its part of what it shares, as the weights are shared by all that map them.

Then one large picture of `--side` pixels, in tiles: by one process of one thread, and by jobs of
one worker and of two, which share it in bands. Their seconds are those from the plan to the record;
what bands compute twice, and what sharing the caches costs, is in the CPU seconds.
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

from PIL import Image

from benchmarks.materials import CAFFENET, SMALL, Materials

__all__ = ["main"]

_MIB = 1 << 20


@dataclass(frozen=True)
class Measured:
    """Wall-clock and CPU seconds of a command, and the sum of its workers' PSS in bytes.

    working: seconds of the work alone, of a job.
    """

    seconds: float
    cpu: float
    memory: float
    working: float


def main(words: list[str] | None = None) -> None:
    """Run all of them and print the table."""
    parser = argparse.ArgumentParser(prog="jobs", description="Measure what workers gain.")
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--side", type=int, default=3000, help="of the large picture")
    parser.add_argument("--small", action="store_true", help="a small net, to try this itself")
    asked = parser.parse_args(words)
    with tempfile.TemporaryDirectory(prefix="nsj-", dir="/tmp") as name:
        materials = Materials(Path(name), SMALL if asked.small else CAFFENET)
        materials.make()
        if asked.pictures:
            show_many(materials, asked.pictures)
        if asked.side:
            show_large(materials, asked.side)


def show_many(materials: Materials, count: int) -> None:
    """Map many pictures, and print the table."""
    pictures = [f"{number:04d}.jpg" for number in range(count)]
    for name in pictures:
        os.link(materials.picture, materials.folder / name)
    mapped = materials.scale.mapped
    words = [*pictures, "--size", f"{mapped}x{mapped}"]
    runs = {
        "one process, 1 thread": measure(materials, *words, "--threads", "1"),
        "one process, a thread a core": measure(materials, *words),
        "job, 1 worker": measure(materials, *words, *_job("1", 1)),
        "job, 2 workers": measure(materials, *words, *_job("2", 2)),
        "job, 2 workers of Ray": measure(materials, *words, *_job("r", 2), "--on", "ray"),
    }
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, {count} pictures")
    print("| how | seconds | pictures/s | CPU s a picture | PSS of the workers |")
    print("|---|---:|---:|---:|---:|")
    for how, run in runs.items():
        print(
            f"| {how} | {run.seconds:.1f} | {count / run.working:.2f} "
            f"| {run.cpu / count:.2f} | {run.memory / _MIB:.0f} MiB |"
        )
    alone, paired = runs["job, 1 worker"], runs["job, 2 workers"]
    print(f"two workers: {alone.working / paired.working:.2f} times one")
    print(f"a further worker: {(paired.memory - alone.memory) / _MIB:.0f} MiB of PSS")


def show_large(materials: Materials, side: int) -> None:
    """Map one large picture, and print the table."""
    with Image.open(materials.picture) as picture:
        picture.resize((side, side)).save(materials.folder / "large.jpg")
    words = ["large.jpg", "--size", "image", "--tile", "1024"]
    runs = {
        "one process, 1 thread": measure(materials, *words, "--threads", "1"),
        "job, 1 worker": measure(materials, *words, *_job("large1", 1)),
        "job, 2 workers": measure(materials, *words, *_job("large2", 2)),
    }
    print(f"load {os.getloadavg()[0]:.1f}, one picture of {side} x {side}")
    print("| how | seconds | CPU s | PSS of the workers |")
    print("|---|---:|---:|---:|")
    for how, run in runs.items():
        print(f"| {how} | {run.working:.1f} | {run.cpu:.1f} | {run.memory / _MIB:.0f} MiB |")
    alone, paired = runs["job, 1 worker"], runs["job, 2 workers"]
    print(f"two workers: {alone.working / paired.working:.2f} times one")


def _job(name: str, workers: int) -> list[str]:
    return ["--job", name, "--workers", str(workers), "--threads", "1"]


def measure(materials: Materials, *words: str) -> Measured:
    """Map pictures, with these words of the command."""
    weights = str(materials.dense[1])
    options = [*materials.mapping, "--ignore-config", *words, "--json"]
    command = [str(materials.netsurgery), "classify-map", *options]
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
    return Measured(seconds, cpu, memory, seconds if job is None else _working(job))


def _working(job: Path) -> float:
    """Seconds that all pictures take at the rate of a job's records, by when they were written.

    Of one there is no rate: from the plan on, so with the workers' start.
    """
    times = sorted(path.stat().st_mtime for path in job.glob("parts/*/*.json"))
    if len(times) == 1:
        return times[0] - (job / "plan.json").stat().st_mtime
    return (times[-1] - times[0]) * len(times) / (len(times) - 1)


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
