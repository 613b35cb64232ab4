"""Descriptors run out at the least convenient moment.

Idea: with a limit of a few descriptors something opens, and the next thing does not: a library
half imported, an output made and not locked, a worker without its pipe.

Verdict: one line at every limit, and no file; from 16 on every command does its work.
"""

from __future__ import annotations

import sys

from attacks.arena import ROOT, Arena

NET = ROOT / "prototxt" / "digits_deploy.prototxt"
MODEL = ROOT / "models" / "digits" / "digits.caffemodel"


def attack(arena: Arena) -> None:
    """Every limit from 5, with which Python itself just starts, to 16."""
    words = ["-m", "netsurgery", "convert", str(NET), str(MODEL), "-o", "out", "-q", "--verify"]
    before = arena.files()
    for limit in range(5, 17):
        shell = f'ulimit -n {limit}; exec "$@"'
        command = ["sh", "-c", shell, "sh", sys.executable, *words, "--engine", "embedded"]
        done = arena.command(command, memory=0)
        if not done.code:
            break
        arena.one_line(done)
        assert arena.files() == before, f"files changed at {limit}"
    assert done.code == 0, done.err
