"""Train the demo net with real Caffe's solver, from scikit-learn's digits.

    python examples/train_digits/train.py [OUT.caffemodel]

Takes about three minutes. scikit-learn is here and Caffe is elsewhere, so the windows go to
Caffe's own interpreter in a file. OUT defaults to digits.caffemodel in the current folder.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from digits import digit_images, held_out, windows  # type: ignore[import-not-found]

from netsurgery.engines.discovery import locate_caffe
from netsurgery.engines.probing import guest_environment
from netsurgery.errors import NetsurgeryError

__all__ = ["train"]

HERE = Path(__file__).resolve().parent
DEPLOY = HERE.parents[1] / "prototxt/digits_deploy.prototxt"
SEED = 1


def train(out: Path) -> None:
    """Make the windows, run the solver over them and leave the weights at `out`."""
    python = locate_caffe()
    kept = held_out()
    learned = [i for i in range(len(digit_images()[0])) if i not in kept]
    shown, labels = windows(learned, each=16, backgrounds=10000, seed=SEED)
    print(f"{len(labels)} windows of {len(learned)} digits; {len(kept)} digits are held out")
    with tempfile.TemporaryDirectory(prefix="digits-") as scratch:
        data = Path(scratch, "windows.npz")
        np.savez(data, windows=shown, labels=labels)
        files = (HERE / "caffe_train.py", HERE / "solver.prototxt", DEPLOY, data, out)
        command = [python, *map(str, files)]
        # How many threads add up a product changes its last bits, and so the whole training.
        environment = guest_environment() | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        subprocess.run(command, env=environment, check=True)
    print(f"wrote {out}")


def main() -> None:
    """Train, and exit with a code that says whether it went well."""
    try:
        train(Path(sys.argv[1] if len(sys.argv) > 1 else "digits.caffemodel").absolute())
    except NetsurgeryError as error:
        sys.exit(f"error: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(f"error: Caffe's interpreter exited with {error.returncode}")


if __name__ == "__main__":
    main()
