"""A .npy of Python objects runs code when it is unpickled.

Idea: numpy's files may hold pickles, and a pickle calls any function while it is read. Give one as
the mean of a net and as new values of a param.

Verdict: refused; a pickle is never read.
"""

from __future__ import annotations

import io
import os

import numpy as np
from attacks.arena import ROOT, Arena

NET = ROOT / "prototxt" / "digits_deploy.prototxt"
MODEL = ROOT / "models" / "digits" / "digits.caffemodel"


class Evil:
    """Makes a folder when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("owned",)


def attack(arena: Arena) -> None:
    """Give the pickle wherever an array is taken."""
    buffer = io.BytesIO()
    np.save(buffer, np.array([Evil()], dtype=object), allow_pickle=True)
    evil = arena.write("evil.npy", buffer.getvalue())
    words = ["evil.npy", "Python objects"]
    arena.refused("convert", NET, MODEL, "--mean", evil, "-o", "out", words=words)
    arena.refused("edit", NET, MODEL, f"conv1[0]=npy:{evil}", "-o", "out.caffemodel", words=words)
