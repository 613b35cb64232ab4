"""The command is ended while real Caffe is at work for it.

Idea: the worker, or the probe before it, outlives the command and goes on computing, or leaves its
folder behind.

Verdict: the worker's process group is killed before the command exits; nothing is left.
"""

from __future__ import annotations

import random

from attacks.arena import Arena
from signalled import SIGNALS, Signalled

NEEDS_CAFFE = True


def attack(arena: Arena) -> None:
    """Some moments of a conversion by Caffe; `signalled` looks for whatever may be left."""
    name = "convert by Caffe"
    folder = arena.folder / "here"
    folder.mkdir()
    signalled = Signalled(folder, megabytes=1)
    seconds, new = signalled.learn(name)
    for turn in range(6):
        delay = seconds * (turn + random.random()) / 6
        signalled.round(name, SIGNALS[turn % 3], delay, new, old=bool(turn % 2), twice=turn > 3)
