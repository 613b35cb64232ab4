"""Run a net on a grey picture with one set of weights after another, and draw what comes out.

Usage: show.py PROTOTXT IMAGE PICTURE.png WEIGHTS...
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from netsurgery.engines.contract import EngineOptions
from netsurgery.engines.registry import open_engine

Array = NDArray[np.float32]


def main(prototxt: Path, image: Path, picture: Path, weights: list[Path]) -> None:
    grey = np.asarray(Image.open(image).convert("L"), dtype=np.float32) / np.float32(255)
    rows = []
    with open_engine(EngineOptions(threads=2)) as engine:
        print(f"by {engine.name}")
        for path in weights:
            with engine.load(prototxt, path) as net:
                ((name, _),) = net.inputs.items()
                net.reshape({name: (1, 1, *grey.shape)})
                made = net.forward({name: grey[None, None]}, ["conv"])["conv"][0]
            means = "  ".join(f"{mean:6.2f}" for mean in made.mean(axis=(1, 2)))
            print(f"{path.name:20} {' x '.join(map(str, made.shape))}   means {means}")
            rows.append(row(made))
    Image.fromarray(np.vstack(rows)).save(picture)
    print(f"wrote {picture}")


def row(maps: Array) -> NDArray[np.uint8]:
    """The maps side by side, each from its least value (black) to its greatest (white)."""
    low, high = (end(axis=(1, 2), keepdims=True) for end in (maps.min, maps.max))
    grey = np.round(255 * (maps - low) / np.maximum(high - low, 1e-9)).astype(np.uint8)
    framed = np.pad(grey, ((0, 0), (4, 4), (4, 4)), constant_values=255)
    return np.concatenate(framed, axis=1)


if __name__ == "__main__":
    given = [Path(name) for name in sys.argv[1:]]
    main(given[0], given[1], given[2], given[3:])
