"""A picture is one row of pixels, 16 million of them in 16 KB.

Idea: the window that smooths a picture before it is shrunk is as wide as the factor. A row, a
column, or the sides the other way round make work that grows with the square of the pixels, and
arrays of a number a pixel and target.

Verdict: some seconds at the most, and some bytes a pixel.
"""

from __future__ import annotations

from attacks.arena import Arena
from attacks.forged import convolutional, huge_png, mapped

SLOW = True

SHAPES = [(1 << 24, 1), (1, 1 << 22), (1 << 20, 3)]


def attack(arena: Arena) -> None:
    """Rows and columns, to a small input, drawn too."""
    convolutional(arena)
    for number, (width, height) in enumerate(SHAPES):
        arena.write(f"{number}.png", huge_png(width, height))
        done = mapped(arena, f"{number}.png", seconds=30)
        assert done.code == 0, done.err
        assert done.peak < (300 << 20) + 24 * width * height, done.peak
