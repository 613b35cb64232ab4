"""A file left where root is going to write, with the bits that make it run as its owner.

An output that replaces a file gets its mode. Had that the set-user-id bit, and could all write to
it, whoever left the file would own a program of root's.

Verdict: of a file of one's own the lowest nine bits are kept, of another's nothing.
"""

from __future__ import annotations

import os

from attacks.arena import ROOT, Arena
from attacks.strangers import as_strangers

_NET = ROOT / "prototxt" / "digits_deploy.prototxt"


def attack(arena: Arena) -> None:
    """Replace such a file, one's own and another's."""
    for owner in ("mine", "another's"):
        planted = arena.write(f"{owner}.caffemodel", "")
        if owner != "mine":
            if os.geteuid() != 0:
                continue  # nobody else can give a file away
            as_strangers(planted)
        planted.chmod(0o6777)
        done = arena.run("init", _NET, "-o", planted, "--force")
        assert done.code == 0, done.err
        mode = planted.stat().st_mode & 0o7777
        assert mode & 0o7000 == 0, oct(mode)
        assert owner == "mine" or mode & 0o022 == 0, oct(mode)
