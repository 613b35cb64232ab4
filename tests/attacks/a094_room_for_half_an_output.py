"""The disk is full in the middle of an output, wherever that is.

Idea: run a conversion with room for n bytes, for many n; one of them leaves a half-written file
under the output's name, or only some of the outputs.

Verdict: one line names the output, and nothing is there that was not there before.
"""

from __future__ import annotations

import sys

from attacks.arena import ROOT, Arena

NET = ROOT / "prototxt" / "digits_deploy.prototxt"
MODEL = ROOT / "models" / "digits" / "digits.caffemodel"


def attack(arena: Arena) -> None:
    """In blocks of 512 bytes, which is what the shell counts in."""
    words = ["-m", "netsurgery", "convert", str(NET), str(MODEL), "-o", ".", "-q"]
    for blocks in (0, 1, 2, 3, 8, 50, 100, 200):
        shell = f'ulimit -f {blocks}; exec "$@"'
        before = arena.files()
        command = ["sh", "-c", shell, "sh", sys.executable, *words, "--engine", "embedded"]
        done = arena.command(command)
        arena.one_line(done, words=["File too large"])
        assert arena.files() == before, "files changed"
