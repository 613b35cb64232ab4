"""What the threads of a forward cost beside the arithmetic: CPU time of several ways to run a net.

    python -m benchmarks.waiting [COUNT]

A net of CaffeNet's size with random weights, 451x451, in the embedded engine: by how long a thread
waits busily for the next layer, and two forwards at a time of one thread each. Ways alternate,
COUNT turns of each, and medians are printed: CPU time means something on a busy machine, too. All
of them must give the same bits, which is checked.
"""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from benchmarks.materials import CAFFENET, Materials
from netsurgery.engines import ort_session
from netsurgery.engines.contract import EngineOptions
from netsurgery.engines.registry import open_engine

__all__ = ["main"]

#: Forwards of a turn.
_FORWARDS = 4
#: What a thread waits by ONNX Runtime's own choice: it does not look at a negative number.
_OWN = -1
_SHAPE = (1, 3, CAFFENET.mapped, CAFFENET.mapped)

Array = np.typing.NDArray[np.float32]
#: Runs so many forwards and gives the last map.
Turn = Callable[[int], Array]


def main(count: str = "5") -> None:
    """Print a Markdown table."""
    with tempfile.TemporaryDirectory(prefix="netsurgery-bench-") as folder, ExitStack() as stack:
        materials = Materials(Path(folder), CAFFENET)
        materials.make()
        turns = {
            "waiting busily as ONNX Runtime does": _turn(stack, materials, _OWN),
            **{
                f"waiting busily for {spin} us": _turn(stack, materials, spin)
                for spin in (0, 200, ort_session.SPIN)
            },
            "two forwards at a time, one thread each": _two(stack, materials),
        }
        _print(turns, int(count))


def _turn(stack: ExitStack, materials: Materials, spin: int, threads: int = 2) -> Turn:
    pixels = np.random.RandomState(0).uniform(-120, 130, _SHAPE).astype(np.float32)
    ort_session.SPIN, own = spin, ort_session.SPIN
    engine = stack.enter_context(open_engine(EngineOptions("embedded", threads=threads)))
    net = engine.load(*materials.dense)
    net.reshape({"data": _SHAPE})
    net.forward({"data": pixels}, ["prob"])
    ort_session.SPIN = own

    def turn(count: int) -> Array:
        for _ in range(count):
            result = net.forward({"data": pixels}, ["prob"])["prob"]
        return result

    return turn


def _two(stack: ExitStack, materials: Materials) -> Turn:
    pool = stack.enter_context(ThreadPoolExecutor(2))
    nets = [_turn(stack, materials, ort_session.SPIN, threads=1) for _ in range(2)]

    def turn(count: int) -> Array:
        first: Array
        first, _ = pool.map(lambda net: net(count // 2), nets)
        return first

    return turn


def _print(turns: Mapping[str, Turn], count: int) -> None:
    first, *results = (turn(2) for turn in turns.values())
    if not all(np.array_equal(first, result) for result in results):
        sys.exit("not the same bits")
    spent: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(count):
        for name, turn in turns.items():
            before = _cpu()
            turn(_FORWARDS)
            spent[name].append((_cpu() - before) / _FORWARDS)
    medians = {name: statistics.median(times) for name, times in spent.items()}
    base = next(iter(medians.values()))
    print("| a forward | CPU ms | times the first |\n|---|---|---|")
    for name, median in medians.items():
        print(f"| {name} | {1000 * median:.0f} | {median / base:.2f} |")


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main(*sys.argv[1:])
