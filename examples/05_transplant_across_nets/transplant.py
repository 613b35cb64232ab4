"""Put the params of one net into another, and see that they do there what they did.

    python transplant.py

The other net has other layer names, and one class less: background. Writes ten.caffemodel into the
current folder.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

import netsurgery as ns

ROOT = Path(__file__).resolve().parents[2]
NET = ROOT / "prototxt/digits_deploy.prototxt"
MODEL = ROOT / "models/digits/digits.caffemodel"
TEN = Path(__file__).with_name("ten_deploy.prototxt")


def main() -> None:
    """Transplant by name, slice the last layer, and compare the two nets' answers."""
    net, blank = ns.Net(NET, MODEL), ns.init(TEN).net
    names = {"ip1": "hidden", "ip2": "digit"}
    transplantation = ns.transplant(net, blank, names=names, cut=True, strict=True)
    print(transplantation)

    sheet = np.asarray(Image.open(ROOT / "examples/digits_canvas.png")) / 255
    windows = np.lib.stride_tricks.sliding_window_view(sheet, (32, 32))[::8, ::8]
    batch = windows.reshape(-1, 1, 32, 32)
    before = net.forward(data=batch, blobs=["pool3", "ip2"])
    after = transplantation.net.forward(data=batch, blobs=["pool3", "digit"])
    print("the same features:", np.array_equal(before["pool3"], after["pool3"]))
    apart = np.abs(before["ip2"][:, :10] - after["digit"]).max()
    print("the same ten scores, to 1e-4:", apart < 1e-4)
    transplantation.save("ten.caffemodel", force=True)


if __name__ == "__main__":
    main()
