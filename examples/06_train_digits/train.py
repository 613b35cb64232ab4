"""Train the demo net with real Caffe's solver, from scikit-learn's digits.

    python examples/06_train_digits/train.py [--quick] [OUT.caffemodel]

Takes about three minutes; --quick takes a few seconds and trains on less, for a worse net.
scikit-learn is here and Caffe is elsewhere, so the windows go to Caffe's own interpreter in a file.
OUT defaults to digits.caffemodel in the current folder.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from digits import digit_images, held_out, windows

import netsurgery as ns

__all__ = ["train"]

HERE = Path(__file__).resolve().parent
DEPLOY = HERE.parents[1] / "prototxt/digits_deploy.prototxt"
SEED = 1


def train(out: Path, *, quick: bool = False) -> None:
    """Make the windows, run the solver over them and leave the weights at `out`."""
    python = ns.find_caffe().python
    each, backgrounds, steps = (2, 1000, 400) if quick else (16, 10000, 8000)
    learned = [i for i in range(len(digit_images()[0])) if i not in held_out()]
    shown, labels = windows(learned, each=each, backgrounds=backgrounds, seed=SEED)
    print(f"{len(labels)} windows of {len(learned)} digits; {len(held_out())} digits are held out")
    with tempfile.TemporaryDirectory(prefix="digits-") as scratch:
        data = Path(scratch, "windows.npz")
        np.savez(data, windows=shown, labels=labels)
        files = (HERE / "caffe_train.py", HERE / "solver.prototxt", DEPLOY, data, out)
        command = [python, *map(str, files), str(steps)]
        subprocess.run(command, env=caffe_environment(), check=True)
    print(f"wrote {out.name}")


def caffe_environment() -> dict[str, str]:
    """This environment for Caffe's interpreter: nothing that is meant for this one."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment["PYTHONPATH"] = os.environ.get("NETSURGERY_CAFFE_PYTHONPATH", "")
    environment["GLOG_minloglevel"] = "2"
    # How many threads add up a product changes its last bits, and so the whole training.
    return environment | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def main() -> None:
    """Train, and exit with a code that says whether it went well."""
    parser = argparse.ArgumentParser(description="Train the demo net with real Caffe's solver.")
    parser.add_argument("out", nargs="?", type=Path, default=Path("digits.caffemodel"))
    parser.add_argument("--quick", action="store_true", help="a few seconds, for a worse net")
    options = parser.parse_args()
    try:
        train(options.out.absolute(), quick=options.quick)
    except ns.NetsurgeryError as error:
        sys.exit(f"error: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(f"error: Caffe's interpreter exited with {error.returncode}")


if __name__ == "__main__":
    main()
