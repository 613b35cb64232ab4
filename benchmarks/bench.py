"""``make bench``: netsurgery against Caffe and against the machine, in one run.

    python -m benchmarks.bench [--count N] [--small] [--no-caffe] [--folder DIR] [--write FILE]

Prints a Markdown table; with --write it also takes the place of the last one in that document.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.forwards import ROOT
from benchmarks.materials import CAFFENET, SMALL, Materials
from benchmarks.rows import Bench
from benchmarks.table import pasted, table

__all__ = ["main"]

_FIND_CAFFE = "from netsurgery.engines.discovery import locate_caffe; print(locate_caffe())"


def main(words: list[str] | None = None) -> None:
    """Measure, print, and write into the document."""
    asked = _arguments().parse_args(words)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="netsurgery-bench-", dir=asked.folder) as folder:
        materials = Materials(Path(folder), SMALL if asked.small else CAFFENET)
        materials.make()
        bench = Bench(materials, None if asked.no_caffe else find_caffe(), asked.count)
        rows = []
        for row in bench.rows():
            print(f"{row.ratio:>40}  {row.what}", file=sys.stderr, flush=True)
            rows.append(row)
        block = f"{_where(Path(folder), asked.count)}\n\n{table(rows)}"
    print(block)
    print(f"{time.monotonic() - started:.0f} s in all", file=sys.stderr)
    if asked.write is not None:
        asked.write.write_text(pasted(asked.write.read_text(), block))


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench", description="Measure netsurgery.")
    parser.add_argument(
        "--count", type=int, default=5, help="turns a row (more where short), 0: as few as can be"
    )
    parser.add_argument("--small", action="store_true", help="a tiny net: does it run?")
    parser.add_argument("--no-caffe", action="store_true", help="leave real Caffe's rows out")
    parser.add_argument("--folder", type=Path, help="where 3 GB may lie for a while")
    parser.add_argument("--write", type=Path, help="the document that holds the table")
    return parser


def find_caffe() -> str | None:
    """The interpreter that has pycaffe, as netsurgery finds it; None, and said so, without one."""
    done = subprocess.run(
        [sys.executable, "-c", _FIND_CAFFE], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        print(f"no real Caffe, no rows against it: {done.stderr.splitlines()[-1]}", file=sys.stderr)
        return None
    return done.stdout.strip()


def _where(folder: Path, count: int) -> str:
    """One line about this run: day, processor, file system."""
    return (
        f"Measured {datetime.date.today()} on {len(os.sched_getaffinity(0))} cores "
        f"({_processor()}), Python {platform.python_version()}, files on "
        f"{_file_system(folder)} in the page cache. Medians of {max(1, count - 2)} or more "
        "alternating runs."
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(folder: Path) -> str:
    done = subprocess.run(
        ["df", "--output=fstype", folder], capture_output=True, text=True, check=True
    )
    return done.stdout.split()[-1]


if __name__ == "__main__":
    main()
