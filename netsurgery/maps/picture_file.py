"""A scene as the bytes of a file, of the kind that its name ends in."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

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
    """An image as a PNG, JPEG or WebP file."""
    file = io.BytesIO()
    if suffix.lower() == ".png":
        # A higher level takes three times as long and saves a tenth.
        image.save(file, "PNG", compress_level=2)
    elif suffix.lower() == ".webp":
        from PIL import WebPImagePlugin  # noqa: F401 - it registers itself

        image.save(file, "WEBP", quality=90, method=2)
    else:
        image.save(file, "JPEG", quality=92, subsampling=0)
    return file.getvalue()
