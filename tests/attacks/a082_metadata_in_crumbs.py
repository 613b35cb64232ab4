"""Everything but pixels: parts of Exif, comments, chunks, blanks, by the hundred thousand.

Idea: decoders join what belongs together and keep what they do not know. What is joined part by
part is copied as often as there are parts, and what is kept takes a hundred bytes for none.

Verdict: counted, and refused at some hundred parts of Exif or 131,072 small pieces.
"""

from __future__ import annotations

import struct
import zlib

from attacks.arena import Arena
from attacks.forged import convolutional, mapped, png, saved, segment

HEAD = (b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 0, 0, 0, 0))
PIXELS = (b"IDAT", zlib.compress(b"\0\1\2\3\4" * 4))


def attack(arena: Arena) -> None:
    """Some megabytes of each, that took seconds to hours."""
    convolutional(arena)
    jpeg = saved("JPEG")
    before, behind = jpeg[:2], jpeg[2:]
    private, end = (b"prIv", b""), (b"IEND", b"")
    files = {
        "exif.jpg": before + segment(0xE1, b"Exif\0\0" + b"x" * 20) * 200000 + behind,
        "parts.jpg": before + segment(0xE2, b"") * 1000000 + behind,
        "fill.jpg": before + b"\xff" * 4000000 + behind,
        "before.png": png(HEAD, *[private] * 400000, PIXELS, end),
        "behind.png": png(HEAD, PIXELS, *[private] * 400000, end),
        "crumbs.png": png(HEAD, *[(b"IDAT", b"")] * 400000, PIXELS, end),
        "comments.ppm": b"P3\n10 10 255\n" + b"#\n" * 4000000 + b"1 " * 300,
        "blanks.ppm": b"P6\n" + b" " * 8000000 + b"2 2 255\n" + b"\0" * 12,
    }
    for name, content in files.items():
        arena.write(name, content)
    done = mapped(arena, *files, seconds=30)
    assert done.code == 1, done.err
    *refused, last = done.err.splitlines()
    assert last == f"{len(files)} of {len(files)} images failed", done.err
    for name, line in zip(files, refused, strict=True):
        assert line.startswith(f"error: {name}: "), line
    assert done.peak < 300 << 20, done.peak
