"""``make bench-gpu``: the embedded engine on a GPU against the same engine on the CPU.

    python -m benchmarks.gpu [--gpu N] [--small] [--write FILE]

One picture, batches, and a map in tiles, with a net of CaffeNet's size: how long a run takes on
either, and by how much their numbers differ at most, as a part of the largest. Prints a Markdown
table, which with --write also takes the place of the last one in that document. It fails where
numbers differ by more than 1e-4. Without a GPU, or an ONNX Runtime that can use one, it says so in
a line and writes nothing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

import netsurgery as ns
from benchmarks.materials import CAFFENET, SMALL, Materials
from benchmarks.table import head, line, pasted, seconds
from netsurgery.engines.contract import EngineOptions
from netsurgery.engines.registry import open_engine
from netsurgery.errors import EngineError

__all__ = ["BEGIN", "Compared", "compare", "main", "missing"]

BEGIN = "<!-- make bench-gpu writes from here -->"
#: How much numbers may differ, as a part of the largest.
_BOUND = 1e-4
#: Runs that a time is the median of, after one that is not counted.
_RUNS = 5
_HEAD = ("what", "CPU", "GPU", "times faster", "largest difference")
_CPU = EngineOptions("embedded")

Array = np.typing.NDArray[np.float32]


class Compared(NamedTuple):
    """One thing that was run on both: seconds, and the largest difference."""

    what: str
    cpu: float
    gpu: float
    difference: float

    def cells(self) -> tuple[str, ...]:
        """The cells of its row."""
        ratio = f"{self.cpu / self.gpu:.3g}"
        return self.what, seconds(self.cpu), seconds(self.gpu), ratio, f"{self.difference:.1e}"


def main(words: list[str] | None = None) -> None:
    """Measure, print, and write into the document."""
    asked = _arguments().parse_args(words)
    options = replace(_CPU, gpu=asked.gpu)
    why_not = missing(options)
    if why_not is not None:
        print(f"nothing measured, no GPU: {why_not}")
        return
    rows = []
    with tempfile.TemporaryDirectory(prefix="netsurgery-bench-") as folder:
        materials = Materials(Path(folder), SMALL if asked.small else CAFFENET)
        materials.make()
        for row in compare(materials, options):
            print(*row.cells(), sep="  ", file=sys.stderr, flush=True)
            rows.append(row)
    block = _table(rows, open_engine(options).description)
    print(block)
    if asked.write is not None:
        asked.write.write_text(pasted(asked.write.read_text(), block, BEGIN))
    if max(row.difference for row in rows) > _BOUND:
        sys.exit(f"numbers differ by more than {_BOUND:g} of the largest")


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gpu", description="Measure netsurgery on a GPU.")
    parser.add_argument("--gpu", type=int, default=0, help="its number")
    parser.add_argument("--small", action="store_true", help="a tiny net: does it run?")
    parser.add_argument("--write", type=Path, help="the document that holds the table")
    return parser


def missing(options: EngineOptions) -> str | None:
    """Why the bundled net cannot be run with these options; None where it can."""
    files = Path("prototxt/digits_deploy.prototxt"), Path("models/digits/digits.caffemodel")
    try:
        with open_engine(options) as engine, engine.load(*files) as net:
            net.forward({}, [list(net.blobs)[-1]])
    except EngineError as error:
        return str(error)
    return None


def compare(materials: Materials, device: EngineOptions) -> Iterator[Compared]:
    """Each row, as it is measured: what the CPU takes, and what `device` does."""
    side, window = materials.scale.mapped, materials.scale.window
    for net, size, batch in (
        (materials.dense, side, 1),
        (materials.dense, side, 8),
        (materials.classifier, window, 1),
        (materials.classifier, window, 64),
    ):
        shape = batch, 3, size, size
        what = f"{'one picture' if batch == 1 else f'a batch of {batch}'} at {size}x{size}"
        yield _compared(what, lambda how, net=net, shape=shape: _forward(net, shape, how), device)  # type: ignore[misc]
    # Tiles of the GPU against the whole of the CPU.
    tile = 2 * side
    yield _compared(
        f"a picture at {3 * side}x{3 * side}, on the GPU in tiles of at most {tile} a side",
        lambda how: _map(materials, "none" if how is _CPU else tile, how),
        device,
    )


def _compared(
    what: str, run: Callable[[EngineOptions], tuple[float, Array]], device: EngineOptions
) -> Compared:
    (cpu, expected), (gpu, values) = run(_CPU), run(device)
    difference = np.abs(values - expected).max() / np.abs(expected).max()
    return Compared(what, cpu, gpu, float(difference))


def _forward(
    net: tuple[Path, Path], shape: tuple[int, ...], how: EngineOptions
) -> tuple[float, Array]:
    pixels = np.random.RandomState(0).uniform(-120, 130, shape).astype(np.float32)
    with open_engine(how) as engine, engine.load(*net) as loaded:
        loaded.reshape({"data": shape})
        return _timed(lambda: loaded.forward({"data": pixels}, ["prob"])["prob"])


def _map(materials: Materials, tile: int | str, how: EngineOptions) -> tuple[float, Array]:
    side = 3 * materials.scale.mapped
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    settings = ns.Settings(*materials.dense)
    size = ns.PictureOptions("image", tile=tile)  # type: ignore[arg-type]
    with ns.open_mapper(settings, how, size=size) as mapper:
        return _timed(lambda: np.array(mapper.map(pixels).values))


def _timed(run: Callable[[], Array]) -> tuple[float, Array]:
    values, times = run(), []
    for _ in range(_RUNS):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return float(np.median(times)), values


def _table(rows: list[Compared], engine: str) -> str:
    text = (head(_HEAD) + "".join(line(row.cells()) for row in rows)).rstrip()
    return f"Measured with {engine}, {_device()}; medians of {_RUNS} runs.\n\n{text}"


def _device() -> str:
    """What the driver says the first GPU is."""
    for file in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        for said in file.read_text().splitlines():
            if said.startswith("Model:"):
                return said.partition(":")[2].strip()
    return "an unnamed GPU"


if __name__ == "__main__":
    main()
