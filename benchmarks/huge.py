"""Pictures larger than the memory: what the map of one takes, whatever its size.

    python -m benchmarks.huge [--folder DIR] [--write DOCUMENT] [SIDE...]

Each row is a process of its own, with one thread, that maps a picture of SIDE x SIDE pixels, by
default of 5,000 to 40,000: the digits of examples/digits_canvas.png side by side, in color. It is
read in strips, and run in the largest tiles that 700 MiB allow; the map is written into a mapped
file. Measured are CPU seconds from when the net is loaded, and the peak of anonymous memory: up to
20,000 it may be 1.1 times that of the first of the sides, beyond it 1 GiB. JPEGs are made to
40,000, PNG and TIFF to 20,000. --write puts the table into a document, and beside it a drawing of
the time per pixel.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.forwards import ROOT
from benchmarks.line_plot import Line, line_plot
from benchmarks.peak import watch_peak
from benchmarks.table import head, line, pasted
from netsurgery.drawing.svg import to_svg

__all__ = ["main", "measure"]

SIDES = (5_000, 10_000, 20_000, 40_000)
#: To what side pictures of each kind are made.
KINDS = {"jpg": 40_000, "png": 20_000, "tif": 20_000}

#: What may be used, which is too little for any of them as a whole; and what is too much.
LIMIT = 700 << 20
MOST_TIMES, MOST = 1.1, 1 << 30

BEGIN = "<!-- make bench-huge writes from here -->"
PLOT = "time_per_pixel.svg"

NET = ROOT / "prototxt/digits_deploy.prototxt", ROOT / "models/digits/digits.caffemodel"


def measure(folder: Path, picture: Path, side: int) -> dict[str, float]:
    """CPU and wall seconds and the peak of anonymous memory in bytes, in this process."""
    import numpy as np

    import netsurgery as ns
    from netsurgery.maps.large_file import open_picture
    from netsurgery.maps.tile_runs import run_tiles
    from netsurgery.net.tiles import Tiling
    from netsurgery.net.tiling import find_tiling

    def mapped(_: str, shape: tuple[int, ...]) -> Any:
        return np.lib.format.open_memmap(folder / "map.npy", "w+", np.float32, shape)

    seen = watch_peak()
    ns.set_max_memory(LIMIT)
    ns.set_max_pixels(side * side)
    options, engine = ns.PictureOptions("image"), ns.EngineOptions("embedded", threads=1)
    with ns.open_mapper(folder / "netsurgery.toml", engine, size=options) as mapper:
        mapper.load()
        source, size = mapper.source, (side, side)
        started, cpu = time.perf_counter(), time.process_time()
        opened = open_picture(picture)
        cutter = mapper.transformer.cutter(opened, size)
        tiling = find_tiling(source.net, source.input.name, source.shape, size, [source.blob])
        assert isinstance(tiling, Tiling)
        loaded = mapper.load()

        def fits(tile: tuple[int, int]) -> bool:
            net = loaded.memory(source.inputs(tile), [source.blob])
            return net + cutter.memory(tile) <= LIMIT

        tile = next(t for t in map(tiling.largest, range(min(side, 4000), 0, -1)) if fits(t))
        plan = tiling.plan(tile)
        run_tiles(plan, cutter.cut, lambda pixels: mapper.run(pixels, [source.blob]), mapped)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    return {"cpu": cpu, "seconds": seconds, "peak": max(seen), "tile": plan.tile[0]}


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


class _Mapped(NamedTuple):
    """What the map of one picture took. first: the peak of memory of the smallest of its kind."""

    kind: str
    side: int
    tile: int
    cpu: float
    peak: float
    first: float

    @property
    def per_pixel(self) -> float:
        """CPU nanoseconds."""
        return 1e9 * self.cpu / self.side**2

    @property
    def good(self) -> bool:
        """Whether it took no more memory than it may."""
        return self.peak <= (MOST if self.side > 20_000 else MOST_TIMES * self.first)

    def cells(self) -> tuple[str, ...]:
        """As under _HEAD."""
        picture = f"{self.kind} {self.side:,} x {self.side:,}"
        memory = f"{self.peak / 2**20:.0f} MiB", f"{self.peak / self.first:.2f}"
        return picture, f"{self.tile}", f"{self.cpu:.1f} s", f"{self.per_pixel:.1f}", *memory


_HEAD = "picture", "tile", "CPU", "CPU, ns a pixel", "anonymous memory", "times the first"


def _mapped(folder: Path, sides: Sequence[int]) -> Iterator[_Mapped]:
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
            yield _Mapped(kind, side, round(result["tile"]), result["cpu"], result["peak"], first)


def _plot(rows: Sequence[_Mapped]) -> str:
    lines = [
        Line(kind, [(row.side, row.per_pixel) for row in rows if row.kind == kind])
        for kind in dict.fromkeys(row.kind for row in rows)
    ]
    return to_svg(line_plot(lines, "CPU nanoseconds a pixel, by the side of the picture"))


def main(words: list[str]) -> int:
    """The table of all pictures; 1 where one takes too much memory."""
    if words[:1] == ["--child"]:
        print(json.dumps(measure(Path(words[1]), Path(words[2]), int(words[3]))))
        return 0
    parser = argparse.ArgumentParser("benchmarks.huge")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--write", type=Path, help="the document that holds the table")
    parser.add_argument("sides", type=int, nargs="*", default=SIDES)
    arguments = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as scratch:
        folder = (arguments.folder or Path(scratch)).resolve()
        convert = [sys.executable, "-m", "netsurgery", "convert", *map(str, NET), "-o", str(folder)]
        options = ["--engine", "embedded", "--force", "-q"]
        subprocess.run([*convert, *options], cwd=ROOT, check=True)
        rows, block = [], head(_HEAD)
        print(block, end="")
        for row in _mapped(folder, arguments.sides):
            print(line(row.cells()), end="", flush=True)
            rows.append(row)
    if arguments.write is not None:
        document: Path = arguments.write
        (document.parent / PLOT).write_text(_plot(rows))
        block += "".join(line(row.cells()) for row in rows)
        block += f"\n![CPU nanoseconds a pixel, by the side of the picture]({PLOT})"
        document.write_text(pasted(document.read_text(), block, BEGIN))
    return 0 if all(row.good for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
