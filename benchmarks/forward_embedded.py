"""Forwards of one net in the embedded engine; what forward_caffe.py is for pycaffe.

python -m benchmarks.forward_embedded NET.prototxt MODEL.caffemodel N,C,H,W
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from netsurgery.engines.contract import EngineOptions
from netsurgery.engines.registry import open_engine

__all__ = ["main"]


def main(prototxt: str, model: str, sizes: str) -> None:
    """Answer each number on standard input with the seconds that so many forwards took."""
    shape = tuple(int(size) for size in sizes.split(","))
    pixels = np.random.RandomState(0).uniform(-120, 130, shape).astype(np.float32)
    with open_engine(EngineOptions("embedded")) as engine:
        net = engine.load(Path(prototxt), Path(model))
        net.reshape({"data": shape})
        print("ready", flush=True)
        for line in sys.stdin:
            started = time.perf_counter()
            for _ in range(int(line)):
                net.forward({"data": pixels}, ["prob"])
            print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
