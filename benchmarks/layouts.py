"""What it is worth to rewrite the layout of kernels up to some size, in the embedded engine.

    python -m benchmarks.layouts NET.prototxt WEIGHTS.caffemodel HxW [COUNT]

One forward in one thread, CPU time: the first, with all that is done for a net and a size, and the
median of COUNT more. Limits alternate; the last column is the difference to no rewriting at all.
"""

from __future__ import annotations

import statistics
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from netsurgery.engines.contract import EngineOptions, LoadedNet
from netsurgery.engines.registry import open_engine
from netsurgery.net import memory

__all__ = ["main"]

_MIB = 1 << 20
_LIMITS = {"nothing": 0, "1 MiB": _MIB, "4 MiB": 4 * _MIB, "10 MiB": 10 * _MIB, "all": 1 << 62}
Array = np.typing.NDArray[np.float32]


def main(prototxt: str, weights: str, size: str, count: str = "7") -> None:
    """Print a Markdown table."""
    height, width = map(int, size.split("x"))
    own, firsts, nets, results = memory.REWRITTEN, {}, {}, {}
    with ExitStack() as stack:
        for name, limit in _LIMITS.items():
            memory.REWRITTEN = limit
            engine = stack.enter_context(open_engine(EngineOptions("embedded", threads=1)))
            start = time.process_time()
            nets[name] = engine.load(Path(prototxt), Path(weights))
            pixels = _pixels(nets[name], height, width)
            results[name] = _run(nets[name], pixels)
            firsts[name] = time.process_time() - start
        memory.REWRITTEN = own
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
    print("| rewritten up to | first, ms | then, ms | of the time | difference |")
    print("|---|---|---|---|---|")
    medians = {name: statistics.median(times) for name, times in turns.items()}
    whole = results["nothing"]
    for name, median in medians.items():
        ratio = median / medians["nothing"]
        off = float(np.abs(results[name] - whole).max() / np.abs(whole).max())
        columns = f"{1e3 * firsts[name]:.0f} | {1e3 * median:.0f} | {ratio:.2f} | {off:.0e}"
        print(f"| {name} | {columns} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
