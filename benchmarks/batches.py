"""What a batch saves: eight inputs at once against one by one, in CPU time; and if bits differ.

    python -m benchmarks.batches [TURNS]

The embedded engine with one thread, inputs of random numbers. Both ways alternate; medians of TURNS
are printed. SqueezeNet has its real weights, where they lie beside this repository, CaffeNet's size
random ones.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import tiles
from netsurgery.engines.contract import EngineOptions
from netsurgery.engines.registry import open_engine

if TYPE_CHECKING:
    from netsurgery.engines.contract import LoadedNet

    Array = np.typing.NDArray[np.float32]

__all__ = ["main"]

_BATCH = 8


def main(turns: str = "5") -> None:
    """Print a Markdown table."""
    print("| net | ms a picture, one by one | as a batch | the same bits |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, files, side in _nets(Path(folder)):
            with open_engine(EngineOptions("embedded", threads=1)) as engine:
                _print(name, engine.load(*files), side, int(turns))


def _nets(folder: Path) -> Iterator[tuple[str, tiles.Files, int | None]]:
    """Names, nets, and the side of the input; None for the net's own."""
    originals = tiles.originals(folder)
    for name in ("CaffeNet's size", "SqueezeNet", "digits"):
        if name not in originals:
            continue
        prototxt, weights = originals[name]
        own = folder / name.split("'")[0]
        own.mkdir()
        converted = tiles.dense(own, prototxt, weights)
        if name != "digits":
            yield f"{name}, converted,", converted, 451
            yield f"{name}, converted,", converted, 227
        if name != "SqueezeNet":  # it has no InnerProduct layers
            before = prototxt, weights or own / "filled.caffemodel"
            yield f"{name} as it was, with InnerProduct layers,", before, None


def _print(name: str, net: LoadedNet, side: int | None, turns: int) -> None:
    (start, shape), *_ = net.inputs.items()
    side = side or shape[2]
    random = np.random.default_rng(0)
    batch = random.normal(0, 50, (_BATCH, shape[1], side, side)).astype(np.float32)
    spent: tuple[list[float], list[float]] = ([], [])
    for turn in range(turns + 1):
        singles, alone = _run(net, start, np.split(batch, _BATCH))
        joined, together = _run(net, start, [batch])
        if turn:  # the first allocates
            spent[0].append(alone)
            spent[1].append(together)
    unlike = float((singles != joined).mean())
    ms = " | ".join(f"{median(each) / _BATCH * 1e3:.2f}" for each in spent)
    largest = np.abs(singles - joined).max() / np.abs(singles).max()
    apart = f"no: {unlike:.0%} of the numbers, to {largest:.1g} of the largest"
    print(f"| {name} at {side} x {side} | {ms} | {apart if unlike else 'yes'} |", flush=True)


def _run(net: LoadedNet, start: str, inputs: list[Array]) -> tuple[Array, float]:
    net.reshape({start: inputs[0].shape})
    blob = list(net.blobs)[-1]
    began = time.process_time()
    outputs = [net.forward({start: each}, [blob])[blob] for each in inputs]
    return np.concatenate(outputs), time.process_time() - began


if __name__ == "__main__":
    main(*sys.argv[1:])
