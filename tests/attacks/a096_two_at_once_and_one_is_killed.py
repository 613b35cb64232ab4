"""Two runs write to one folder, and one of them is ended by a signal.

Idea: the one that ends clears up, and takes the temporary files of the other with its own.

Verdict: each removes its own; the other's outputs are whole.
"""

from __future__ import annotations

import subprocess
import sys
import time

from attacks.arena import ROOT, Arena
from torture import NET, write_model


def attack(arena: Arena) -> None:
    """Some pairs; the first is ended while both write."""
    arena.write("net.prototxt", NET % (32 * 256))
    write_model(arena.folder / "model.caffemodel", 32 * 256)
    words = ["edit", "net.prototxt", "model.caffemodel", "fc[1]+=1", "-q", "--force", "-o"]
    assert arena.run(*words, "whole.caffemodel").code == 0
    whole = (arena.folder / "whole.caffemodel").read_bytes()
    for turn in range(4):
        pair = [
            subprocess.Popen(
                [sys.executable, "-m", "netsurgery", *words, name],
                cwd=arena.folder,
                env={"PYTHONPATH": str(ROOT)},
            )
            for name in ("one.caffemodel", "other.caffemodel")
        ]
        time.sleep(0.1 + 0.08 * turn)
        pair[0].terminate()
        assert pair[0].wait(30) in (0, 143, -15)
        assert pair[1].wait(30) == 0
        assert (arena.folder / "other.caffemodel").read_bytes() == whole
        left = [name for name in arena.files() if name.endswith("netsurgery-tmp")]
        assert left == [], left
