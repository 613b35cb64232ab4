"""An input so large that a net takes all memory.

Idea: --size image, and a picture of white pixels that is 35 KB as a file; or --size by itself.

Verdict: what the net takes is estimated from its shapes before it runs; it is run in tiles that fit
or, where none do, a size that fits is named; of several pictures the others are done.
"""

from __future__ import annotations

from attacks.arena import ROOT, Arena
from PIL import Image

NET = ROOT / "prototxt" / "digits_deploy.prototxt"
MODEL = ROOT / "models" / "digits" / "digits.caffemodel"


def attack(arena: Arena) -> None:
    """Ask for maps of it."""
    Image.new("L", (5000, 5000), 255).save(arena.folder / "white.png")
    # Takes 2.1 GiB as a whole, and is soon done in tiles.
    Image.new("L", (5000, 2000), 255).save(arena.folder / "wide.png")
    Image.new("L", (64, 64), 255).save(arena.folder / "small.png")
    converted = arena.run("convert", NET, MODEL, "-o", "conv", "--engine", "embedded", "-q")
    assert converted.code == 0, converted.err
    common = ["--engine", "embedded", "--size", "image", "-q", "--max-memory"]
    settings = arena.folder / "conv"
    done = arena.run("classify-map", "../wide.png", *common, "150MiB", cwd=settings)
    assert done.code == 0, done.err
    assert done.peak < 350 << 20, done.peak
    done = arena.run("classify-map", "../white.png", *common, "75MiB", cwd=settings)
    arena.one_line(done, words=["running the net with data of 1x1x5000x5000 needs", "fits"])
    assert done.peak < 250 << 20, done.peak
    both = ["../white.png", "../small.png", "--npy", "../maps"]
    done = arena.run("classify-map", *both, *common, "60MiB", cwd=settings)
    assert done.code == 1, done.err
    assert [path.name for path in (arena.folder / "maps").iterdir()] == ["small.npy"]
