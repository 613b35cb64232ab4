"""A text of nothing but fields takes fifty times its length.

Idea: a prototxt of 7 MB is short enough to be read, and becomes millions of objects. Give it as
the net.

Verdict: refused when the budget is used up; what is read is claimed as it is read.
"""

from __future__ import annotations

from attacks.arena import Arena

_BOUND = 120 << 20


def attack(arena: Arena) -> None:
    """Have it read, under a budget."""
    for name, text in (("list", "a: [" + "1," * 3_500_000 + "1]"), ("empty", "a{}" * 2_250_000)):
        arena.write(f"{name}.prototxt", text)
        words = [f"{name}.prototxt: what is read from its text needs more than", "--max-memory"]
        done = arena.refused("inspect", f"{name}.prototxt", "--max-memory", "50MiB", words=words)
        assert done.peak < _BOUND, done.peak
