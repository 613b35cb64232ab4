"""What the machine can do at best, measured: arithmetic, memory, and a start of Python.

python -m benchmarks.limits            prints JSON: multiply_adds and bytes, both a second
python -m benchmarks.limits --small    the same of little work, for trying it
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import numpy as np

__all__ = ["main"]


def fastest(turn: Callable[[], object], count: int = 7) -> float:
    """The shortest of `count` turns, in seconds."""
    times = []
    for _ in range(count):
        started = time.perf_counter()
        turn()
        times.append(time.perf_counter() - started)
    return min(times)


def multiply_adds(side: int) -> float:
    """Multiply-adds a second of a float32 matrix product on all cores, numpy's own BLAS."""
    left, right = np.ones((side, side), np.float32), np.ones((side, side), np.float32)
    product = np.empty_like(left)
    return side**3 / fastest(lambda: np.matmul(left, right, out=product))


def read_bytes(count: int) -> float:
    """Bytes a second that one core reads from memory."""
    data = np.ones(count // 4, np.float32)
    return count / fastest(data.max)


def copied_bytes(count: int) -> float:
    """Bytes a second that one core copies from memory to memory."""
    data = np.ones(count // 8)
    target = np.ones_like(data)
    return count / fastest(lambda: np.copyto(target, data))


def main() -> None:
    """Print the limits as JSON."""
    side, count = (256, 1 << 20) if "--small" in sys.argv[1:] else (2048, 256 << 20)
    limits = {
        "multiply_adds": multiply_adds(side),
        "read": read_bytes(count),
        "copied": copied_bytes(count),
    }
    print(json.dumps(limits))


if __name__ == "__main__":
    main()
