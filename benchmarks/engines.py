"""The same command under both engines: `python -m benchmarks.engines [--count N] [--folder DIR]`.

Prints a Markdown table of whole processes, in alternating runs, for a net of CaffeNet's sizes.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.bench import find_caffe
from benchmarks.materials import CAFFENET, SMALL, Materials
from benchmarks.measure import Run, alternate, run

__all__ = ["main"]

_ENGINES = ("embedded", "caffe")


def main(words: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="engines", description=__doc__)
    parser.add_argument("--count", type=int, default=5, help="turns a command, 0: as few as can be")
    parser.add_argument("--small", action="store_true", help="a tiny net: does it run?")
    parser.add_argument("--folder", type=Path, help="where 1 GB may lie for a while")
    asked = parser.parse_args(words)
    caffe = find_caffe()
    if caffe is None:
        return
    with tempfile.TemporaryDirectory(prefix="netsurgery-bench-", dir=asked.folder) as folder:
        materials = Materials(Path(folder), SMALL if asked.small else CAFFENET)
        materials.make()
        print("| command | embedded | caffe | ratio |\n| --- | --- | --- | --- |")
        for name, command in _commands(materials):
            ours, theirs = _seconds(materials, command, caffe, asked.count)
            print(f"| {name} | {ours:.2f} s | {theirs:.2f} s | {theirs / ours:.1f} |", flush=True)


def _commands(materials: Materials) -> Iterator[tuple[str, list[str | Path]]]:
    prototxt, weights = materials.dense
    model: list[str | Path] = ["--prototxt", prototxt, "--weights", weights]
    out = (materials.folder / "out.prototxt", materials.folder / "out.caffemodel")
    convert = materials.converting(materials.classifier, out)
    yield "`convert`", [*convert[: convert.index("--engine")], "-q", "--force"]
    mapped = ["classify-map", materials.picture, *model, "-q"]
    yield "`classify-map`, one picture", mapped
    yield "`classify-map`, 20 pictures", ["classify-map", *[materials.picture] * 20, *model, "-q"]
    features = [*model, "--blob", "pool2", "-o", materials.folder / "f.npy", "-q", "--force"]
    yield "`features`, pool2 of one picture", ["features", materials.picture, *features]


def _seconds(
    materials: Materials, command: list[str | Path], caffe: str, count: int
) -> tuple[float, ...]:
    def turn(engine: str) -> Run:
        which = ["--caffe-python", caffe] if engine == "caffe" else []
        words = [materials.netsurgery, *command, "--engine", engine, *which]
        return run(words, materials.folder, materials.environment)

    turns = [lambda engine=engine: turn(engine) for engine in _ENGINES]
    return tuple(summary.seconds for summary in alternate(turns, count))


if __name__ == "__main__":
    main()
