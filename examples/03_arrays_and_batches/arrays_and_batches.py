"""Run the classifier on arrays: one window, all windows of a picture in batches, many pictures.

python arrays_and_batches.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

import netsurgery as ns

ROOT = Path(__file__).resolve().parents[2]
NET = ROOT / "prototxt/digits_deploy.prototxt"
MODEL = ROOT / "models/digits/digits.caffemodel"


def main() -> None:
    """Print what comes out, and that windows and map agree."""
    sheet = np.asarray(Image.open(ROOT / "examples/digits_canvas.png"))  # 192 x 288, uint8
    windows = np.lib.stride_tricks.sliding_window_view(sheet, (32, 32))[::8, ::8]
    rows, columns = windows.shape[:2]
    batch = windows.reshape(-1, 1, 32, 32) / 255  # N x C x H x W, 0 to 1 as the net was trained

    with ns.Net(NET, MODEL) as net:
        # One window: the outputs come as a dictionary, and any other blob that is named.
        results = net.forward(data=batch[:1], blobs=["pool3"])
        print({name: array.shape for name, array in results.items()})

        # All of them, 100 at a time: the net is reshaped to what it is given.
        answers = [net.forward(data=batch[n : n + 100])["prob"] for n in range(0, len(batch), 100)]
        classes = np.concatenate(answers).argmax(axis=1).reshape(rows, columns)
        print(f"{len(batch)} windows, {np.count_nonzero(classes < 10)} of them show a digit")

    # The converted net, which no file holds, sees every window at once.
    with ns.convert(NET, MODEL).net as full_conv:
        class_map = ns.classify_map(sheet, net=full_conv, size="image")
        print("the map is the same:", np.array_equal(class_map.argmax(), classes))

        # Many pictures: mapped one after another, the net loaded once.
        pictures = (np.rot90(sheet, turns) for turns in range(4))
        for class_map in ns.classify_maps(pictures, net=full_conv, size="image"):
            rows, columns = class_map.shape
            digits = np.count_nonzero(class_map.argmax() < 10)
            print(f"a map of {rows} x {columns} cells, {digits} show a digit")


if __name__ == "__main__":
    main()
