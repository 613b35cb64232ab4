"""Pictures in files that are too large to be decoded as a whole."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from netsurgery.errors import MemoryLimitError
from netsurgery.io.memory import left
from netsurgery.maps.any_picture import as_picture, picture_name
from netsurgery.maps.image import NotDecoded, open_file
from netsurgery.maps.pillow_pixels import array_memory, decoding_memory

if TYPE_CHECKING:
    from PIL import Image

    from netsurgery.maps.any_picture import AnyPicture
    from netsurgery.maps.image import Picture
    from netsurgery.maps.rows import PixelRows

__all__ = ["open_picture"]

#: A picture is decoded as a whole where that takes no more of the memory that is left than this
#: part: the rest is for the net.
_SHARE = 2

#: Where it takes less than this the system is not asked what is left.
_SMALL = 16 << 20


def open_picture(image: AnyPicture, name: str = "") -> Picture:
    """`as_picture`, but of a file that would take more than half of the memory only some rows.

    So are TIFFs that Pillow does not read, as of many bands, with rasterio.

    Raises as `as_picture`, and MemoryLimitError, which says why the file is not read in strips.

    >>> open_picture("examples/digits_canvas.png").pixels.shape
    (192, 288, 1)
    """
    name = picture_name(image, name)
    if not isinstance(image, (str, os.PathLike)) or name.endswith(".npy"):
        return as_picture(image, name)
    why: list[str] = []

    def streamed(opened: Image.Image, path: str, mode: str) -> Picture | None:
        whole = decoding_memory(opened) + array_memory(opened)
        if whole <= _SMALL or whole <= left() // _SHARE:
            return None
        from netsurgery.maps.vips_rows import vips_rows, why_not_in_strips

        if reason := why_not_in_strips(opened, path):
            why.append(reason)
            return None
        return _large(path, vips_rows(opened, path, mode))

    try:
        return open_file(name, streamed)
    except NotDecoded:
        from netsurgery.maps.geo_rows import geo_rows, is_tiff

        if is_tiff(name) and (rows := geo_rows(name)) is not None:
            return _large(name, rows)
        raise
    except MemoryLimitError as error:
        raise error.more("".join(f"; {reason}" for reason in why)) from error


def _large(name: str, rows: PixelRows) -> Picture:
    from netsurgery.maps.large_picture import LargePicture

    return LargePicture(name, rows)
