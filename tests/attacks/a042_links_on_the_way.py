"""A symbolic link of a stranger's leads to settings whose owner is right.

Idea: only the file is looked at. A link in a shared folder leads to a stranger's folder today and
to another tomorrow; or a link of the user's own leads through one.

Verdict: every step of the path is looked at, and every step of every link.
"""

from __future__ import annotations

from attacks.arena import ROOT, Arena
from attacks.strangers import as_strangers, files_of_a_net


def attack(arena: Arena) -> None:
    """Export a net by a path through links; its preprocessing is beside it."""
    folder = files_of_a_net(arena, "real")
    shared = arena.folder / "shared"
    shared.mkdir()
    (shared / "link").symlink_to(folder)
    (arena.folder / "own").symlink_to("shared/link")
    model = ROOT / "models" / "digits" / "digits.caffemodel"
    words = [model, "-o", "out.onnx", "--with-preprocess"]
    assert arena.run("export", "own/net.prototxt", *words).code == 0, "one's own is not used"
    (arena.folder / "out.onnx").unlink()
    as_strangers(shared)
    for path in ("shared/link/net.prototxt", "own/net.prototxt"):
        arena.refused("export", path, *words, words=["not used, since", str(shared)])
    assert arena.run("export", "real/net.prototxt", *words).code == 0
