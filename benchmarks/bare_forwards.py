"""Forwards of one net in the embedded engine, one after another, and nothing else.

python -m benchmarks.bare_forwards NET.prototxt MODEL.caffemodel N,C,H,W COUNT
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from netsurgery.engines.contract import EngineOptions
from netsurgery.engines.registry import open_engine

__all__ = ["main"]


def main(prototxt: str, model: str, sizes: str, count: str) -> None:
    """Load the net and run it so many times over one input."""
    shape = tuple(int(size) for size in sizes.split(","))
    pixels = np.random.RandomState(0).uniform(-120, 130, shape).astype(np.float32)
    with open_engine(EngineOptions("embedded")) as engine:
        net = engine.load(Path(prototxt), Path(model))
        net.reshape({"data": shape})
        for _ in range(int(count)):
            net.forward({"data": pixels}, ["prob"])


if __name__ == "__main__":
    main(*sys.argv[1:])
