"""A file that is a hole: gigabytes that take no room on the disk, nor in an archive.

Idea: decoders believe lengths. A chunk of 2 GiB is read whole, a header is looked for byte by byte
in gigabytes of zeros, a directory lists 268 million strips.

Verdict: a file has at most 1 GiB, and what is looked for in it is found soon or refused.
"""

from __future__ import annotations

import struct

from attacks.arena import Arena
from attacks.forged import convolutional, mapped, png, saved

SLOW = True

HEAD = (b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 0, 0, 0, 0))
GIB = 1 << 30


def tiff(strips: int) -> bytes:
    """A directory that lists so many strips, in the hole behind it."""
    numbers = {256: 9, 257: 9, 258: 8, 259: 1, 262: 1, 273: 200, 277: 1, 278: 1, 279: 200}
    entries = b"".join(
        struct.pack("<HHII", tag, 4, strips if tag in (273, 279) else 1, value)
        for tag, value in numbers.items()
    )
    return b"II*\0" + struct.pack("<IH", 8, len(numbers)) + entries + b"\0\0\0\0"


def attack(arena: Arena) -> None:
    """As large as a file may be, and one that is larger."""
    convolutional(arena)
    files = {
        "head.jpg": b"\xff\xd8\xff\xe0",
        "head.gif": b"GIF89a",
        "comment.ppm": b"P6\n#",
        "chunk.png": png(HEAD) + struct.pack(">I4s", GIB - 100, b"teSt"),
        "strips.tif": tiff(1 << 27),
        "whole.webp": b"RIFF" + struct.pack("<I", GIB - 8) + b"WEBPVP8L",
        "pixels.ppm": b"P6\n11585 11585 254\n",
        "large.png": saved("PNG"),
    }
    for name, content in files.items():
        path = arena.write(name, content)
        with path.open("r+b") as file:
            file.truncate(5 * GIB if name == "large.png" else GIB)
        done = mapped(arena, name, "--max-memory", "1GiB", seconds=30)
        arena.one_line(done, words=[f"error: {name}: "])
        assert done.peak < GIB + (300 << 20), (name, done.peak)
