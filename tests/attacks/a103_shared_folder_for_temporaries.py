"""TMPDIR is a folder in which others may rename what is ours.

What is put there for a moment, a net for Caffe's process to read, say, would be whatever they put
in its place.

Verdict: without the sticky bit such a folder is refused by name, with the variable that names
another.
"""

from __future__ import annotations

from attacks.arena import ROOT, Arena

_NET = ROOT / "prototxt" / "digits_deploy.prototxt"


def attack(arena: Arena) -> None:
    """Write to standard output, by way of a temporary file."""
    shared = arena.folder / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    words = ["can be written by others", "TMPDIR names another"]
    before = arena.files()
    done = arena.run("init", _NET, "-o", "-", env={"TMPDIR": str(shared)})
    arena.one_line(done, words=words)
    assert done.out == ""
    assert arena.files() == before
    shared.chmod(0o1777)
    done = arena.run("init", _NET, "-o", "-", env={"TMPDIR": str(shared)})
    assert done.code == 0, done.err
    assert list(shared.iterdir()) == []
