"""A picture that Pillow has opened, as an array, upright; and what it takes to get there."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from netsurgery.errors import ImageError
from netsurgery.io.memory import empty

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Pixels = NDArray[Any]

__all__ = [
    "array_memory",
    "bands_apart",
    "channels_of",
    "decoding_memory",
    "is_misread",
    "known_mode",
    "orientation",
    "upright",
]

#: EXIF's orientations: from the upright picture to a view of it as it is stored.
_STORED: dict[int, Callable[[Pixels], Pixels]] = {
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.transpose(1, 0, 2),
    6: lambda upright: np.rot90(upright),
    7: lambda upright: upright[::-1, ::-1].transpose(1, 0, 2),
    8: lambda upright: np.rot90(upright, -1),
}

#: Pixels that go from Pillow's memory into an array at a time.
_BOX = 1 << 20

#: Bytes a pixel that decoders need beside Pillow's picture: JPEG's coefficients of several scans,
#: WebP's canvases, whole strips of a TIFF, a BMP or PNM that Python decodes.
_BESIDE = {"JPEG": 8, "MPO": 8, "WEBP": 12, "TIFF": 4, "BMP": 4, "PPM": 4}

#: Tags of a TIFF: how many numbers a pixel has, and what they are: whole numbers with a sign.
_SAMPLES, _SAMPLE_FORMAT, _SIGNED = 277, 339, 2
#: Whether bands lie apart; and how the numbers are packed.
_PLANES, _APART, _COMPRESSION = 284, 2, 259

#: Where each strip lies in the file, and each tile.
_PLACES = 273, 324

#: Bytes that Pillow needs for a row, however short.
_ROW = 16


def decoding_memory(image: Image.Image) -> int:
    """Bytes that Pillow takes to decode a picture, which then has them."""
    pixel = 1 if image.mode in ("1", "L", "P") else 4
    beside = _BESIDE.get(image.format or "", 0)
    return image.width * image.height * (pixel + beside) + _ROW * image.height


def array_memory(image: Image.Image) -> int:
    """Bytes of a picture's pixels as an array."""
    mode = known_mode(image)
    pixel = 2 if mode.startswith("I") else channels_of(mode)
    return pixel * image.width * image.height


def channels_of(mode: str) -> int:
    """How many channels an array of that mode has."""
    return {"RGB": 3, "RGBA": 4}.get(mode, 1)


def orientation(image: Image.Image, *, decode: bool = True) -> int:
    """EXIF's orientation of a picture, 1 to 8; 1 (upright) where none can be read.

    Pillow turns a TIFF upright itself when it loads it. decode: as Pillow does a PNG, to see
    whether there is Exif behind its pixels.
    """
    try:
        exif = image.getexif() if decode or image.format != "PNG" else Image.Image.getexif(image)
        value = exif.get(0x0112, 1)
    except MemoryError:
        raise
    except Exception:  # damaged metadata is no reason to refuse the pixels
        return 1
    return value if isinstance(value, int) else 1


def bands_apart(image: Image.Image) -> int:
    """How many numbers a pixel of a TIFF has of which each kind lies for itself; else 0."""
    tags = getattr(image, "tag_v2", {})
    return int(tags.get(_SAMPLES, 1)) if tags.get(_PLANES) == _APART else 0


def is_misread(image: Image.Image) -> bool:
    """Whether Pillow, which has read the header of a TIFF, would give other pixels than it has.

    Of bands that lie apart it takes the first for all, or none that have 16 bits and are not
    packed; signed bytes it takes for others; and it misses strips and tiles that are left out, as
    GDAL does where there are zeros alone.
    """
    tags = getattr(image, "tag_v2", {})
    of_bands = image.mode not in ("P", "PA") and len(image.getbands()) < 3 <= tags.get(_SAMPLES, 1)
    plain = bands_apart(image) and tags.get(_COMPRESSION, 1) == 1
    signed = image.mode == "L" and _SIGNED in tags.get(_SAMPLE_FORMAT, ())
    left_out = any(0 in tags.get(tag, ()) for tag in _PLACES)
    return of_bands or signed or left_out or bool(plain and image.mode.startswith("I;16"))


def known_mode(image: Image.Image) -> str:
    """The mode to bring the picture to: L, RGB, RGBA, or its own where it is 16-bit grey."""
    mode = image.mode
    if mode.startswith("I;16") or (mode == "I" and image.format in ("PNG", "PPM")):
        return mode
    if mode in ("I", "F"):
        raise ImageError(
            f"its pixels are {'32-bit integers' if mode == 'I' else 'floats'}, "
            "which have no agreed range; save it with 8 or 16 bits a channel"
        )
    if mode in ("L", "1"):
        return "L"
    if mode == "P" and image.format in ("PNG", "GIF") and "transparency" in image.info:
        return "RGB" if _is_grey(image) else "RGBA"
    return "RGBA" if "A" in mode or "a" in mode else "RGB"


def _is_grey(image: Image.Image) -> bool:
    """Whether a palette is one of greys: caffe.io then reads the picture as grey, without alpha."""
    levels = b"" if image.palette is None else bytes(image.palette.palette)
    return levels[::3] == levels[1::3] == levels[2::3]


def upright(image: Image.Image, mode: str, what: str) -> Pixels:
    """The loaded picture as an array, upright; box by box, as each is copied several times."""
    (width, height), turned = image.size, orientation(image)
    channels = channels_of(mode)
    sides = (width, height) if turned in (5, 6, 7, 8) else (height, width)
    result = empty((*sides, channels), "u2" if mode.startswith("I") else "u1", what)
    turn = _STORED.get(turned)
    stored = result if turn is None else turn(result)
    across = min(width, _BOX)
    down = _BOX // across
    for left, top in product(range(0, width, across), range(0, height, down)):
        right, bottom = min(left + across, width), min(top + down, height)
        box = left, top, right, bottom
        part = image if box == (0, 0, width, height) else image.crop(box)
        values = np.asarray(part if part.mode == mode else part.convert(mode))
        if mode.startswith("I"):  # 16 bits, of either byte order, or held in 32
            values = np.clip(values, 0, 65535)
        stored[top:bottom, left:right] = values.reshape(bottom - top, right - left, channels)
    return result
