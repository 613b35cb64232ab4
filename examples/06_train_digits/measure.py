"""Print how often the demo net is right on held-out windows, class by class.

    python examples/06_train_digits/measure.py [MODEL.caffemodel]

With Caffe where it is installed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from digits import BACKGROUND, held_out, windows
from numpy.typing import NDArray

import netsurgery as ns

__all__ = ["accuracies", "answers", "held_out_windows"]

REPOSITORY = Path(__file__).parents[2]
DEPLOY = REPOSITORY / "prototxt/digits_deploy.prototxt"
WEIGHTS = REPOSITORY / "models/digits/digits.caffemodel"
SEED = 2


def held_out_windows() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Three windows of every digit held out of training, and a thousand of background."""
    shown, labels = windows(sorted(held_out()), each=3, backgrounds=1000, seed=SEED)
    return shown, labels


def answers(net: ns.Net, shown: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The class that the net gives each window (N x 1 x 32 x 32, uint8), in batches of 256."""
    batches = [shown[start : start + 256] for start in range(0, len(shown), 256)]
    rows = [net.forward(data=batch / 255)["prob"].argmax(axis=1) for batch in batches]
    return np.concatenate(rows)


def accuracies(
    answered: NDArray[np.int64], labels: NDArray[np.int64]
) -> dict[int, tuple[int, int]]:
    """For each class the number of windows it has, and of those answered rightly."""
    return {
        c: (int((labels == c).sum()), int((answered[labels == c] == c).sum()))
        for c in range(BACKGROUND + 1)
    }


def main() -> None:
    """Print the table."""
    weights = Path(sys.argv[1]) if len(sys.argv) > 1 else WEIGHTS
    shown, labels = held_out_windows()
    with ns.Net(DEPLOY, weights) as net:
        right = accuracies(answers(net, shown), labels)
    print("class       windows  right")
    for c, (count, good) in right.items():
        print(f"{'background' if c == BACKGROUND else c:<10}  {count:7}  {good / count:.4f}")
    digits = [pair for c, pair in right.items() if c != BACKGROUND]
    for name, pairs in (("digits", digits), ("all", [*right.values()])):
        count, good = (sum(column) for column in zip(*pairs, strict=True))
        print(f"{name:<10}  {count:7}  {good / count:.4f}")


if __name__ == "__main__":
    main()
