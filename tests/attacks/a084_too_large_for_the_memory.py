"""A picture of 132 million pixels among others, where memory is short.

Idea: 130 KB of PNG are 530 MB of pixels in colour. The process that decodes it dies, and with it
what was done of the other pictures, or the machine.

Verdict: refused by name before it is decoded, where the budget or the system has less; the others
are done.
"""

from __future__ import annotations

from attacks.arena import Arena
from attacks.forged import convolutional, huge_png, mapped, saved


def attack(arena: Arena) -> None:
    """Under a budget, and under a limit of the system that the budget does not know."""
    convolutional(arena)
    arena.write("small.png", saved("PNG"))
    arena.write("large.png", huge_png(11500, 11500))
    for words, memory in ((["--max-memory", "150MiB"], 0), (["--max-memory", "64GiB"], 550 << 20)):
        done = mapped(arena, "small.png", "large.png", "--force", *words, memory=memory)
        assert done.code == 1, done.err
        first, last = done.err.splitlines()
        assert first.startswith("error: large.png: "), first
        assert "memory" in first, first
        assert last == "1 of 2 images failed", last
        assert {"maps/small.npy", "maps/small.png"} <= set(arena.files())
        assert not any("large" in name for name in arena.files() if name.startswith("maps/"))
