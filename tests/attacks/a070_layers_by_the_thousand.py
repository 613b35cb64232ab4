"""A net of thousands of layers keeps a command busy for hours.

Idea: what looks at all layers for each layer takes a million steps for a thousand of them and
three hundred million for the sixteen thousand that a prototxt of a few MiB holds. Give nets in the
shapes that ask most: one blob for all, one name for all, params shared by all.

Verdict: a layer takes as long in a large net as in a small one.
"""

from __future__ import annotations

import sys

from attacks.arena import ROOT, Arena
from dealt import dealt

sys.path.insert(0, str(ROOT))  # benchmarks/ is not installed

from benchmarks.many_layers import SHAPES

LAYERS = 1000
NETS = ("readers", "one-name", "shared", "joined")
COMMANDS = (
    "inspect a.prototxt a.caffemodel --json",
    "check a.prototxt a.caffemodel",
    "convert a.prototxt a.caffemodel --dry-run --on-refusal skip",
    "export a.prototxt a.caffemodel -o out.onnx --force",
)


def attack(arena: Arena) -> None:
    """Two seconds for a hundred layers is forty times what they take."""
    for shape, command in dealt(NETS, COMMANDS, len(COMMANDS)):
        SHAPES[shape](LAYERS).save(arena.folder, "a")
        done = arena.run(*command.split(), seconds=LAYERS / 50)
        assert done.code in (0, 1), done.err
        assert "Traceback" not in done.err, done.err
