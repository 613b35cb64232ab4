"""A .npy file of version 2 says that its header has 4 GiB.

Idea: numpy reads a header, and decodes it, before it looks at its length. The file is sparse, so
it costs nothing to make.

Verdict: a header is 10,000 bytes long at most.
"""

from __future__ import annotations

from attacks.arena import ROOT, Arena

NET = ROOT / "prototxt" / "digits_deploy.prototxt"
MODEL = ROOT / "models" / "digits" / "digits.caffemodel"


def attack(arena: Arena) -> None:
    """Give it as a mean, and as values."""
    path = arena.folder / "evil.npy"
    for version in (2, 3):
        with path.open("wb") as file:
            file.write(b"\x93NUMPY" + bytes([version, 0]) + b"\xff\xff\xff\xff{")
            file.truncate(5 << 30)
        for words in (
            ["convert", NET, MODEL, "--mean", path, "-o", "out"],
            ["edit", NET, MODEL, f"conv1[0]=npy:{path}", "-o", "out.caffemodel"],
        ):
            done = arena.run(*words)
            arena.one_line(done, words=["its header is 4294967295 bytes long"])
            assert done.peak < 100 << 20, done.peak
    path.unlink()
