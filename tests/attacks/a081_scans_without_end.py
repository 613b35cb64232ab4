"""A progressive JPEG repeats its last scan.

Idea: every scan of a JPEG goes over all the pixels, and one that holds nothing is ten bytes long. A
thousand of them make seconds of each megapixel, for every program that decodes it.

Verdict: more than 100 scans are refused before anything is decoded, in a TIFF by libtiff.
"""

from __future__ import annotations

import struct

from attacks.arena import Arena
from attacks.forged import convolutional, mapped, saved


def attack(arena: Arena) -> None:
    """Scans with their data, without, and with bytes between them that are not markers."""
    convolutional(arena)
    whole = saved("JPEG", 2000, progressive=True)
    start = whole.rindex(b"\xff\xda")
    scan, end = whole[start:-2], whole[-2:]
    head = scan[: 2 + struct.unpack_from(">H", scan, 2)[0]]
    empty = (head, head + b"\xff\xd7\xff\x00\x12", head + b"\xff\xff\xff")
    for again in (scan * 120, *(scans_without_data * 2000 for scans_without_data in empty)):
        arena.write("scans.jpg", whole[:-2] + again + end)
        done = mapped(arena, "scans.jpg", seconds=20)
        arena.one_line(done, words=["scans.jpg", "more than 100 scans"])
