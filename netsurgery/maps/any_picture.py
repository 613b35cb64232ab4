"""Whatever a caller has a picture in, as a `Picture`: the one function that every verb asks."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, cast

import numpy as np
from PIL import Image

from netsurgery.errors import ImageError
from netsurgery.io.memory import empty
from netsurgery.io.shape_text import shape_text
from netsurgery.io.unreadable import unreadable
from netsurgery.maps.image import (
    STREAM_LIMIT,
    Picture,
    decode_picture,
    picture_of_pillow,
    read_picture,
)
from netsurgery.maps.picture_limits import check_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    AnyPicture: TypeAlias = (
        str | os.PathLike[str] | bytes | BinaryIO | Image.Image | NDArray[Any] | Picture
    )

__all__ = ["NotAPicture", "as_picture", "as_pictures", "each_picture", "picture_name"]

_EXPECTED = (
    "a path, a Pillow image, the bytes of a file, a binary file, or an array H x W, H x W x 1, 3 "
    "or 4 of uint8 or of floats 0..1"
)


class NotAPicture(ImageError, TypeError):
    """A value that no picture can be made of."""


def as_picture(image: AnyPicture, name: str = "") -> Picture:
    """The picture in a path, a Pillow image, bytes, a binary file, an array, or a Picture.

    A path may be that of a .npy file, whose array is mapped, not read; so is a np.memmap.

    An array is H x W, or H x W x C with C 1 (grey), 3 (RGB) or 4 (RGB and alpha), uint8, uint16
    (of which 65535 is 1.0) or floats of 0..1. Alpha counts as in a file: dropped for a net of
    three channels, laid over white for a grey one. name: what messages and results call it; by
    default a file's own name, else what kind of thing it is.

    Raises NotAPicture, which is a TypeError and an ImageError, for anything else; ImageError for
    one that cannot be read, and for floats outside 0..1.

    >>> import numpy as np
    >>> as_picture(np.zeros((4, 6), np.uint8)).pixels.shape
    (4, 6, 1)
    """
    if isinstance(image, Picture):
        return image
    name = picture_name(image, name)
    if isinstance(image, (str, os.PathLike)):
        return _of_npy(name) if name.endswith(".npy") else read_picture(name)
    if isinstance(image, (bytes, bytearray, memoryview)):
        return decode_picture(bytes(image), name)
    if isinstance(image, Image.Image):
        return picture_of_pillow(image, name)
    if hasattr(image, "read"):
        return _of_file(image, name)
    if hasattr(image, "__array__"):
        return Picture(name, _pixels(np.asarray(image), name))
    raise NotAPicture(f"{name}: found {_kind(image)}; expected {_EXPECTED}")


def picture_name(image: AnyPicture, name: str = "") -> str:
    """What messages and results call a picture, which is not read for it; name: as `as_picture`.

    >>> picture_name("cat.png"), picture_name(b"...")
    ('cat.png', 'bytes')
    """
    if isinstance(image, (str, os.PathLike)):
        return os.fspath(image)
    if isinstance(image, Picture):
        return image.name
    if name:
        return name
    if isinstance(image, (bytes, bytearray, memoryview)):
        return "bytes"
    if isinstance(image, Image.Image):
        return _file_name(image, "filename", "image")
    if hasattr(image, "read"):
        return _file_name(image, "name", "file")
    return "array" if hasattr(image, "__array__") else "picture"


def as_pictures(images: AnyPicture | Iterable[AnyPicture]) -> Iterator[Picture]:
    """The pictures of one of what `as_picture` takes, or of an iterable of them, one by one.

    Those without a name of their own are called by their number: "array 3". An array of four axes
    is several pictures, N x H x W x C.

    >>> import numpy as np
    >>> [picture.name for picture in as_pictures(np.zeros((2, 4, 6, 3), np.uint8))]
    ['array 0', 'array 1']
    """
    for image, name in each_picture(images):
        yield as_picture(image, name)


def each_picture(
    images: AnyPicture | Iterable[AnyPicture],
) -> Iterator[tuple[AnyPicture, str]]:
    """Each picture, not read yet, and its name where it has none of its own, else ""."""
    if is_one_picture(images):
        yield cast("AnyPicture", images), ""
        return
    for number, image in enumerate(cast("Iterable[AnyPicture]", images)):
        yield image, numbered(image, number)


def is_one_picture(images: Any) -> bool:
    """Whether it is one picture; so is what is not a picture, for `as_picture` to refuse it."""
    if getattr(images, "ndim", 0) == 4:
        return False
    alone = (str, os.PathLike, bytes, bytearray, memoryview, Picture)
    single = isinstance(images, alone) or any(
        hasattr(images, name) for name in ("read", "__array__", "__array_interface__")
    )
    return single or not isinstance(images, Iterable)


def numbered(image: Any, number: int) -> str:
    """The name of one of several, "" where it has one of its own."""
    if isinstance(image, (bytes, bytearray, memoryview)):
        return f"bytes {number}"
    if isinstance(image, Image.Image):
        return "" if _file_name(image, "filename", "") else f"image {number}"
    if hasattr(image, "read"):
        return "" if _file_name(image, "name", "") else f"file {number}"
    if hasattr(image, "__array__") and not isinstance(image, Picture):
        return f"array {number}"
    return "" if isinstance(image, (str, os.PathLike, Picture)) else f"picture {number}"


def _file_name(holder: Any, attribute: str, otherwise: str) -> str:
    value = getattr(holder, attribute, "")
    return str(value) if value and isinstance(value, (str, Path)) else otherwise


def _kind(value: object) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _of_npy(path: str) -> Picture:
    """The array in a .npy file, which is mapped and not read."""
    try:
        array = np.lib.format.open_memmap(path, "r")
    except OSError as error:
        file, reason = unreadable(path, error, "a picture")
        raise ImageError(f"{file}: {reason}") from error
    except ValueError as error:
        raise ImageError(f"{path}: broken .npy file ({' '.join(str(error).split())})") from error
    return Picture(path, _pixels(array, path))


def _of_file(file: Any, name: str) -> Picture:
    content = file.read(STREAM_LIMIT + 1)
    if not isinstance(content, bytes):
        raise NotAPicture(f"{name}: a text file; open it in binary mode, as in open(name, 'rb')")
    return decode_picture(content, name)


def _pixels(array: NDArray[Any], name: str) -> NDArray[Any]:
    """H x W x C of a type that a Picture has; the caller's own array where it has it already."""
    kind, shape = array.dtype, shape_text(array.shape)
    pixels = array[:, :, np.newaxis] if array.ndim == 2 else array
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4) or 0 in pixels.shape:
        first = pixels.ndim == 3 and pixels.shape[0] in (1, 3, 4) and pixels.shape[2] > 4
        hint = "; .transpose(1, 2, 0) puts its channels last" if first else ""
        raise NotAPicture(
            f"{name}: an array of shape {shape}; expected H x W, or H x W x 1, 3 or 4{hint}"
        )
    try:
        check_pixels(*pixels.shape[:2])
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error
    if kind in (np.uint8, np.uint16):
        return pixels
    if kind.kind != "f":
        swapped = kind.newbyteorder("=") == np.uint16
        hint = "; .astype(np.uint16) gives its bytes the order of this machine" if swapped else ""
        raise NotAPicture(f"{name}: an array of {kind}; expected uint8, or floats of 0..1{hint}")
    return _floats(pixels, name)


def _floats(pixels: NDArray[Any], name: str) -> NDArray[np.float32]:
    low, high = float(pixels.min()), float(pixels.max())
    if not 0 <= low <= high <= 1:  # NaN is in no range
        hint = "; divide by 255" if 1 < high <= 255 and low >= 0 else ""
        raise ImageError(f"{name}: floats from {low:g} to {high:g}; expected 0..1, or uint8{hint}")
    if pixels.dtype == np.float32:
        return pixels
    values: NDArray[np.float32] = empty(pixels.shape, "f4", f"{name}: its pixels as an array")
    values[...] = pixels
    return values
