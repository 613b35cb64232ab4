"""What finer maps cost: nets that `dense` writes, shift and stitch of the net they are of, scales.

    python -m benchmarks.finer_maps [NET.prototxt] [HxW] [STRIDE...] [--engine caffe] [--rounds 3]

The net, by default one of CaffeNet's size at 451x451 for strides 16 and 8, gets random params where
it has fillers for none. Each map is made with one thread; its CPU time, that of Caffe's process
included, is what a second picture takes more than one alone, each the least of some rounds.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import netsurgery as ns
from benchmarks.materials import CAFFENET, with_fillers

__all__ = ["main"]

SCALES = (0.7, 1.0, 1.4)


def main(words: Sequence[str] | None = None) -> None:
    """A row for each way to a map."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.finer_maps")
    parser.add_argument("words", nargs="*", metavar="NET.prototxt|HxW|STRIDE")
    parser.add_argument("--engine", choices=["embedded", "caffe"], default="embedded")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(words)
    sizes = [word for word in options.words if re.fullmatch(r"\d+x\d+", word)] or ["451x451"]
    strides = [int(word) for word in options.words if word.isdigit()] or [16, 8]
    nets = [word for word in options.words if word not in sizes and not word.isdigit()]
    height, width = map(int, sizes[0].split("x"))
    engine = ns.EngineOptions(options.engine, threads=1)
    with tempfile.TemporaryDirectory() as folder:
        filled, weights = Path(folder) / "net.prototxt", Path(folder) / "net.caffemodel"
        filled.write_text(with_fillers(Path(nets[0] if nets else CAFFENET.prototxt).read_text()))
        ns.init(filled, weights, seed=1)
        paths = ns.convert(
            filled, weights, folder, input_size=(height, width), engine="embedded"
        ).paths
        old = ns.Settings(paths.prototxt, paths.weights)
        costs = _Costs(engine, options.rounds)
        costs.seconds(1, old, {})  # what is imported is no part of it
        print("| what | map | CPU a picture | times the net's own map | of shift and stitch |")
        print("|---|---|---|---|---|")
        own = costs.row("the net's own", old)
        for stride in strides:
            finer = Path(folder) / f"every{stride}.prototxt"
            ns.dense(paths.prototxt, finer, stride=stride)
            stitched = costs.row(f"--stride {stride}", old, own, stride=stride)
            dense = ns.Settings(finer, paths.weights)
            costs.row(f"dense --stride {stride}", dense, own, stitched)
        costs.row(f"--scales {','.join(map(str, SCALES))}", old, own, scales=SCALES)


@dataclass(frozen=True)
class _Costs:
    """Measures and prints ways to a map."""

    engine: ns.EngineOptions
    rounds: int

    def row(
        self,
        what: str,
        settings: ns.Settings,
        own: float | None = None,
        stitched: float | None = None,
        **how: Any,
    ) -> float:
        """A row of the table; the seconds of a picture."""
        measured = [
            [self.seconds(count, settings, how) for count in (1, 2)] for _ in range(self.rounds)
        ]
        alone, both = (min(seconds for seconds, _ in each) for each in zip(*measured, strict=True))
        rows, columns = measured[0][0][1]
        seconds: float = both - alone
        times = "" if own is None else f"{seconds / own:.1f}"
        share = "" if stitched is None else f"{seconds / stitched:.2f}"
        print(f"| {what} | {rows} x {columns} | {seconds:.2f} s | {times} | {share} |", flush=True)
        return seconds

    def seconds(
        self, count: int, settings: ns.Settings, how: dict[str, Any]
    ) -> tuple[float, tuple[int, int]]:
        """CPU time of so many pictures, from the engine's start to its end, and a map's size."""
        picture = np.random.default_rng(0).random((451, 451, 3), np.float32)
        before = _cpu()
        with ns.classify_maps([picture] * count, settings, engine=self.engine, **how) as maps:
            (shape,) = {each.shape for each in maps}
        return _cpu() - before, shape


def _cpu() -> float:
    """CPU time of this process so far, and of those of its children that have ended."""
    now = os.times()
    return now.user + now.system + now.children_user + now.children_system


if __name__ == "__main__":
    main()
