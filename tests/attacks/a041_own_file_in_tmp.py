"""A file of the user's own is moved, or linked, to where it means another net.

Idea: in /tmp, with its sticky bit, nobody else can replace a file of the user's, but a second name
for one can be made there (where links are not protected), or one that the user left in a stranger's
folder moved there. Its owner is right, and its relative paths name the stranger's files.

Verdict: in a folder that others can write to only folders count as one's own.
"""

from __future__ import annotations

import os

from attacks.arena import Arena
from attacks.strangers import classify, files_of_a_net


def attack(arena: Arena) -> None:
    """A hard link, a move and a symbolic link into a sticky folder."""
    own = files_of_a_net(arena, "own")
    shared = files_of_a_net(arena, "shared")
    shared.chmod(0o1777)
    planted = shared / "netsurgery.toml"
    for plant in (os.link, os.symlink, os.rename):
        planted.unlink()
        plant(own / "netsurgery.toml", planted)
        done = classify(arena, shared, env={})
        arena.one_line(done, words=["since it is in a folder that others can write to"])
