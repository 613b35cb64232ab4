"""Many small things, each of which may be, and all of which may not.

Idea: the budget is kept by the sum; a command that reads a text, weights, labels and a mean, each
of which fits, takes more than what may be used together.

Verdict: the last one is refused, and what the others use is said.
"""

from __future__ import annotations

import numpy as np
from attacks.arena import ROOT, Arena
from PIL import Image

MODEL = ROOT / "models" / "digits" / "digits.caffemodel"
TEXT = (ROOT / "prototxt" / "digits_deploy.prototxt").read_text()


def attack(arena: Arena) -> None:
    """Give each half of the budget."""
    arena.write("net.prototxt", TEXT + "#" + "x" * 14_000_000)
    np.save(arena.folder / "mean.npy", np.zeros((1, 2200, 2200)))
    Image.new("L", (8, 8)).save(arena.folder / "grey.png")
    words = ["classify-map", "grey.png", "--prototxt", "net.prototxt", "--weights", MODEL, "-q"]
    words += ["--blob", "conv1", "--mean", "mean.npy", "--max-memory", "30MiB"]
    done = arena.refused(*words, words=["needs 18.5 MiB of memory; 30.0 MiB may be used", "in use"])
    assert done.peak < 150 << 20, done.peak
