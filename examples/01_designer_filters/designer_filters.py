"""Write filters by hand into a net, and look at what they make of a picture.

    python designer_filters.py NET.prototxt PICTURE

Draws filters.png and saves designed.caffemodel in the current folder.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from PIL import Image

import netsurgery as ns


def main(prototxt: str, picture: str) -> None:
    """Run the net with random filters, with a raised bias, and with a blur and two edges."""
    image = np.asarray(Image.open(picture).convert("L")) / 255
    with ns.init(prototxt, seed=1).net as net:
        print("blobs", list(net.blobs), "params", list(net.params))
        random = net.forward(data=image[None, None])["conv"][0]
        net.params["conv"][1][0] = 1
        raised = net.forward()["conv"][0]
        print(f"mean of filter 0: {random[0].mean():.2f}, with a bias of 1: {raised[0].mean():.2f}")

        bell = np.exp(-(np.arange(-2, 3) ** 2) / 2)
        sobel = np.outer([-1, 0, 1], [1, 2, 1])
        net.params["conv"][1][...] = 0
        net.params["conv"][0][0] = np.outer(bell, bell) / bell.sum() ** 2
        net.params["conv"][0][1:] = 0
        net.params["conv"][0][1, 0, 1:-1, 1:-1] = sobel  # edges that lie flat
        net.params["conv"][0][2, 0, 1:-1, 1:-1] = sobel.T  # edges that stand
        designed = net.forward()["conv"][0]
        print("means of blur and edges:", np.round(designed.mean(axis=(1, 2)), 2) + 0.0)
        net.save("designed.caffemodel", force=True)
    Image.fromarray(np.vstack([row(maps) for maps in (random, raised, designed)])).save(
        "filters.png"
    )


def row(maps: Any) -> Any:
    """The maps side by side, each from its least value (black) to its greatest (white)."""
    low, high = maps.min((1, 2), keepdims=True), maps.max((1, 2), keepdims=True)
    shades = np.uint8(255 * (maps - low) / (high - low))
    return np.concatenate(np.pad(shades, ((0, 0), (4, 4), (4, 4)), constant_values=255), axis=1)


if __name__ == "__main__":
    main(*sys.argv[1:])
