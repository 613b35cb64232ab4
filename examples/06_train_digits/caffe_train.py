"""Train the demo net with Caffe's own solver; runs under the interpreter that has pycaffe.

    python caffe_train.py SOLVER.prototxt DEPLOY.prototxt WINDOWS.npz OUT.caffemodel STEPS

WINDOWS.npz holds `windows` (N x 1 x 32 x 32, uint8) and `labels` (N). Needs numpy and caffe only.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import caffe  # type: ignore[import-not-found]
import numpy as np

SEED = 8


def train(solver_path: str, deploy: str, data: str, out: str, steps: int) -> None:
    """Step the solver over shuffled epochs, then save the weights as the deploy net has them."""
    caffe.set_mode_cpu()
    with np.load(data) as arrays:
        windows, labels = arrays["windows"], arrays["labels"]
    os.chdir(os.path.dirname(solver_path))  # the solver names its net relative to itself
    solver = caffe.get_solver(solver_path)
    inputs, total = solver.net.blobs, min(steps, solver.param.max_iter)
    batches = batch_order(len(labels), len(inputs["label"].data))
    loss = 0.0
    for step in range(total):
        rows = next(batches)
        inputs["data"].data[...] = windows[rows] / np.float32(255)
        inputs["label"].data[...] = labels[rows]
        solver.step(1)
        loss += float(inputs["loss"].data)
        if (step + 1) % 500 == 0:
            print(f"step {step + 1} of {total}: mean loss {loss / 500:.4f}", flush=True)
            loss = 0.0
    save(solver.net, deploy, out)


def batch_order(count: int, size: int) -> Any:
    """Rows of one batch after another, every window once an epoch, in an order that repeats."""
    rng = np.random.RandomState(SEED)
    while True:
        order = rng.permutation(count)
        for start in range(0, count - size + 1, size):
            yield order[start : start + size]


def save(trained: Any, deploy: str, out: str) -> None:
    """Save through the deploy net, so that the file holds no training layer."""
    net = caffe.Net(deploy, caffe.TEST)
    for name, blobs in net.params.items():
        for to, source in zip(blobs, trained.params[name]):  # noqa: B905 (Python 3.9)
            if to.data.shape != source.data.shape:
                raise SystemExit(f"{name}: {source.data.shape} trained, {to.data.shape} deployed")
            to.data[...] = source.data
    net.save(out)


if __name__ == "__main__":
    solver, deploy, windows, out = map(os.path.abspath, sys.argv[1:5])
    train(solver, deploy, windows, out, int(sys.argv[5]))
