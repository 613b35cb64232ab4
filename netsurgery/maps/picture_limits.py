"""What a picture's file may ask of the decoders, besides its number of pixels.

Most of what Pillow does is in proportion to the file's bytes and the picture's pixels. The limits
here are for what is not, or is so slow that some MB keep it busy for minutes:

* every scan of a JPEG goes over all pixels, however few bytes it has;
* Exif parts of a JPEG are joined one by one, all of them copied each time;
* a TIFF's strips become a list before anything of the picture's size is checked;
* each comment among the numbers of a plain PNM copies the rest;
* decoders that are written in Python take a microsecond a pixel; headers are read by Python, too,
  some byte by byte, so that a file may say for hours that its pixels are still to come.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING, Any, BinaryIO

from netsurgery.errors import ImageError
from netsurgery.io.argument_types import checks_arguments
from netsurgery.io.memory import Claim
from netsurgery.io.shape_text import shape_text
from netsurgery.io.size import parse_size
from netsurgery.io.wording import argument, counted, with_article

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "METADATA",
    "PIXEL_LIMIT",
    "TIFF_STARTS",
    "Metered",
    "check_decoder",
    "check_enlarged",
    "check_file",
    "check_pixels",
    "max_pixels",
    "parse_pixels",
    "set_max_pixels",
]

#: A picture of more pixels is refused unless `set_max_pixels` allows it: 2^27, a square of 11585,
#: 402 MB as 8-bit RGB.
PIXEL_LIMIT = 1 << 27

#: Bytes of a file for each pixel of the largest picture that is read.
_FILE_BYTES = 8

#: Scans of a JPEG (ten is usual; libtiff has the same limit for JPEG in TIFF), and parts of its
#: Exif, of which there is one.
SCAN_LIMIT = EXIF_LIMIT = 100

#: Strips or tiles of a TIFF: of 32 x 32 pixels in the largest picture that is read by default.
STRIP_LIMIT, _STRIP_PIXELS = 1 << 17, 1 << 10

#: How a TIFF begins, of 32 and of 64 bits.
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

#: Comments in a plain PNM.
COMMENT_LIMIT = 10000

#: What a file holds besides pixels takes so many times its bytes, at most, while it is read.
METADATA = 2

#: Pixels for a decoder that is written in Python.
SLOW_LIMIT = 1 << 24

#: Reads of less than _PIECE bytes, about, while a header is read or what is after the pixels.
READ_LIMIT, _PIECE = 1 << 17, 1024

_SLOW = ("ppm", "ppm_plain", "bmp_rle")

_BLOCK = 1 << 20

#: A marker of a JPEG: not a stuffed byte, not a restart, not one of several fill bytes.
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_SOI, _EOI, _SOS, _APP1, _TEM = 0xD8, 0xD9, 0xDA, 0xE1, 0x01

_OFFSETS = (273, 324)  # the tags of a TIFF that list its strips and its tiles

#: The user's limit of pixels, or None.
_max_pixels: int | None = None


@checks_arguments()
def set_max_pixels(limit: int | str | None) -> None:
    """Let pictures have `limit` pixels at most: a number, or a height and width as "40000x40000".

    None: 2^27, 134 million. It holds for the whole process. Such a picture is decoded as a whole
    where that takes no more than half of the memory that may be used (`set_max_memory`); else it is
    read in strips, by pyvips. Raises ValueError for what is not a number of pixels.

    >>> set_max_pixels("40000x40000")
    >>> max_pixels()
    1600000000
    >>> set_max_pixels(None)
    """
    global _max_pixels
    if isinstance(limit, str):
        limit = parse_pixels(limit)
    if limit is not None and limit <= 0:
        raise ValueError(f"{limit} is not a number of pixels above 0")
    _max_pixels = limit


def max_pixels() -> int:
    """How many pixels a picture may have."""
    return PIXEL_LIMIT if _max_pixels is None else _max_pixels


def parse_pixels(text: str) -> int:
    """``"1600000000"`` or ``"40000x40000"``: pixels. Raises ValueError for what is neither.

    >>> parse_pixels("200x30")
    6000
    """
    if text.isascii() and text.isdigit() and 0 < len(text) < 16 and int(text) > 0:
        return int(text)
    try:
        height, width = parse_size(text)
    except ValueError:
        raise ValueError(
            f"{text[:60]!r} is not a number of pixels from 1 up, or HEIGHTxWIDTH"
        ) from None
    return height * width


def check_pixels(height: int, width: int, words: str = "") -> None:
    """Raise ImageError, ending in `words`, where a picture has more pixels than it may have."""
    if height * width > max_pixels():
        raise ImageError(
            f"{shape_text((height, width))} is more than {counted(max_pixels(), 'pixel')} "
            f"({argument('--max-pixels')}){words}"
        )


def check_enlarged(name: str, image: tuple[int, int], size: tuple[int, int]) -> None:
    """Raise ImageError where a picture is to be made one of more pixels than one may have."""
    if prod(size) > max(prod(image), max_pixels()):
        raise ImageError(
            f"{name}: an input of {shape_text(size)} made of {shape_text(image)} is more than "
            f"{counted(max_pixels(), 'pixel')} ({argument('--max-pixels')})"
        )


def check_file(file: BinaryIO, size: int) -> None:
    """Raise ImageError where the content of `file`, of `size` bytes, breaks one of the limits."""
    most = _FILE_BYTES * max(PIXEL_LIMIT, max_pixels())
    if size > most:
        raise ImageError(
            f"{counted(size, 'byte')}; a picture's file may have {most} "
            f"({argument('--max-pixels')})"
        )
    file.seek(0)
    start = file.read(4)
    if start[:2] == b"\xff\xd8":
        _check_jpeg(file)
    elif start in TIFF_STARTS:
        _check_tiff(file, "<" if start[:1] == b"I" else ">", big=b"+" in start)
    elif start[:2] in (b"P1", b"P2", b"P3"):
        _check_plain(file)
    file.seek(0)


def check_decoder(image: Image.Image) -> None:
    """Raise ImageError where the decoder for an opened picture is too slow for its size."""
    tiles = getattr(image, "tile", [])
    if tiles and tiles[0][0] in _SLOW and image.width * image.height > SLOW_LIMIT:
        raise ImageError(
            f"{shape_text((image.height, image.width))} is more than {SLOW_LIMIT} pixels, "
            f"which is the most for this way of writing {with_article(image.format or 'picture')}; "
            "save it with 8 bits a channel, as PNG"
        )


class Metered:
    """A picture's file that may be read in small pieces so many times, and no oftener.

    Reading on raises ImageError. `free` takes the meter away. claim: grows by what may be kept of
    what is read; None once a header is read.
    """

    def __init__(self, file: BinaryIO, claim: Claim) -> None:
        self._file, self._left, self._counts = file, READ_LIMIT * _PIECE, True
        self.claim: Claim | None = claim

    def read(self, size: int = -1) -> bytes:
        """As the file's own."""
        data = self._file.read(size)
        if self.claim is not None:
            self.claim.add(METADATA * len(data))
        self._left -= (_PIECE - len(data)) * self._counts
        if self._left < 0:
            raise ImageError(
                f"more than {READ_LIMIT} pieces that are not pixels; expected a picture"
            )
        return data

    def free(self) -> None:
        """Let it be read however it is."""
        self._counts = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _check_jpeg(file: BinaryIO) -> None:
    counts = Counter[int]()
    for marker in _markers(file):
        counts[marker] += 1
        if counts[_SOS] > SCAN_LIMIT:
            raise ImageError(f"a JPEG of more than {SCAN_LIMIT} scans; save it again")
        if counts[_APP1] > EXIF_LIMIT:
            raise ImageError(f"a JPEG with more than {EXIF_LIMIT} parts of Exif; save it again")
        if counts[marker] > READ_LIMIT:
            raise ImageError(f"a JPEG with more than {READ_LIMIT} markers of a kind; save it again")
        if marker == _EOI:
            return


def _markers(file: BinaryIO) -> Iterator[int]:
    """The markers of a JPEG from its second on, but for what lies in segments of stated length."""
    start, block, at = 0, b"", 2  # the block begins at `start` of the file
    while True:
        if not start <= at <= start + len(block) - 2:
            file.seek(at)
            start, block = at, file.read(_BLOCK)
        if len(block) < 2:
            return
        if (match := _MARKER.search(block, at - start)) is None:
            at = start + len(block) - 1  # its last byte may begin one
            continue
        marker, at = match[0][1], start + match.end()
        yield marker
        if marker not in (_SOI, _EOI, _TEM):
            file.seek(at)
            at += max(2, int.from_bytes(file.read(2), "big"))


def _check_tiff(file: BinaryIO, order: str, big: bool) -> None:
    """Look at the counts in the first directory; what is wrong with it is said by the decoder."""
    word, entry = (f"{order}Q", f"{order}HHQ8x") if big else (f"{order}I", f"{order}HHI4x")
    file.seek(8 if big else 4)
    try:
        (at,) = struct.unpack(word, file.read(struct.calcsize(word)))
        file.seek(at)
        count = f"{order}Q" if big else f"{order}H"
        (entries,) = struct.unpack(count, file.read(struct.calcsize(count)))
        length = struct.calcsize(entry)
        directory = file.read(min(entries, READ_LIMIT) * length)
    except (struct.error, OSError, OverflowError, ValueError):
        return
    most = max(STRIP_LIMIT, max_pixels() // _STRIP_PIXELS)
    for place in range(0, len(directory) - length + 1, length):
        tag, _, many = struct.unpack_from(entry, directory, place)
        if tag in _OFFSETS and many > most:
            raise ImageError(f"a TIFF whose strips or tiles are {many}; at most {most} are taken")


def _check_plain(file: BinaryIO) -> None:
    comments = 0
    while block := file.read(_BLOCK):
        comments += block.count(b"#")
        if comments > COMMENT_LIMIT:
            raise ImageError(f"a PNM with more than {COMMENT_LIMIT} comments; save it again")
