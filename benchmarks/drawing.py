"""How long the picture of a map takes, against the forward that makes the map.

    python -m benchmarks.drawing [NAME...]

CPU time, the embedded engine with one thread, an input of 451x451. Drawing includes everything:
laying the picture out, its pixels, and the file's bytes. No two of the maps drawn show the same
classes, as those of a folder of pictures would not. Names are those of the nets: of CaffeNet's size
and GoogLeNet's, with random weights, and SqueezeNet.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import netsurgery as ns
from benchmarks import tiles
from netsurgery.drawing.picture_file import encoded
from netsurgery.formats.labels import Labels
from netsurgery.maps.heatmap import map_scene

__all__ = ["main"]

_SIZE = (451, 451)
_TIMES = 21
#: No multiple of it is one of a number of classes.
_PRIME = 37


def _seconds(do: Callable[[int], Any]) -> float:
    """The median of several runs, each of which is given its number."""
    times = []
    for run in range(_TIMES):
        began = time.process_time()
        do(run)
        times.append(time.process_time() - began)
    return median(times)


def _cells(name: str, mapper: ns.Mapper, picture: Path) -> list[str]:
    data, _ = mapper.transformer.blob(ns.read_picture(picture), _SIZE)
    forward = _seconds(lambda run: mapper.run(data, [mapper.source.blob]))
    mapped = mapper.map(picture, _SIZE)
    cells = [name, f"{forward * 1e3:.1f} ms"]
    for first, suffix in ((0, ".png"), (_TIMES, ".jpg")):
        maps = [_with_other_classes(mapped, first + run) for run in range(_TIMES)]
        drawn, size = _drawn(maps, suffix)
        cells.append(f"{drawn * 1e3:.1f} ms, {drawn / forward:.1%}, {size / 1e3:.0f} KB")
    return cells


def _drawn(maps: list[ns.ClassMap], suffix: str) -> tuple[float, float]:
    """The medians of the seconds and of the bytes."""
    sizes: list[int] = []
    seconds = _seconds(lambda run: sizes.append(len(encoded(map_scene(maps[run]), suffix))))
    return seconds, median(sizes)


def _with_other_classes(mapped: ns.ClassMap, number: int) -> ns.ClassMap:
    labels = Labels("labels", tuple(f"n{each:08} a name" for each in range(mapped.classes)))
    values = np.roll(mapped.values, _PRIME * number, axis=0)
    return dataclasses.replace(mapped, values=values, labels=labels)


def main(names: list[str]) -> None:
    """A row for each net: the forward, and drawing one map as a PNG and as a JPEG."""
    print("| net, 451x451 | forward | PNG | JPEG |\n|---|---|---|---|")
    picture = tiles.SHARED / "bvlc" / "cat.jpg"
    with tempfile.TemporaryDirectory() as nets:
        for name, files in tiles.originals(Path(nets)).items():
            # A ResNet is not in the table.
            if name in ("digits", "ResNet-50") or (names and name not in names):
                continue
            with tempfile.TemporaryDirectory() as folder:
                settings = ns.Settings(
                    *tiles.dense(Path(folder), *files), mean=(104, 117, 123), raw_scale=255
                )
                engine = ns.EngineOptions("embedded", threads=1)
                with ns.open_mapper(settings, engine) as mapper:
                    print(f"| {' | '.join(_cells(name, mapper, picture))} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
