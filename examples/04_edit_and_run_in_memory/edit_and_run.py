"""Find out which filters the classifier can do without, and cut those off.

    python edit_and_run.py

Each filter of the first layer is set to zero in turn and the net is run: nothing is written until
the last lines, which save a smaller net in the current folder.
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
    """Print how many answers each filter changes, and what is left without the least of them."""
    sheet = np.asarray(Image.open(ROOT / "examples/digits_canvas.png")) / 255
    windows = np.lib.stride_tricks.sliding_window_view(sheet, (32, 32))[::8, ::8]

    with ns.Net(NET, MODEL) as net:
        before = net.forward(data=windows.reshape(-1, 1, 32, 32))["prob"].argmax(axis=1)
        weights, bias = net.params["conv1"]
        changes = []
        for number in range(len(weights)):
            saved = weights[number].copy(), bias[number].copy()
            weights[number], bias[number] = 0, 0
            changes.append(np.count_nonzero(net.forward()["prob"].argmax(axis=1) != before))
            weights[number], bias[number] = saved
        print("answers that change without each filter:", *changes)
        print("nothing is changed afterwards:", net.changed() == [])

    least = sorted(np.argsort(changes)[:4])
    cut = ns.edit(NET, MODEL, f"outputs:conv1:drop={','.join(map(str, least))}")
    with cut.net as smaller:
        after = smaller.forward(data=windows.reshape(-1, 1, 32, 32))["prob"].argmax(axis=1)
        print(f"{len(least)} filters cut off: conv1 is {smaller.params['conv1'][0].shape}, "
              f"{np.count_nonzero(after != before)} of {len(before)} answers change")  # fmt: skip
    print("saved", *cut.save("smaller.caffemodel", force=True))


if __name__ == "__main__":
    main()
