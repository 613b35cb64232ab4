"""Pictures as arrays: what caffe.io.load_image reads, for more kinds of file, and upright.

Values are those of caffe.io as Debian 11 runs it: 8 and 16 bit scaled to 0..1, a grey picture
repeated for a net of three channels, alpha then dropped, and for a net of one channel the picture
laid over white and made grey as 0.2125 R + 0.7154 G + 0.0721 B. The one departure is that the
EXIF orientation is applied, so that height, width and every place are those a viewer shows.
"""

from __future__ import annotations

import io
import os
import stat
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast

import numpy as np
from PIL import Image, UnidentifiedImageError

from netsurgery.errors import ImageError, NetsurgeryError
from netsurgery.io.argument_types import checks_arguments
from netsurgery.io.memory import Claim, empty
from netsurgery.io.shape_text import shape_text
from netsurgery.io.sniff import HEAD, refusal, what_it_is
from netsurgery.io.terminal import STDIN, no_warnings, unheard
from netsurgery.io.unreadable import unreadable
from netsurgery.maps.picture_limits import Metered, check_decoder, check_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    Array = NDArray[np.float32]
    Pixels = NDArray[Any]

__all__ = [
    "PIXEL_LIMIT",
    "Picture",
    "decode_picture",
    "out_of_memory_named",
    "picture_of_pillow",
    "picture_title",
    "read_picture",
]

#: A picture of more pixels is refused: 2^27, a square of 11585, 402 MB as 8-bit RGB.
PIXEL_LIMIT = 1 << 27

#: What does not come from a regular file is read whole; more bytes than this are refused.
STREAM_LIMIT = 1 << 28

#: What a file holds besides pixels takes so many times its bytes, at most, while it is read.
_METADATA = 2

#: Kinds that are decoded in this process alone (Pillow's EPS would start Ghostscript).
_FORMATS = ("JPEG", "PNG", "MPO", "PPM", "BMP", "GIF", "TIFF", "WEBP")

_UNREAD = "not a picture of a kind that can be read (JPEG, PNG, PPM, BMP, GIF, TIFF, WebP)"

#: ITU-R 709 primaries as scikit-image's rgb2gray has them.
_GREY = (0.2125, 0.7154, 0.0721)

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

#: Pixels that go from Pillow's memory into an array at a time, and that are made grey.
_BOX, _SOME = 1 << 20, 1 << 18

#: Bytes a pixel that decoders need beside Pillow's picture: JPEG's coefficients of several scans,
#: WebP's canvases, whole strips of a TIFF, a BMP or PNM that Python decodes.
_BESIDE = {"JPEG": 8, "MPO": 8, "WEBP": 12, "TIFF": 4, "BMP": 4, "PPM": 4}

#: Bytes that Pillow needs for a row, however short.
_ROW = 16

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
        return 1.0 if self.pixels.dtype.kind == "f" else float(np.iinfo(self.pixels.dtype).max)

    @checks_arguments()
    def channels(self, count: int) -> tuple[Pixels, float]:
        """The pixels as H x W x `count` (1 or 3), and the value that stands for 1.0 in them.

        Whole numbers where no arithmetic is needed, else float32 and 1.0.
        """
        have = self.pixels.shape[2]
        if count == 1 and have > 1:
            return self._grey(), 1.0
        if count == 3 and have == 1:
            return np.broadcast_to(self.pixels, (*self.size, 3)), self.peak
        return self.pixels[:, :, :count], self.peak

    def _grey(self) -> Array:
        result: Array = empty((*self.size, 1), "f4", f"{self.shown}: making it grey")
        flat, grey = self.pixels.reshape(-1, self.pixels.shape[2]), result.reshape(-1)
        for start in range(0, len(flat), _SOME):  # a part at a time: float64 is eight times uint8
            part = flat[start : start + _SOME] / self.peak
            if part.shape[1] == 4:
                part = part[:, :3] * part[:, 3:] + (1.0 - part[:, 3:])
            grey[start : start + _SOME] = part @ np.array(_GREY)
        return result

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


@contextmanager
def out_of_memory_named(name: str) -> Iterator[None]:
    """Raise ImageError, with the picture's name, for a MemoryError in what is done with it."""
    try:
        yield
    except MemoryError as error:
        raise ImageError(f"{_shown(name)}: not enough memory for this picture") from error


def read_picture(path: str | Path) -> Picture:
    """Read a picture, or one from standard input for ``-``; of several frames the first.

    Raises ImageError: no such file, not a picture, truncated, too large, a pixel type that has no
    0..1 range (floats, 32-bit integers); MemoryLimitError.

    >>> read_picture("examples/digits_canvas.png").pixels.shape
    (192, 288, 1)
    """
    name = str(path)
    with _decoding(name), _opened(name) as file:
        return Picture(name, _decoded(file, name))


def decode_picture(content: bytes, name: str) -> Picture:
    """The picture in the bytes of a file, called `name` in messages. Raises as `read_picture`."""
    with _decoding(name), _whole(io.BytesIO(content), name) as file:
        return Picture(name, _decoded(file, name))


def picture_of_pillow(image: Image.Image, name: str) -> Picture:
    """A Pillow image as it would be if it had been read from a file. Raises as `read_picture`."""
    width, height = image.size
    with _decoding(name):
        try:
            if width * height > PIXEL_LIMIT:
                raise ImageError(f"{shape_text((height, width))} is more than {PIXEL_LIMIT} pixels")
            mode = _known_mode(image)
            image.load()
            return Picture(name, _upright(image, mode, f"{name}: its pixels as an array"))
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


def picture_title(name: str) -> str:
    """`Picture.title` of a picture of that name."""
    return _shown(name).replace("\\", "/").split("/")[-1]


def _shown(path: str) -> str:
    return STDIN if path == "-" else path


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


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


def _decoded(file: BinaryIO, path: str) -> Pixels:
    size = file.seek(0, os.SEEK_END)
    try:
        check_file(file, size)
        with Claim(_METADATA * size, f"{_shown(path)}: reading it"):
            return _pixels(file, path)
    except ImageError as error:
        raise ImageError(f"{_shown(path)}: {error}") from error


def _pixels(file: BinaryIO, path: str) -> Pixels:
    """Raises ImageError without the file's name."""
    _register(file)
    limit, metered = Image.MAX_IMAGE_PIXELS, Metered(file)
    kinds = [kind for kind in _FORMATS if kind in Image.OPEN]
    try:
        image = Image.open(cast(BinaryIO, metered), formats=kinds)
    except UnidentifiedImageError as error:
        file.seek(0)
        head = file.read(HEAD)
        reason = "" if what_it_is(head).endswith("picture") else refusal(head, "a picture")
        raise ImageError(reason or _UNREAD) from error
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"more than {2 * (limit or 0)} pixels; at most {PIXEL_LIMIT} are taken"
        ) from error
    with image:
        width, height = image.size
        if width * height > PIXEL_LIMIT:
            raise ImageError(
                f"{shape_text((height, width))} is more than {PIXEL_LIMIT} pixels; "
                "scale it down first"
            )
        check_decoder(image)
        if image.format != "PNG":  # what is after its pixels is read in pieces, too
            metered.free()
        mode = _known_mode(image)
        pixel = 1 if image.mode in ("1", "L", "P") else 4
        beside = _BESIDE.get(image.format or "", 0)
        needed = width * height * (pixel + beside) + _ROW * height
        with Claim(needed, f"{_shown(path)}: decoding it"):
            image.load()
            return _upright(image, mode, f"{_shown(path)}: its pixels as an array")


def _orientation(image: Image.Image) -> int:
    """EXIF's orientation of a loaded picture, 1 to 8; 1 (upright) where none can be read.

    Pillow turns a TIFF upright itself when it loads it.
    """
    try:
        orientation = image.getexif().get(0x0112, 1)
    except MemoryError:
        raise
    except Exception:  # damaged metadata is no reason to refuse the pixels
        return 1
    return orientation if isinstance(orientation, int) else 1


def _known_mode(image: Image.Image) -> str:
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
    if mode == "P" and image.format == "PNG" and "transparency" in image.info:
        return "RGBA"
    return "RGBA" if "A" in mode or "a" in mode else "RGB"


def _upright(image: Image.Image, mode: str, what: str) -> Pixels:
    """The loaded picture as an array, upright; box by box, as each is copied several times."""
    (width, height), orientation = image.size, _orientation(image)
    channels = {"RGB": 3, "RGBA": 4}.get(mode, 1)
    sides = (width, height) if orientation in (5, 6, 7, 8) else (height, width)
    upright = empty((*sides, channels), "u2" if mode.startswith("I") else "u1", what)
    turn = _STORED.get(orientation)
    stored = upright if turn is None else turn(upright)
    across = min(width, _BOX)
    down = _BOX // across
    for left, top in product(range(0, width, across), range(0, height, down)):
        right, bottom = min(left + across, width), min(top + down, height)
        part = image.crop((left, top, right, bottom))
        values = np.asarray(part if part.mode == mode else part.convert(mode))
        if mode.startswith("I"):  # 16 bits, of either byte order, or held in 32
            values = np.clip(values, 0, 65535)
        stored[top:bottom, left:right] = values.reshape(bottom - top, right - left, channels)
    return upright
