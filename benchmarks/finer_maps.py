"""What finer maps cost: a net that `dense` writes, against shift and stitch of the net it is of.

    python -m benchmarks.finer_maps [NET.prototxt] [HxW] [STRIDE...]

The net, by default one of CaffeNet's size at 451x451 for strides 16 and 8, gets random params where
it has fillers for none. Both ways are run in this process by the embedded engine with one thread,
each once before it is measured; the CPU time of a map is a share of that by shift and stitch.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import netsurgery as ns
from benchmarks.materials import CAFFENET, with_fillers

__all__ = ["main"]


def main(words: list[str]) -> None:
    """A row for each stride."""
    sizes = [word for word in words if re.fullmatch(r"\d+x\d+", word)] or ["451x451"]
    strides = [int(word) for word in words if word.isdigit()] or [16, 8]
    nets = [word for word in words if word not in sizes and not word.isdigit()]
    height, width = map(int, sizes[0].split("x"))
    with tempfile.TemporaryDirectory() as folder:
        filled, weights = Path(folder) / "net.prototxt", Path(folder) / "net.caffemodel"
        filled.write_text(with_fillers(Path(nets[0] if nets else CAFFENET.prototxt).read_text()))
        ns.init(filled, weights, seed=1)
        with ns.convert(filled, weights, input_size=(height, width)).net as old:
            print("| stride | map | dense | shift and stitch | share |\n|---|---|---|---|---|")
            for stride in strides:
                _row(old, stride)


def _row(old: ns.Net, stride: int) -> None:
    shape = old.blobs[old.inputs[0]].shape
    assert shape is not None
    picture = np.random.default_rng(0).random((*shape[2:], shape[1]), np.float32)
    engine = ns.EngineOptions("embedded", threads=1)
    with ns.dense(old, stride=stride).net as finer:
        dense, class_map = _seconds(
            lambda: ns.classify_maps([picture] * 2, net=finer, engine=engine)
        )
    stitched, _ = _seconds(
        lambda: ns.classify_maps([picture] * 2, net=old, stride=stride, engine=engine)
    )
    rows, columns = class_map.shape
    share = dense / stitched
    print(f"| {stride} | {rows} x {columns} | {dense:.2f} s | {stitched:.2f} s | {share:.2f} |")


def _seconds(maps: Callable[[], ns.ClassMaps]) -> tuple[float, ns.ClassMap]:
    """CPU time of the second map, behind the first."""
    with maps() as both:
        results = iter(both)
        next(results)
        before = time.process_time()
        class_map = next(results)
        return time.process_time() - before, class_map


if __name__ == "__main__":
    main(sys.argv[1:])
