"""How long a picture takes to be resized for a net, by its width, and how much memory.

python -m benchmarks.pictures [HEIGHT]
"""

from __future__ import annotations

import subprocess
import sys

__all__ = ["main"]

_POWERS = range(12, 25, 2)
_NET = (227, 227)

#: A picture in a process of its own: the seconds, and the bytes that were needed beside it.
_SCRIPT = """\
import resource, sys, time
import numpy as np
from netsurgery.maps.resize import resize

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

height, width, *net = map(int, sys.argv[1:])
resize(np.arange(12, dtype=np.uint8).reshape(1, 4, 3), (8, 2))
pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
before, times = peak(), []
for _ in range(3):
    began = time.process_time()
    resize(pixels, tuple(net))
    times.append(time.process_time() - began)
print(min(times), peak() - before)
"""


def _measured(height: int, width: int) -> tuple[float, int]:
    words = [sys.executable, "-c", _SCRIPT, *map(str, (height, width, *_NET))]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    seconds, extra = done.stdout.split()
    return float(seconds), int(extra)


def main() -> None:
    """Print seconds, nanoseconds a pixel, and memory beside the picture, by its width."""
    height = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    print(f"pictures {height} high, RGB, to {_NET[0]}x{_NET[1]}")
    print("  width   seconds   ns/pixel   picture, MiB   beside it, MiB")
    for width in (1 << power for power in _POWERS):
        if height * width > 1 << 27:
            break
        seconds, extra = _measured(height, width)
        each, mib = seconds / (height * width) * 1e9, height * width * 3 / 2**20
        print(f"{width:8} {seconds:8.3f} {each:10.1f} {mib:14.2f} {extra / 2**20:16.1f}")


if __name__ == "__main__":
    main()
