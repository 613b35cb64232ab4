"""Rasters that Pillow does not read, such as TIFFs of many bands, by rasterio (GDAL)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from netsurgery.errors import ImageError
from netsurgery.io.names import utf8_path
from netsurgery.io.terminal import no_warnings
from netsurgery.io.wording import listed
from netsurgery.maps.picture_limits import TIFF_STARTS, check_pixels
from netsurgery.maps.rows import StripRows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[Any]

__all__ = ["geo_rows", "is_tiff"]

_MISSING = (
    "a TIFF of a kind that Pillow does not read; pip install 'netsurgery[geo]' to have it read by "
    "rasterio"
)

#: Bytes of blocks that GDAL keeps; its own default is a twentieth of the machine's memory.
_CACHE = 64 << 20

#: Rows that are read at once, at most.
_MOST = 512


def is_tiff(path: str) -> bool:
    """Whether the file begins like a TIFF.

    >>> is_tiff("examples/digits_canvas.png")
    False
    """
    try:
        with open(path, "rb") as file:
            return file.read(4) in TIFF_STARTS
    except OSError:
        return False


def geo_rows(path: str) -> StripRows | None:
    """The rows of a TIFF's bands 1 to 3, or of its first one; None where rasterio has none of it.

    Raises ImageError for pixels that are neither uint8 nor uint16, for too many of them, and,
    naming the extra, where rasterio is missing.
    """
    try:
        import rasterio  # noqa: F401
    except ImportError:
        raise ImageError(f"{path}: {_MISSING}") from None
    try:
        with _opened(path) as file:
            channels = 3 if file.count >= 3 else 1
            shape = file.height, file.width, channels
            kinds, blocks = set(file.dtypes[:channels]), file.block_shapes[0]
    except OSError:  # rasterio's own are such
        return None
    try:
        check_pixels(*shape[:2])
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
    if kinds not in ({"uint8"}, {"uint16"}):
        raise ImageError(
            f"{path}: its pixels are {listed(sorted(kinds), 'and')}; expected uint8 or uint16"
        )
    kind, step = np.dtype(kinds.pop()), min(shape[0], blocks[0], _MOST)
    read = partial(_strips, path, shape, step)
    memory = _CACHE + 2 * step * shape[1] * channels * kind.itemsize
    return StripRows(shape, kind, step, read, f"{path}: rows of it", lambda height: memory)


def _strips(path: str, shape: tuple[int, int, int], step: int, first: int) -> Iterator[Pixels]:
    from rasterio import Env
    from rasterio.windows import Window

    height, width, channels = shape
    bands = [*range(1, channels + 1)]
    try:
        with _opened(path) as file:
            for top in range(first, height, step):
                window = Window(0, top, width, min(step, height - top))
                with Env(GDAL_CACHEMAX=_CACHE):
                    strip: Pixels = file.read(bands, window=window)
                yield strip.transpose(1, 2, 0)
    except OSError as error:
        words = " ".join(str(error).split())
        raise ImageError(f"{path}: broken picture ({words})") from error


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    import rasterio

    with ExitStack() as stack:
        name = stack.enter_context(utf8_path(path))
        # It warns of pictures that lie nowhere on the earth.
        with no_warnings, rasterio.Env(GDAL_CACHEMAX=_CACHE):
            file = stack.enter_context(rasterio.open(name, driver="GTiff"))
        yield file
