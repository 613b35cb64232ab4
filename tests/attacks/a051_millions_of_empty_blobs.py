"""A caffemodel of millions of empty blobs: four bytes become four hundred.

Idea: each layer has no more parts than are allowed, but there are many layers. 16 MB of them took
1.5 GB.

Verdict: the parts of all layers are limited together, and claimed as they are read.
"""

from __future__ import annotations

from attacks.arena import ROOT, Arena

from netsurgery.io.wire import delimited

NET = ROOT / "prototxt" / "digits_deploy.prototxt"
SLOW = True


def attack(arena: Arena) -> None:
    """Give it as the weights."""
    layer = delimited(100, delimited(1, b"x") + b"\x3a\x02\x08\x00" * 99_000)
    hog = arena.write("hog.caffemodel", layer * 40)
    done = arena.refused("inspect", NET, hog, words=["more than 1000000 bottoms, tops and blobs"])
    assert done.peak < 700 << 20, done.peak
    words = ["the list of its fields needs more than", "100.0 MiB may be used"]
    done = arena.refused("inspect", NET, hog, "--max-memory", "100MiB", words=words)
    assert done.peak < 170 << 20, done.peak
