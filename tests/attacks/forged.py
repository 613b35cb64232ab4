"""Pictures made by hand: pieces of files that ask for more than they hold, and a net to be fed."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from attacks.arena import ROOT, Arena, Done
from PIL import Image

__all__ = ["convolutional", "huge_png", "mapped", "png", "saved", "segment"]

_NET = ROOT / "prototxt" / "digits_deploy.prototxt"
_MODEL = ROOT / "models" / "digits" / "digits.caffemodel"


def saved(kind: str, side: int = 64, **how: Any) -> bytes:
    """An ordinary picture of some side, as Pillow writes it."""
    shades = np.random.default_rng(0).integers(0, 256, (side, side), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(shades).save(file, kind, **how)
    return file.getvalue()


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of these chunks, with their checksums."""
    pieces = [b"\x89PNG\r\n\x1a\n"]
    for kind, body in chunks:
        pieces += [struct.pack(">I", len(body)), kind, body]
        pieces.append(struct.pack(">I", zlib.crc32(kind + body)))
    return b"".join(pieces)


def huge_png(width: int, height: int) -> bytes:
    """A grey PNG of any size, all of it white: a thousandth of its pixels in bytes."""
    packer = zlib.compressobj(9)
    row = b"\0" + b"\xff" * width
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return png((b"IHDR", head), (b"IDAT", packed), (b"IEND", b""))


def segment(marker: int, content: bytes) -> bytes:
    """A segment of a JPEG."""
    return bytes([0xFF, marker]) + struct.pack(">H", 2 + len(content)) + content


def convolutional(arena: Arena) -> None:
    """Make the digits net fully convolutional, with its settings, in the arena."""
    done = arena.run("convert", _NET, _MODEL, "-o", arena.folder, "--engine", "embedded", "-q")
    assert done.code == 0, done.err


def mapped(arena: Arena, *names: str, **limits: Any) -> Done:
    """classify-map of some pictures, in a net input of 40x40, their maps drawn."""
    options: Sequence[str] = ["--size", "40x40", "--picture", "maps/", "--npy", "maps/"]
    return arena.run("classify-map", *names, *options, "--engine", "embedded", "-q", **limits)
