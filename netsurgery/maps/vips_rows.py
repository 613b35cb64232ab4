"""Pictures in files decoded strip by strip, by libvips, to the pixels that Pillow gives.

Pillow decodes a picture as a whole. What a file is, and whether it is taken at all, is still found
out by Pillow from its header; here are its pixels alone.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from netsurgery.errors import ImageError
from netsurgery.io.memory import Claim
from netsurgery.io.names import utf8_path
from netsurgery.io.wording import with_article
from netsurgery.maps.picture_limits import READ_LIMIT
from netsurgery.maps.pillow_pixels import bands_apart, channels_of, orientation
from netsurgery.maps.rows import StripRows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[Any]

__all__ = ["MISSING", "vips_rows", "why_not_in_strips"]

#: What to do where pyvips is missing.
MISSING = "pip install 'netsurgery[huge]' to have it read in strips"

#: Pillow's formats, and the loaders of libvips.
_LOADERS = {
    "JPEG": "jpegload",
    "MPO": "jpegload",
    "PNG": "pngload",
    "TIFF": "tiffload",
    "WEBP": "webpload",
}

#: Pillow's modes, and how many of libvips's bands their pixels are.
_BANDS = {"1": 1, "L": 1, "LA": 2, "P": 3, "RGB": 3, "RGBX": 3, "RGBA": 4, "CMYK": 4}

#: Bytes of a strip, about; and how many rows libvips keeps for readers further up, measured with
#: one thread. With several it keeps more, and reading from the top down has no use for them.
_STRIP, _KEPT = 4 << 20, 2304

#: Tags of a TIFF: whether white is 0, and what is beside the colors; an alpha they are times of.
_PHOTOMETRIC, _EXTRA, _ASSOCIATED = 262, 338, 1
#: How many rows a tile has, and how many bytes strips and tiles have in the file.
_TILE_ROWS, _STRIP_BYTES, _TILE_BYTES = 323, 279, 325

#: Chunks of a PNG that may hold Exif.
_EXIF_CHUNKS = (b"eXIf", b"tEXt", b"zTXt", b"iTXt")

#: Held while libvips's number of threads, which is the whole process's, is another one, and while
#: the words of its errors, which are too, are those of one call.
_taking_turns = threading.Lock()


def why_not_in_strips(image: Image.Image, path: str) -> str:
    """Why the picture, of which the header is read, cannot be read in strips; "" where it can."""
    if image.format not in _LOADERS:
        kind = with_article(image.format or "picture")
        return f"{kind} is not read in strips; save it as TIFF, PNG or JPEG"
    if image.format == "PNG" and "exif" not in image.info and _has_exif_at_its_end(path):
        return "it has its EXIF behind the pixels; save it again to have it read in strips"
    turned = orientation(image, decode=False)
    if turned in range(2, 9):
        return f"its EXIF orientation is {turned}; save it upright to have it read in strips"
    if image.format == "WEBP" and getattr(image, "is_animated", False):
        return "an animated WebP is not read in strips; save its first frame alone"
    tags = getattr(image, "tag_v2", {})
    inverted = image.mode.startswith("I;16") and tags.get(_PHOTOMETRIC) == 0
    known = image.mode in _BANDS or image.mode.startswith("I;16")
    if not known or inverted or _ASSOCIATED in tags.get(_EXTRA, ()):
        return f"pixels of its kind ({image.mode}) are not read in strips; save it as RGB"
    # libvips takes two greys that lie apart for others.
    if bands_apart(image) == 2:
        return "its two bands lie apart; save it with those of a pixel together, or one alone"
    try:
        import pyvips  # noqa: F401
    except (ImportError, OSError):  # its library may be missing, too
        return MISSING
    return _refusal(image, path) if image.format == "TIFF" else ""


def _refusal(image: Image.Image, path: str) -> str:
    """Why libvips does not read a TIFF; "" where it does. Raises MemoryLimitError as `vips_rows`.

    There are many kinds, and it may be built without some that Pillow reads: the first pixel shows.
    """
    import pyvips

    try:
        with utf8_path(path) as name:
            opened = _opened(name, "TIFF")
            with _holding(path, _held_of_tiff(image, _pixel_bytes(opened)), "a TIFF"):
                _fetched(pyvips.Region.new(opened), 0, 0, 1, 1)
    except (pyvips.Error, OSError) as error:
        return f"libvips does not read it ({_words(error)}); save it again, as PNG or with LZW"
    return ""


def _has_exif_at_its_end(path: str) -> bool:
    """Whether behind the pixels of a PNG there may be Exif, or it has too many chunks to see."""
    with open(path, "rb") as file:
        size, pixels = file.seek(0, os.SEEK_END), False
        file.seek(8)
        for _ in range(READ_LIMIT + size // 1024):
            length, kind, start = int.from_bytes(file.read(4), "big"), file.read(4), file.tell()
            if not kind or kind == b"IEND":
                return False
            pixels = pixels or kind == b"IDAT"
            if pixels and kind in _EXIF_CHUNKS and b"exif" in (kind + file.read(24)).lower():
                return True
            file.seek(start + length + 4)
    return True


def vips_rows(image: Image.Image, path: str, mode: str) -> StripRows:
    """The rows of a picture whose header Pillow has read, brought to `mode` (`known_mode`).

    Raises ImageError without the picture's name, and MemoryLimitError where what the file makes a
    decoder keep takes more than there is: all of a progressive JPEG and of an interlaced PNG.
    """
    decoder = _Decoder(image, path, mode)
    held = decoder.held
    with _holding(path, held, decoder.what):
        pass  # it is claimed for as long as the decoder runs; here to say why
    kind = np.dtype("u2" if mode.startswith("I") else "u1")
    channels = channels_of(mode)
    return StripRows(
        (image.height, image.width, channels),
        kind,
        decoder.step,
        decoder.strips,
        f"{path}: rows of it",
        lambda height: held + decoder.kept,
    )


class _Decoder:
    """Reads one file from the top down, as often as it is asked to.

    held: bytes of the file's own that it keeps all the time; what: the kind of file of which that
    is. kept: bytes of strips.
    """

    def __init__(self, image: Image.Image, path: str, mode: str) -> None:
        self.format, self.mode, self.own = str(image.format), mode, image.mode
        self.path, self.size = path, image.size
        with _vips_errors(), utf8_path(path) as name:
            opened = _opened(name, self.format)
            self._check(opened)
            interlaced = bool(opened.get_typeof("interlaced"))
            pixel = _pixel_bytes(opened)
        width, height = self.size
        row = width * pixel
        self.step = min(height, max(16, _STRIP // row // 16 * 16))
        self.kept = 2 * self.step * row + min(height, _KEPT) * row
        self.held, self.what = _held_of_tiff(image, pixel), with_article(self.format)
        if interlaced:
            jpeg = self.format in ("JPEG", "MPO")
            self.held = width * height * (_coefficients(image) if jpeg else pixel)
            self.what = "a progressive JPEG" if jpeg else "an interlaced PNG"

    def _check(self, opened: Any) -> None:
        if (opened.width, opened.height) != self.size or opened.format not in ("uchar", "ushort"):
            raise _Unlike

    def strips(self, first: int) -> Iterator[Pixels]:
        """Its rows from `first` on, `step` of them each time."""
        import pyvips

        width, height = self.size
        with (
            Claim(self.held + self.kept, f"{self.path}: decoding it"),
            _vips_errors(self.path),
            utf8_path(self.path) as name,
        ):
            opened = _opened(name, self.format)
            self._check(opened)
            region = pyvips.Region.new(opened)
            kind = np.dtype("u2" if opened.format == "ushort" else "u1")
            for top in range(first, height, self.step):
                rows = min(self.step, height - top)
                fetched = np.frombuffer(_fetched(region, 0, top, width, rows), kind)
                yield self._brought(fetched.reshape(rows, width, opened.bands))

    def _brought(self, pixels: Pixels) -> Pixels:
        """Bands of libvips as what Pillow gives."""
        if self.own.startswith("I;16"):
            return pixels[:, :, :1]
        if pixels.dtype == np.uint16:  # Pillow keeps the high byte of colors
            pixels = (pixels >> 8).astype(np.uint8)
        if self.own == "CMYK":
            converted: Pixels = np.asarray(Image.fromarray(pixels, "CMYK").convert("RGB"))
            return converted
        channels = channels_of(self.mode)
        if pixels.shape[2] == 2 and channels == 4:  # grey and alpha, of 8 or 16 bits
            return pixels[:, :, [0, 0, 0, 1]]
        if pixels.shape[2] < channels:  # a palette of greys
            return np.repeat(pixels[:, :, :1], channels, axis=2)
        return pixels[:, :, :channels]


def _holding(path: str, held: int, what: str) -> Claim:
    """The claim of what a decoder keeps all the time, of that kind. MemoryLimitError."""
    return Claim(held, f"{path}: decoding {what}, which has to be kept,")


def _pixel_bytes(opened: Any) -> int:
    """Bytes of a pixel of libvips's image."""
    return int(opened.bands * (2 if opened.format == "ushort" else 1))


def _coefficients(image: Image.Image) -> int:
    """Bytes a pixel of a JPEG's coefficients, which are two bytes each."""
    layers = getattr(image, "layer", [])
    shares = [across * down for _, across, down, *_ in layers]
    return -(-2 * sum(shares) // max(shares, default=1)) if shares else 8


def _held_of_tiff(image: Image.Image, pixel: int) -> int:
    """Bytes of a row of tiles, and of a strip or tile as it is in the file; 0 for other files."""
    tags = getattr(image, "tag_v2", {})
    packed = tags.get(_STRIP_BYTES) or tags.get(_TILE_BYTES) or (0,)
    return int(tags.get(_TILE_ROWS, 0)) * image.width * pixel + int(max(packed))


def _opened(name: str, format: str) -> Any:
    """The file as an image of libvips. Raises its errors."""
    import pyvips

    # What libvips warns of is logged, and a logger that nobody has set up prints.
    logging.getLogger("pyvips").addHandler(logging.NullHandler())
    pyvips.cache_set_max(0)  # nothing is done twice, and what is kept is memory
    load = getattr(pyvips.Image, _LOADERS[format])
    # A TIFF of large strips is beyond a limit of libtiff's; what they take is claimed.
    more = {"unlimited": True} if format == "TIFF" else {}
    with _taking_turns:
        return load(name, access="sequential", fail_on="error", **more)


def _fetched(region: Any, left: int, top: int, width: int, height: int) -> Any:
    """Bytes of a part of an image. Raises the errors of libvips.

    A tile that it cannot decode it gives as black, without an error but with words of one.
    """
    import pyvips

    with _taking_turns:
        threads = pyvips.concurrency_get()
        pyvips.concurrency_set(1)  # for several threads it keeps more rows
        pyvips.vips_lib.vips_error_clear()
        try:
            fetched = region.fetch(left, top, width, height)
        finally:
            pyvips.concurrency_set(threads)
        trouble = pyvips.Error("")  # which takes the words that there are
    if trouble.detail:
        raise trouble
    return fetched


@contextmanager
def _vips_errors(shown: str = "") -> Iterator[None]:
    """Raise ImageError, with the picture's name if it is given, for libvips's errors."""
    import pyvips

    name = f"{shown}: " if shown else ""
    try:
        yield
    except pyvips.Error as error:
        raise ImageError(f"{name}broken picture ({_words(error)})") from error
    except OSError as error:
        raise ImageError(f"{name}{error.strerror}") from error
    except _Unlike as error:
        raise ImageError(f"{name}libvips and Pillow find different pictures in it") from error


def _words(error: Exception) -> str:
    """The first line of what libvips says."""
    return " ".join(str(getattr(error, "detail", "") or error).strip().splitlines()[:1])


class _Unlike(Exception):
    """What libvips has opened is not what Pillow found."""
