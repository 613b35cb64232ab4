"""A scene as the bytes of a file, of the kind that its name ends in."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np

from netsurgery.maps.raster import to_pixels

if TYPE_CHECKING:
    from PIL import Image

    from netsurgery.maps.scene import Scene

__all__ = ["encoded", "image_bytes"]


def encoded(scene: Scene, suffix: str) -> bytes:
    """The scene as a file whose name ends in `suffix`, one of `PICTURE_SUFFIXES`."""
    if suffix.lower() == ".svg":
        from netsurgery.maps.vector import to_svg

        return to_svg(scene).encode()
    return image_bytes(to_pixels(scene), suffix)


def image_bytes(image: Image.Image, suffix: str) -> bytes:
    """An RGB image as a PNG, JPEG or WebP file."""
    if suffix.lower() == ".png":
        return _png(image)
    file = io.BytesIO()
    if suffix.lower() == ".webp":
        from PIL import WebPImagePlugin  # noqa: F401 - it registers itself

        image.save(file, "WEBP", quality=90, method=2)
    else:
        image.save(file, "JPEG", quality=92, subsampling=0)
    return file.getvalue()


def _png(image: Image.Image) -> bytes:
    """Each row less the one above it, compressed: half of Pillow's time, for as many bytes.

    Pillow tries every filter on every row.
    """
    pixels = np.asarray(image)
    height, width, channels = pixels.shape
    lines = np.empty((height, 1 + width * channels), np.uint8)
    rows = pixels.reshape(height, -1)
    lines[:, 0] = _UP
    lines[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=lines[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, 8, _RGB, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(lines.data, _LEVEL)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(data, zlib.crc32(kind))
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


#: PNG's filter "up", its colour type for three channels; zlib's level: 6 takes five times as long
#: and saves a tenth.
_UP, _RGB, _LEVEL = 2, 2, 2
