"""How long the picture of a map takes, against the forward that makes the map.

python -m benchmarks.drawing [--engine caffe|embedded]

The net is that of the other benchmarks, of CaffeNet's size, made fully convolutional, at 451x451.
Drawing includes everything: laying the picture out, its pixels, and the file's bytes.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import netsurgery as ns
from benchmarks import materials
from netsurgery.formats.labels import Labels
from netsurgery.maps.heatmap import map_scene
from netsurgery.maps.picture_file import encoded
from netsurgery.maps.raster import to_pixels

__all__ = ["main"]

_TIMES = 15


def _seconds(do: Callable[[], Any]) -> float:
    """The least of several runs, on the clock."""
    times = []
    for _ in range(_TIMES):
        began = time.perf_counter()
        do()
        times.append(time.perf_counter() - began)
    return min(times)


def _row(name: str, mapper: ns.Mapper, picture: Path) -> str:
    size = materials.CAFFENET.mapped
    blob = mapper.source.blob
    data, _ = mapper.transformer.blob(ns.read_picture(picture), (size, size))
    forward = _seconds(lambda: mapper.run(data, [blob]))
    # A map read by nobody has random classes; labels make the picture as full as a real one's.
    mapped = mapper.map(picture, (size, size))
    labels = Labels("labels", tuple(f"n{number:08} a name" for number in range(mapped.classes)))
    mapped = dataclasses.replace(mapped, labels=labels)
    drawn = {
        suffix: _seconds(lambda suffix=suffix: encoded(map_scene(mapped), suffix))  # type: ignore[misc]
        for suffix in (".png", ".jpg")
    }
    pixels = _seconds(lambda: to_pixels(map_scene(mapped)))
    parts = [f"{name:9} forward {forward * 1e3:7.1f} ms", f"pixels {pixels * 1e3:5.1f} ms"]
    parts += [
        f"{suffix} {seconds * 1e3:5.1f} ms ({seconds / forward:.1%} of the forward)"
        for suffix, seconds in drawn.items()
    ]
    return "; ".join(parts)


def main() -> None:
    """Print the forward and the drawing of one map, by each engine there is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=["caffe", "embedded"], action="append")
    engines = parser.parse_args().engine or ["caffe", "embedded"]
    with tempfile.TemporaryDirectory() as folder:
        files = materials.Materials(Path(folder), materials.CAFFENET)
        files.make()
        settings = ns.Settings(*files.dense, mean=(104.0, 116.7, 122.7), raw_scale=255)
        for engine in engines:
            with ns.open_mapper(settings, engine) as mapper:
                print(_row(engine, mapper, files.picture), flush=True)


if __name__ == "__main__":
    main()
