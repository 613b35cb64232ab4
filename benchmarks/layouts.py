"""What it is worth that kernels lie as the processor takes them, in the embedded engine.

    python -m benchmarks.layouts NET.prototxt WEIGHTS.caffemodel HxW [COUNT]

One forward in one thread, CPU time: the first, with all that is done for a net and a size, and the
median of COUNT more. Nets alternate; the last column is the difference to kernels as they lie in
the caffemodel. ONNX Runtime rewrites small ones; large ones are laid out for it, here for each net,
with nothing kept for the next run of this (NETSURGERY_CACHE=none).
"""

from __future__ import annotations

import statistics
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import numpy as np

from netsurgery.engines.contract import EngineOptions, LoadedNet
from netsurgery.engines.ort_kernels import LaidOut
from netsurgery.engines.registry import open_engine
from netsurgery.net import memory

__all__ = ["main"]

#: Which kernels, the bytes up to which they are rewritten, and what is done about others.
_FORMS = {
    "none": (0, lambda self, graph: graph),
    "small": (memory.REWRITTEN, lambda self, graph: graph),
    "all": (memory.REWRITTEN, LaidOut.graph),
}
Array = np.typing.NDArray[np.float32]


def main(prototxt: str, weights: str, size: str, count: str = "7") -> None:
    """Print a Markdown table."""
    height, width = map(int, size.split("x"))
    firsts, nets, results = {}, {}, {}
    with ExitStack() as stack:
        for name, (limit, lay_out) in _FORMS.items():
            engine = stack.enter_context(open_engine(EngineOptions("embedded", threads=1)))
            with patch.object(memory, "REWRITTEN", limit), patch.object(LaidOut, "graph", lay_out):
                start = time.process_time()
                nets[name] = engine.load(Path(prototxt), Path(weights))
                pixels = _pixels(nets[name], height, width)
                results[name] = _run(nets[name], pixels)
                firsts[name] = time.process_time() - start
        turns: dict[str, list[float]] = {name: [] for name in nets}
        for _ in range(int(count)):
            for name, net in nets.items():
                start = time.process_time()
                _run(net, pixels)
                turns[name].append(time.process_time() - start)
    _print(firsts, turns, results)


def _pixels(net: LoadedNet, height: int, width: int) -> Array:
    name, shape = next(iter(net.inputs.items()))
    size = (1, shape[1], height, width)
    net.reshape({name: size})
    return np.random.RandomState(0).uniform(-120, 130, size).astype(np.float32)


def _run(net: LoadedNet, pixels: Array) -> Array:
    blob = list(net.blobs)[-1]
    return net.forward({next(iter(net.inputs)): pixels}, [blob])[blob]


def _print(
    firsts: dict[str, float], turns: dict[str, list[float]], results: dict[str, Array]
) -> None:
    print("| kernels | first, ms | then, ms | of the time | difference |")
    print("|---|---|---|---|---|")
    medians = {name: statistics.median(times) for name, times in turns.items()}
    whole = results["none"]
    for name, median in medians.items():
        ratio = median / medians["none"]
        off = float(np.abs(results[name] - whole).max() / np.abs(whole).max())
        columns = f"{1e3 * firsts[name]:.0f} | {1e3 * median:.0f} | {ratio:.2f} | {off:.0e}"
        print(f"| {name} | {columns} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
