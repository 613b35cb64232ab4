"""A link of another user's where an output goes.

In a folder that all may write to, as /tmp, anybody can leave a link under the name that a command
is about to write, or in the place of the folder: what it leads to is the victim's own file.

Verdict: links of other users on the way to an output are refused by name; nothing is written.
"""

from __future__ import annotations

import os

from attacks.arena import ROOT, Arena
from attacks.strangers import as_strangers

_NET = ROOT / "prototxt" / "digits_deploy.prototxt"


def attack(arena: Arena) -> None:
    """Write to a link, and through one."""
    if os.geteuid() != 0:
        return  # nobody else can give a link away
    arena.write("home/profile", "mine")
    shared = arena.folder / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    for name, target in (("out.caffemodel", "home/profile"), ("folder", "home")):
        (shared / name).symlink_to(arena.folder / target)
        as_strangers(shared / name)
    words = ["a symbolic link of another user", "not followed"]
    for output in ("out.caffemodel", "folder/profile", "folder/new.caffemodel"):
        arena.refused("init", _NET, "-o", shared / output, "--force", words=words)
    model = ROOT / "models" / "digits" / "digits.caffemodel"
    arena.refused("convert", _NET, model, "-o", shared / "folder" / "new", words=words)
