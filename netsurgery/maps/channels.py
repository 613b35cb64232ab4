"""A picture's pixels as the one or three channels of a net's input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from netsurgery.maps.rows import PixelRows, StripRows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Array = NDArray[np.float32]
    Pixels = NDArray[Any]

__all__ = ["as_channels", "channel_rows", "peak_of"]

#: ITU-R 709 primaries as scikit-image's rgb2gray has them.
_GREY = (0.2125, 0.7154, 0.0721)

#: Pixels that are made grey at a time: float64 is eight times uint8.
_SOME = 1 << 18

#: Rows that are made grey at a time.
_STEP = 16


def peak_of(kind: np.dtype[Any]) -> float:
    """The pixel value of a type that stands for 1.0."""
    return 1.0 if kind.kind == "f" else float(np.iinfo(kind).max)


def as_channels(pixels: Pixels, count: int) -> tuple[Pixels, float]:
    """Pixels H x W x C, C of 1, 3 or 4, as H x W x `count` (1 or 3), and what stands for 1.0 there.

    Whole numbers where no arithmetic is needed, else float32 and 1.0.

    >>> as_channels(np.full((1, 1, 4), 255, np.uint8), 3)[0].shape
    (1, 1, 3)
    >>> round(as_channels(np.array([[[0, 255, 0]]], np.uint8), 1)[0].item(), 4)
    0.7154
    """
    have = pixels.shape[2]
    if count == 1 and have > 1:
        return _grey(pixels), 1.0
    if count == 3 and have == 1:
        return np.broadcast_to(pixels, (*pixels.shape[:2], 3)), peak_of(pixels.dtype)
    return pixels[:, :, :count], peak_of(pixels.dtype)


def _grey(pixels: Pixels) -> Array:
    height, width, _ = pixels.shape
    result: Array = np.empty((height, width, 1), np.float32)
    step = max(1, _SOME // width)
    for top in range(0, height, step):
        part = pixels[top : top + step] / peak_of(pixels.dtype)
        if part.shape[2] == 4:
            part = part[:, :, :3] * part[:, :, 3:] + (1.0 - part[:, :, 3:])
        # Not a matrix product: a pixel's value must not depend on what is beside it.
        red, green, blue = (part[:, :, i] * weight for i, weight in enumerate(_GREY))
        result[top : top + step, :, 0] = red + green + blue
    return result


def channel_rows(rows: PixelRows, count: int, what: str) -> tuple[PixelRows, float]:
    """`as_channels` of rows as they come. what: names their memory in a refusal."""
    height, width, have = rows.shape
    if count != 1 or have == 1:
        return _Selected(rows, count), peak_of(rows.kind)

    def grey(first: int) -> Iterator[Array]:
        for top in range(first, height, _STEP):
            yield _grey(rows.rows(top, min(top + _STEP, height)))

    shape = height, width, 1
    return StripRows(shape, np.dtype(np.float32), _STEP, grey, what, rows.band_memory), 1.0


class _Selected:
    """Rows with channels left out, or the one of a grey picture repeated; nothing is copied."""

    def __init__(self, rows: PixelRows, count: int) -> None:
        self._rows, self._count = rows, count
        self.shape, self.kind = (*rows.shape[:2], count), rows.kind
        self.band_memory = rows.band_memory

    def rows(self, top: int, bottom: int) -> Pixels:
        return as_channels(self._rows.rows(top, bottom), self._count)[0]
