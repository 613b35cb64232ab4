"""The settings are swapped between the look at their owner and the reading.

Idea: a link in a stranger's folder leads to a file of the user's own while it is looked at, and to
the stranger's when it is opened; swapped as fast as can be, one run in some meets the moment.

Verdict: who can swap it decides what it holds, so it is refused whatever it leads to.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from attacks.arena import Arena
from attacks.strangers import as_strangers, classify, files_of_a_net


def _swap(link: Path, targets: list[Path], stop: threading.Event) -> None:
    turn = 0
    while not stop.wait(0.0005):
        turn += 1
        fresh = link.with_name("fresh")
        fresh.symlink_to(targets[turn % 2])
        os.replace(fresh, link)


def attack(arena: Arena) -> None:
    """Some runs while the link is swapped."""
    own, scratch = files_of_a_net(arena, "own"), files_of_a_net(arena, "scratch")
    evil = arena.write("scratch/evil.toml", "[model]\nprototxt = 'evil.prototxt'\n")
    as_strangers(scratch)
    link, stop = scratch / "netsurgery.toml", threading.Event()
    targets = [own / "netsurgery.toml", evil]
    swapping = threading.Thread(target=_swap, args=(link, targets, stop))
    swapping.start()
    try:
        for _ in range(8):
            arena.one_line(classify(arena, scratch, env={}), words=["not used, since"])
    finally:
        stop.set()
        swapping.join()
