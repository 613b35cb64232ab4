"""Pictures as arrays: what caffe.io.load_image reads, for more kinds of file, and upright.

Values are those of caffe.io as Debian 11 runs it: 8 and 16 bit scaled to 0..1, a grey picture
repeated for a net of three channels, alpha dropped there, and for a net of one channel the picture
laid over white and made grey as 0.2125 R + 0.7154 G + 0.0721 B. The one departure is that the
EXIF orientation is applied, so that height, width and every place are those a viewer shows.
"""

from __future__ import annotations

import io
import os
import stat
import sys
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from netsurgery.errors import ImageError
from netsurgery.io.terminal import unheard

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]
    Pixels = NDArray[Any]

__all__ = ["PIXEL_LIMIT", "Picture", "read_picture"]

#: A picture of more pixels is refused: 2^27, a square of 11585, 402 MB as 8-bit RGB.
PIXEL_LIMIT = 1 << 27

#: What does not come from a regular file is read whole; more bytes than this are refused.
STREAM_LIMIT = 1 << 28

#: Kinds that are decoded in this process alone (Pillow's EPS would start Ghostscript).
_FORMATS = ("JPEG", "PNG", "MPO", "PPM", "BMP", "GIF", "TIFF", "WEBP")

#: ITU-R 709 primaries as scikit-image's rgb2gray has them.
_GREY = (0.2125, 0.7154, 0.0721)

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture, upright.

    name: as the user gave it. pixels: H x W x C, uint8 or uint16; C is 1 (grey), 3 (RGB) or 4
    (RGB and alpha).
    """

    name: str
    pixels: Pixels

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @property
    def peak(self) -> float:
        """The pixel value that stands for 1.0."""
        return float(np.iinfo(self.pixels.dtype).max)

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
        made = np.empty((*self.size, 1), np.float32)
        for row in range(0, self.size[0], 256):  # in bands: float64 is eight times uint8
            band = self.pixels[row : row + 256] / self.peak
            if band.shape[2] == 4:
                band = band[:, :, :3] * band[:, :, 3:] + (1.0 - band[:, :, 3:])
            made[row : row + 256, :, 0] = band @ np.array(_GREY)
        return made

    def thumbnail(self, size: tuple[int, int]) -> Image.Image:
        """The picture as RGB of this height and width, for looking at; alpha is dropped."""
        pixels = self.pixels[:, :, :3]
        if pixels.dtype != np.uint8:
            pixels = (pixels >> 8).astype(np.uint8)
        seen = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        rgb = seen.convert("RGB")
        return rgb.resize((size[1], size[0]), Image.Resampling.LANCZOS)


def read_picture(path: str) -> Picture:
    """Read a picture, or one from standard input for ``-``; of several frames the first.

    Raises ImageError: no such file, not a picture, truncated, too large, a pixel type that has no
    0..1 range (floats, 32-bit integers).
    """
    with warnings.catch_warnings(), unheard():
        # Pillow warns of large pictures (there is a limit of our own) and of damaged metadata;
        # libtiff prints.
        warnings.simplefilter("ignore")
        try:
            with _opened(path) as file:
                return Picture(path, _decoded(file, path))
        except ImageError:
            raise
        except MemoryError as error:
            raise ImageError(f"{_shown(path)}: not enough memory for this picture") from error
        except OSError as error:
            raise ImageError(f"{_shown(path)}: {_reason(error)}") from error
        except Exception as error:  # decoders meet broken files with any exception at all
            raise ImageError(f"{_shown(path)}: broken picture ({_one_line(error)})") from error


def _shown(path: str) -> str:
    return "standard input" if path == "-" else path


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _reason(error: OSError) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not a picture of a kind that can be read (JPEG, PNG, PPM, BMP, GIF, TIFF, WebP)"
    # The system's own errors carry an errno; Pillow's decoders raise OSError without one.
    return error.strerror if error.strerror else f"broken picture ({_one_line(error)})"


def _opened(path: str) -> BinaryIO:
    if path == "-":
        if sys.stdin is None:  # it was closed before we began
            raise ImageError("standard input: is closed")
        return _whole(sys.stdin.buffer, path)
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise ImageError(f"{path}: is a directory; expected a picture")
    if not stat.S_ISREG(mode):  # a pipe: `<(command)`
        with open(path, "rb") as stream:
            return _whole(stream, path)
    if os.path.getsize(path) == 0:
        raise ImageError(f"{path}: is empty; expected a picture")
    return open(path, "rb")


def _whole(file: BinaryIO, path: str) -> BinaryIO:
    """A stream read whole, as decoders seek."""
    content = file.read(STREAM_LIMIT + 1)
    if not content:
        raise ImageError(f"{_shown(path)}: is empty; expected a picture")
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
    _register(file)
    limit = Image.MAX_IMAGE_PIXELS
    try:
        image = Image.open(file, formats=[kind for kind in _FORMATS if kind in Image.OPEN])
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"{_shown(path)}: more than {2 * (limit or 0)} pixels; at most {PIXEL_LIMIT} are taken"
        ) from error
    with image:
        width, height = image.size
        if width * height > PIXEL_LIMIT:
            raise ImageError(
                f"{_shown(path)}: {width} x {height} is more than {PIXEL_LIMIT} pixels; "
                "scale it down first"
            )
        turn = _TURNS.get(_orientation(image))
        kept = _known_mode(image, path)
        return _as_pixels(kept if turn is None else kept.transpose(turn))


def _orientation(image: Image.Image) -> int:
    """EXIF's orientation, 1 to 8; 1 (upright) where there is none that can be read."""
    try:
        found = image.getexif().get(0x0112, 1)
    except Exception:  # damaged metadata is no reason to refuse the pixels
        return 1
    return found if isinstance(found, int) else 1


def _known_mode(image: Image.Image, path: str) -> Image.Image:
    """The picture in a mode that `_as_pixels` knows: L, RGB, RGBA or 16-bit grey."""
    mode = image.mode
    if mode.startswith("I;16") or (mode == "I" and image.format in ("PNG", "PPM")):
        image.load()
        return image
    if mode in ("I", "F"):
        raise ImageError(
            f"{_shown(path)}: its pixels are {'32-bit integers' if mode == 'I' else 'floats'}, "
            "which have no agreed range; save it with 8 or 16 bits a channel"
        )
    if mode in ("L", "1"):
        return image.convert("L")
    if mode == "P" and image.format == "PNG" and "transparency" in image.info:
        return image.convert("RGBA")
    return image.convert("RGBA" if "A" in mode or "a" in mode else "RGB")


def _as_pixels(image: Image.Image) -> Pixels:
    pixels = np.asarray(image)
    if pixels.dtype.itemsize > 1:  # 16 bits, of either byte order, or held in 32
        pixels = np.clip(pixels, 0, 65535).astype(np.uint16)
    return pixels[:, :, np.newaxis] if pixels.ndim == 2 else pixels
