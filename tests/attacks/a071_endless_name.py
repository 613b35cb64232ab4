"""One endless name makes every row of a table as long.

Idea: a column is as wide as its widest cell. Name one of a thousand layers with a MiB of letters,
and the table has a GiB of blanks.

Verdict: cells are cut, and so are notes and errors; JSON has the name whole, where it stands.
"""

from __future__ import annotations

import sys

from attacks.arena import ROOT, Arena
from dealt import dealt

sys.path.insert(0, str(ROOT))  # benchmarks/ is not installed

from benchmarks.many_layers import SHAPES

LONG = "n" * (1 << 20)
PLACES = ('"conv7"', '"conv7" b', '"ReLU" bottom: "conv7"')
COMMANDS = ("inspect a.prototxt", "inspect a.prototxt --json", "check a.prototxt")


def attack(arena: Arena) -> None:
    """The name of a layer, then of its blob, then of its type."""
    net = SHAPES["chain"](1000)
    for old, command in dealt(PLACES, COMMANDS, 3):
        text = net.text.replace(old, old.replace("conv7", LONG).replace("ReLU", LONG))
        arena.write("a.prototxt", text)
        done = arena.run(*command.split(), seconds=20)
        assert done.code in (0, 1), done.err
        json = "--json" in command
        assert len(done.out) < (10 << 20 if json else 1 << 20), f"{len(done.out)} characters"
        assert all(len(line) < 2000 for line in done.err.splitlines()), "an endless line"
