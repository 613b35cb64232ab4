"""What each part of mapping one of many pictures costs beside the forward, in CPU time.

    python -m benchmarks.picture_parts [--small]

The net of CaffeNet's size and the pictures of `make bench`: 500x375, at 451x451, in the embedded
engine. One part after another: medians, of all cores together, with nothing else beside it. --small
tries it with a small net.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import TypeVar

import netsurgery as ns
from benchmarks.materials import CAFFENET, MEAN, SMALL, Materials
from netsurgery.drawing.picture_file import encoded
from netsurgery.maps.heatmap import map_scene
from netsurgery.maps.map_text import whole_text

__all__ = ["main"]

#: Pictures whose maps are made, drawn and written.
_SOME = 20

Given = TypeVar("Given")
Gave = TypeVar("Gave")


def _part(what: str, do: Callable[[Given], Gave], items: Iterable[Given]) -> list[Gave]:
    """Do it to each, print a row, and give what came of it."""
    gave, times = [], []
    for item in items:
        began = time.process_time()
        gave.append(do(item))
        times.append(time.process_time() - began)
    print(f"| {what} | {median(times) * 1e3:.1f} |", flush=True)
    return gave


def main(*words: str) -> None:
    """Print a Markdown table."""
    scale = SMALL if words == ("--small",) else CAFFENET
    size = scale.mapped, scale.mapped
    mean = [float(each) for each in MEAN.split(",")]
    with tempfile.TemporaryDirectory(prefix="netsurgery-bench-") as folder:
        materials = Materials(Path(folder), scale)
        materials.make()
        paths = materials.pictures.read_text().split()
        settings = ns.Settings(*materials.dense, mean=mean, raw_scale=255, channel_swap=[2, 1, 0])
        print("| of one picture | CPU ms |\n| --- | --- |")
        with ns.open_mapper(settings, ns.EngineOptions("embedded")) as mapper:
            mapped = [mapper.map(path, size) for path in paths[:_SOME]]
            pictures = _part("reading the JPEG", ns.read_picture, paths)
            inputs = _part(
                "bringing it to the input's size, and preprocessing",
                lambda picture: mapper.transformer.blob(picture, size)[0],
                pictures,
            )
            blobs = [mapper.source.blob]
            _part("the forward", lambda data: mapper.run(data, blobs), inputs[:_SOME])
        _part("the map as JSON", lambda each: json.dumps(each.to_json()), mapped)
        _part("as text", whole_text, mapped)
        _part("as a picture, PNG", lambda each: encoded(map_scene(each), ".png"), mapped)


if __name__ == "__main__":
    main(*sys.argv[1:])
