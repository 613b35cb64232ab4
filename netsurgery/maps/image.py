"""Pictures as arrays: what caffe.io.load_image reads, for more kinds of file, and upright.

Values are those of caffe.io as Debian 11 runs it: 8 and 16 bit scaled to 0..1, a grey picture
repeated for a net of three channels, alpha then dropped, and for a net of one channel the picture
laid over white and made grey as 0.2125 R + 0.7154 G + 0.0721 B. The one departure is that the
EXIF orientation is applied, so that height, width and every place are those a viewer shows.
"""

from __future__ import annotations

import copy
import io
import os
import stat
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypeAlias, cast

import numpy as np
from PIL import Image, UnidentifiedImageError

from netsurgery.errors import ImageError, NetsurgeryError
from netsurgery.io.argument_types import checks_arguments
from netsurgery.io.memory import Claim, claim_for
from netsurgery.io.sniff import HEAD, refusal, what_it_is
from netsurgery.io.terminal import STDIN, no_warnings, unheard
from netsurgery.io.unreadable import unreadable
from netsurgery.maps.channels import as_channels, peak_of
from netsurgery.maps.picture_limits import (
    METADATA,
    Metered,
    check_decoder,
    check_file,
    check_pixels,
)
from netsurgery.maps.pillow_pixels import (
    decoding_memory,
    is_misread,
    known_mode,
    orientation,
    upright,
)
from netsurgery.maps.rows import ArrayRows, PixelRows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    Pixels = NDArray[Any]

__all__ = [
    "NotDecoded",
    "Picture",
    "Streaming",
    "decode_picture",
    "is_turned",
    "open_file",
    "out_of_memory_named",
    "picture_file",
    "picture_of_pillow",
    "picture_title",
    "read_picture",
    "renamed",
]

#: What does not come from a regular file is read whole; more bytes than this are refused.
STREAM_LIMIT = 1 << 28

#: Kinds that are decoded in this process alone (Pillow's EPS would start Ghostscript).
_FORMATS = ("JPEG", "PNG", "MPO", "PPM", "BMP", "GIF", "TIFF", "WEBP")

_UNREAD = "not a picture of a kind that can be read (JPEG, PNG, PPM, BMP, GIF, TIFF, WebP)"

#: The attribute of a picture under another name that has its file.
_FILE = "_file"

#: Held while Pillow's own limit of pixels, which is the whole process's, is lifted.
_pillow = threading.RLock()

#: A thumbnail is made of means of pixels where these would still be this many times its size.
_FINER = 8


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture, upright.

    name: as the user gave it. pixels: H x W x C, uint8, uint16, or float32 of 0..1; C is 1 (grey),
    3 (RGB) or 4 (RGB and alpha).

    >>> import netsurgery as ns
    >>> picture = ns.read_picture("examples/digits_canvas.png")
    >>> picture.size, picture.pixels.dtype.name, picture.thumbnail((20, 30)).size
    ((192, 288), 'uint8', (30, 20))
    """

    name: str
    pixels: Pixels

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @property
    def shown(self) -> str:
        """What messages call it: "-" was read from standard input."""
        return _shown(self.name)

    @property
    def title(self) -> str:
        """What it is called over a map: without the folders that its file lies in."""
        return picture_title(self.name)

    @property
    def peak(self) -> float:
        """The pixel value that stands for 1.0."""
        return peak_of(self.pixels.dtype)

    @property
    def rows(self) -> PixelRows:
        """Its rows, which are read from the top down."""
        return ArrayRows(self.pixels)

    @checks_arguments()
    def channels(self, count: int) -> tuple[Pixels, float]:
        """The pixels as H x W x `count` (1 or 3), and the value that stands for 1.0 in them.

        Whole numbers where no arithmetic is needed, else float32 and 1.0.
        """
        if count == 1 and self.pixels.shape[2] > 1:
            needed = 4 * self.size[0] * self.size[1]
            claim = Claim(needed, f"{self.shown}: making it grey")
            grey, peak = as_channels(self.pixels, count)
            return claim_for(grey, claim), peak
        return as_channels(self.pixels, count)

    @checks_arguments()
    def thumbnail(self, size: tuple[int, int], mode: Literal["RGB", "L"] = "RGB") -> Image.Image:
        """The picture in color or grey (L), of this height and width; alpha is dropped."""
        pixels = _means(self.pixels[:, :, :3], size)
        if pixels.dtype.kind == "f":
            pixels = np.rint(pixels * 255).astype(np.uint8)
        elif pixels.dtype != np.uint8:
            pixels = (pixels >> 8).astype(np.uint8)
        image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        shown = image.convert(mode)
        return shown.resize((size[1], size[0]), Image.Resampling.LANCZOS)


def _means(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """The pixels, fewer of them where they are many times more than `size` can show."""
    down, across = (max(1, pixels.shape[axis] // (_FINER * size[axis])) for axis in range(2))
    if down == across == 1:
        return pixels
    height, width = pixels.shape[0] // down, pixels.shape[1] // across
    cells = pixels[: height * down, : width * across].reshape(height, down, width, across, -1)
    means: Pixels = cells.mean(axis=(1, 3), dtype=np.float32).astype(pixels.dtype)
    return means


class NotDecoded(ImageError):
    """A file of no kind that Pillow is asked to decode."""


#: Makes a picture of one whose header is read, its file's name and the mode to bring it to, or
#: None to have it decoded as a whole.
Streaming: TypeAlias = "Callable[[Image.Image, str, str], Picture | None]"


@contextmanager
def out_of_memory_named(name: str) -> Iterator[None]:
    """Raise ImageError, with the picture's name, for a MemoryError in what is done with it."""
    try:
        yield
    except MemoryError as error:
        raise ImageError(f"{_shown(name)}: not enough memory for this picture") from error


@checks_arguments()
def read_picture(path: str | Path) -> Picture:
    """Read a picture, or one from standard input for ``-``; of several frames the first.

    Raises ImageError: no such file, not a picture, truncated, too large, a pixel type that has no
    0..1 range (floats, 32-bit integers); MemoryLimitError.

    >>> read_picture("examples/digits_canvas.png").pixels.shape
    (192, 288, 1)
    """
    return open_file(str(path), None)


def open_file(name: str, streaming: Streaming | None) -> Picture:
    """`read_picture`, unless `streaming` gives another picture for a regular file's header."""
    if name == "-" or not os.path.isfile(name):
        streaming = None
    with _decoding(name), _opened(name) as file:
        return _decoded(file, name, streaming)


def decode_picture(content: bytes, name: str) -> Picture:
    """The picture in the bytes of a file, called `name` in messages. Raises as `read_picture`."""
    with _decoding(name), _whole(io.BytesIO(content), name) as file:
        return _decoded(file, name)


def picture_of_pillow(image: Image.Image, name: str) -> Picture:
    """A Pillow image as it would be if it had been read from a file. Raises as `read_picture`."""
    width, height = image.size
    with _decoding(name):
        try:
            check_pixels(height, width)
            mode = known_mode(image)
            image.load()
            return Picture(name, upright(image, mode, f"{name}: its pixels as an array"))
        except ImageError as error:
            raise ImageError(f"{name}: {error}") from error


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Raise ImageError, with the picture's name, for whatever a decoder raises."""
    # Pillow warns of large pictures (there is a limit of our own) and of damaged metadata; libtiff
    # prints.
    with no_warnings, unheard():
        try:
            with out_of_memory_named(name):
                yield
        except NetsurgeryError:
            raise
        except OSError as error:
            file, reason = unreadable(name, error, "a picture")
            # The system's own errors carry an errno; Pillow's decoders raise OSError without one.
            if not error.strerror:
                file, reason = _shown(name), f"broken picture ({_one_line(error)})"
            raise ImageError(f"{file}: {reason}") from error
        except Exception as error:  # decoders meet broken files with any exception at all
            raise ImageError(f"{_shown(name)}: broken picture ({_one_line(error)})") from error


def renamed(picture: Picture, name: str) -> Picture:
    """The same picture under another name.

    >>> picture = renamed(read_picture("examples/digits_canvas.png"), "s3://bucket/canvas.png")
    >>> picture.name, picture_file(picture)
    ('s3://bucket/canvas.png', 'examples/digits_canvas.png')
    """
    same = copy.copy(picture)
    object.__setattr__(same, "name", name)
    object.__setattr__(same, _FILE, picture_file(picture))
    return same


def picture_file(picture: Picture) -> str:
    """The file that a picture came from, if it did: its name, unless it was given another."""
    return str(vars(picture).get(_FILE, picture.name))


def picture_title(name: str) -> str:
    """`Picture.title` of a picture of that name."""
    return _shown(name).replace("\\", "/").split("/")[-1]


def _shown(path: str) -> str:
    return STDIN if path == "-" else path


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def is_turned(path: Path) -> bool:
    """Whether a picture is turned upright when it is read; not one that Pillow does not know."""
    try:
        with no_warnings, _bombs_allowed(), Image.open(path) as image:
            return orientation(image) != 1
    except OSError:
        return False


def _opened(path: str) -> BinaryIO:
    if path == "-":
        if sys.stdin is None:  # it was closed before we began
            raise ImageError(f"{STDIN}: is closed")
        return _whole(sys.stdin.buffer, path)
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # a pipe: `<(command)`
        with open(path, "rb") as stream:
            return _whole(stream, path)
    if stat.S_ISREG(mode) and os.path.getsize(path) == 0:
        raise ImageError(f"{path}: is empty, expected a picture")
    return open(path, "rb")


def _whole(file: BinaryIO, path: str) -> BinaryIO:
    """A stream read whole, as decoders seek."""
    content = file.read(STREAM_LIMIT + 1)
    if not content:
        raise ImageError(f"{_shown(path)}: is empty, expected a picture")
    if len(content) > STREAM_LIMIT:
        raise ImageError(f"{_shown(path)}: more than {STREAM_LIMIT} bytes; expected a picture")
    return io.BytesIO(content)


def _register(file: BinaryIO) -> None:
    """Have Pillow know the file's kind: TIFF and WebP, 7 ms to import, where it begins like one."""
    Image.preinit()
    start = file.read(4)
    file.seek(0)
    if start[:2] in (b"II", b"MM"):
        from PIL import TiffImagePlugin  # noqa: F401 - it registers itself
    elif start == b"RIFF":
        from PIL import WebPImagePlugin  # noqa: F401 - it registers itself


def _decoded(file: BinaryIO, path: str, streaming: Streaming | None = None) -> Picture:
    size = file.seek(0, os.SEEK_END)
    try:
        check_file(file, size)
        with Claim(0, f"{_shown(path)}: reading it") as claim:
            metered = Metered(file, claim)
            with _header(file, metered) as image:
                metered.claim = None
                large = None if streaming is None else streaming(image, path, known_mode(image))
                if large is not None:
                    return large
                claim.at_least(METADATA * size)
                if image.format != "PNG":  # what is after its pixels is read in pieces, too
                    metered.free()
                return Picture(path, _pixels(image, path))
    except ImageError as error:
        raise type(error)(f"{_shown(path)}: {error}") from error


def _header(file: BinaryIO, metered: Metered) -> Image.Image:
    """The picture, of which nothing but the header is read. Raises ImageError without its name."""
    _register(file)
    kinds = [kind for kind in _FORMATS if kind in Image.OPEN]
    try:
        with _bombs_allowed():
            image = Image.open(cast(BinaryIO, metered), formats=kinds)
    except UnidentifiedImageError as error:
        file.seek(0)
        head = file.read(HEAD)
        reason = "" if what_it_is(head).endswith("picture") else refusal(head, "a picture")
        raise (ImageError(reason) if reason else NotDecoded(_UNREAD)) from error
    if is_misread(image):
        raise NotDecoded(_UNREAD)
    check_pixels(image.height, image.width, "; scale it down first")
    check_decoder(image)
    return image


@contextmanager
def _bombs_allowed() -> Iterator[None]:
    """Have Pillow open pictures of any size; there is a limit of our own."""
    with _pillow:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _pixels(image: Image.Image, path: str) -> Pixels:
    mode = known_mode(image)
    with Claim(decoding_memory(image), f"{_shown(path)}: decoding it"):
        image.load()
        return upright(image, mode, f"{_shown(path)}: its pixels as an array")
