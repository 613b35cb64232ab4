"""Pictures larger than the memory: what the map of one takes, whatever its size.

    python -m benchmarks.huge [--folder DIR] [SIDE...]

Each row is one classify-map, in a process of its own and one thread, of a picture of SIDE x SIDE
pixels, by default of 5,000 to 40,000: the digits of examples/digits_canvas.png side by side, in
color. It may use 700 MiB, so that the picture is read in strips and run in tiles, and writes the
map (--npy) and a picture of it (--picture). Measured are CPU seconds of the process, and the peak
of anonymous memory: up to 20,000 it may be 1.1 times that of the first of the sides, beyond it 1
GiB. JPEGs are made to 40,000, PNG and TIFF to 20,000.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.forwards import ROOT
from benchmarks.peak import watch_peak

__all__ = ["main", "measure"]

SIDES = (5_000, 10_000, 20_000, 40_000)
#: To what side pictures of each kind are made.
KINDS = {"jpg": 40_000, "png": 20_000, "tif": 20_000}

#: What may be used, which is too little for any of them as a whole; and what is too much.
LIMIT = 700 << 20
MOST_TIMES, MOST = 1.1, 1 << 30

NET = ROOT / "prototxt/digits_deploy.prototxt", ROOT / "models/digits/digits.caffemodel"


def measure(folder: Path, picture: Path, side: int) -> dict[str, float]:
    """CPU seconds and the peak of anonymous memory in bytes, of this process."""
    from netsurgery.cli import run

    seen = watch_peak()
    call = ["classify-map", str(picture), "--size", "image", "--max-pixels", str(side * side)]
    call += [
        "--max-memory",
        f"{LIMIT >> 20}MiB",
        "--engine",
        "embedded",
        "--threads",
        "1",
        "-q",
        "--force",
    ]
    call += ["--npy", str(folder / "map.npy"), "--picture", str(folder / "map.png")]
    os.chdir(folder)
    if run(call):
        sys.exit(1)
    return {"cpu": time.process_time(), "peak": max(seen)}


def _make(folder: Path, side: int, kind: str) -> Path:
    import pyvips

    path = folder / f"{side}.{kind}"
    if not path.exists():
        digits = pyvips.Image.new_from_file(str(ROOT / "examples/digits_canvas.png"))
        copies = side // digits.width + 1, side // digits.height + 1
        options: dict[str, dict[str, Any]] = {
            "jpg": {"Q": 90}, "png": {"compression": 1}, "tif": {"compression": "lzw"}
        }  # fmt: skip
        color = digits.bandjoin([digits.rot180(), digits.invert()]).copy(interpretation="srgb")
        large = color.replicate(*copies).crop(0, 0, side, side)
        large.write_to_file(str(path), **options[kind])
    return path


def _rows(folder: Path, sides: list[int]) -> bool:
    """Print a row for each kind and side; whether all of them are as they should be."""
    good = True
    print("| picture | CPU | CPU, ns a pixel | anonymous memory | times the first |")
    print("|---|---|---|---|---|")
    for kind, last in KINDS.items():
        first = 0.0
        for side in sides:
            if side > last:
                continue
            picture = _make(folder, side, kind)
            command = [sys.executable, "-m", "benchmarks.huge", "--child", str(folder)]
            output = subprocess.run(
                [*command, str(picture), str(side)], cwd=ROOT, stdout=subprocess.PIPE, check=True
            ).stdout
            result = json.loads(output)
            first = first or result["peak"]
            good &= result["peak"] <= (MOST if side > 20_000 else MOST_TIMES * first)
            print(
                f"| {kind} {side:,} x {side:,} | {result['cpu']:.1f} s "
                f"| {1e9 * result['cpu'] / side**2:.1f} | {result['peak'] / 2**20:.0f} MiB "
                f"| {result['peak'] / first:.2f} |",
                flush=True,
            )
    return good


def main(words: list[str]) -> int:
    """The table of all pictures; 1 where one takes too much memory."""
    if words[:1] == ["--child"]:
        print(json.dumps(measure(Path(words[1]), Path(words[2]), int(words[3]))))
        return 0
    parser = argparse.ArgumentParser("benchmarks.huge")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("sides", type=int, nargs="*", default=SIDES)
    arguments = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as scratch:
        folder = (arguments.folder or Path(scratch)).resolve()
        convert = [sys.executable, "-m", "netsurgery", "convert", *map(str, NET), "-o", str(folder)]
        options = ["--engine", "embedded", "--force", "-q"]
        subprocess.run([*convert, *options], cwd=ROOT, check=True)
        return 0 if _rows(folder, list(arguments.sides)) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
