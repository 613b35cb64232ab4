"""What it saves that each thread runs the net on a picture of its own, where many are mapped.

    python -m benchmarks.at_once [PICTURES [TURNS]]

`classify_maps` of so many pictures of 500 x 375 with a net of CaffeNet's size and random weights,
at 451 x 451, in the embedded engine: as it is, and with all threads at work on one picture. Both
ways alternate, each with a net loaded again, and must give the same bits, which is checked. Medians
of TURNS are printed.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path

import netsurgery as ns
from benchmarks.materials import CAFFENET, Materials
from netsurgery.maps import ahead

__all__ = ["main"]

#: More pictures than there will be.
_NEVER = 1 << 40


def main(pictures: str = "100", turns: str = "3") -> None:
    """Print a Markdown table."""
    ways = {"a run of the net at a time": _NEVER, "a run in each thread": ahead._WORTH}
    spent: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory(prefix="netsurgery-bench-") as folder:
        materials = Materials(Path(folder), CAFFENET)
        materials.make()
        listed = materials.pictures.read_text(encoding="utf-8").splitlines()[: int(pictures)]
        seen = set()
        for turn in range(int(turns) + 1):
            for way, worth in ways.items():
                ahead._WORTH = worth
                bits, *took = _map(materials, [Path(name) for name in listed])
                seen.add(bits)
                if turn:  # the first reads the files
                    spent[way].append((took[0] / len(listed), took[1] / len(listed)))
    if len(seen) != 1:
        raise SystemExit("the bits differ")
    print("| of one picture | ms | CPU ms |\n|---|---|---|")
    for way, each in spent.items():
        ms = " | ".join(
            f"{statistics.median(times) * 1e3:.0f}" for times in zip(*each, strict=True)
        )
        print(f"| {way} | {ms} |")


def _map(materials: Materials, pictures: list[Path]) -> tuple[str, float, float]:
    """A checksum of the maps, and how long they took, in seconds and CPU seconds."""
    settings = ns.Settings(*materials.dense)
    bits, began, cpu = sha256(), time.perf_counter(), time.process_time()
    for mapped in ns.classify_maps(pictures, settings, engine="embedded"):
        bits.update(mapped.values.tobytes())
    return bits.hexdigest(), time.perf_counter() - began, time.process_time() - cpu


if __name__ == "__main__":
    main(*sys.argv[1:])
