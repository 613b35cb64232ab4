"""Resizing as caffe.io.resize_image does it with scikit-image 0.18, in two passes.

Every target row is a weighted sum of a few source rows, then every target column of a few source
columns; the weights hold both steps of scikit-image:

* shrinking by a factor f > 1 first blurs with a Gaussian of sigma (f - 1) / 2, cut off at
  int(4 sigma + 0.5) pixels (anti-aliasing);
* target pixel i then lies at f (i + 1/2) - 1/2 in the source and is interpolated between the two
  pixels around it.

Whatever lies outside the picture counts as the picture's lowest value (caffe.io scales the picture
to 0..1 and lets the outside be 0), so the first and last pixels of an enlarged picture are drawn
towards it. The places are held in single precision, as there: at a place of some hundreds that
alone moves a value by up to 0.004 of 255.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    Array = NDArray[np.float32]
    #: Target pixels, source pixels, and a matrix of weights, targets x sources.
    Block = tuple[slice, slice, Array]
    Sums = tuple[slice, Array]

__all__ = ["resize"]

#: Target pixels computed by one matrix product: more of them multiply by more zeros.
BLOCK = 16


def resize(
    pixels: NDArray[Any],
    size: tuple[int, int],
    *,
    antialias: bool = True,
    region: tuple[slice, slice] | None = None,
) -> Array:
    """`pixels` (H x W x C, any real type) at another height and width, as float32.

    Values keep their scale. `region` asks for some rows and columns of the result only, as
    slices with both ends given.
    """
    rows, columns = region or (slice(0, size[0]), slice(0, size[1]))
    if pixels.shape[:2] == size:
        return pixels[rows, columns].astype(np.float32)
    (height, width, channels), (tall, wide) = pixels.shape, (_length(rows), _length(columns))
    base = np.float32(pixels.min())
    planes = np.empty((channels, tall, width), np.float32)
    for target, sums in _sums(_blocks(height, size[0], rows, antialias), pixels, base):
        planes[:, target] = sums.transpose(2, 0, 1)
    lines = planes.reshape(channels * tall, width)
    made = np.empty((channels * tall, wide), np.float32)
    for target, source, weights in _blocks(width, size[1], columns, antialias):
        made[:, target] = lines[:, source] @ weights.T
    if antialias:
        np.maximum(made, _floor(pixels, size, base), out=made)
    made += base
    resized: Array = made.reshape(channels, tall, wide).transpose(1, 2, 0)
    return resized


def _length(part: slice) -> int:
    return int(part.stop - part.start)


def _blocks(source: int, target: int, wanted: slice, antialias: bool) -> Iterator[Block]:
    """The wanted target pixels along one axis, and the source pixels and weights they are of."""
    factor = source / target
    kernel = _gaussian(max(0.0, (factor - 1) / 2) if antialias else 0.0)
    radius = len(kernel) // 2
    step, start = np.float32(factor), np.float32(factor * 0.5 - 0.5)
    places = step * np.arange(wanted.start, wanted.stop, dtype=np.float32) + start
    firsts = np.floor(places)
    shares = (places - firsts).astype(np.float64)
    # Only an enlarged picture, which is not blurred, has places outside it.
    taps = np.zeros((len(places), len(kernel) + 1))
    taps[:, :-1] += (1.0 - shares)[:, np.newaxis] * kernel
    taps[:, 1:] += shares[:, np.newaxis] * kernel
    return _matrices(firsts.astype(int) - radius, taps, source)


def _matrices(firsts: NDArray[Any], taps: NDArray[Any], source: int) -> Iterator[Block]:
    """Target pixel i is the sum of source pixels from firsts[i] on, times taps[i], in blocks.

    Weights that fall outside the source are left out. `firsts` grows.
    """
    for start in range(0, len(firsts), BLOCK):
        first, tap = firsts[start : start + BLOCK], taps[start : start + BLOCK]
        columns = first[:, np.newaxis] - first[0] + np.arange(tap.shape[1])
        weights = np.zeros((len(tap), columns[-1, -1] + 1), np.float32)
        np.put_along_axis(weights, columns, tap, 1)
        low = min(max(0, int(first[0])), source)
        high = max(low, min(source, int(first[-1]) + tap.shape[1]))
        inside = weights[:, low - first[0] : high - first[0]]
        yield slice(start, start + len(tap)), slice(low, high), inside


def _sums(blocks: Iterable[Block], pixels: NDArray[Any], base: np.float32) -> Iterator[Sums]:
    """Weighted sums over the first axis of `pixels` (of three) less `base`: where, and what."""
    for target, source, weights in blocks:
        band = pixels[source].astype(np.float32)
        band -= base
        yield target, (weights @ band.reshape(len(band), -1)).reshape(-1, *band.shape[1:])


def _gaussian(sigma: float) -> NDArray[np.float64]:
    radius = int(4.0 * sigma + 0.5)
    if radius == 0:
        return np.ones(1)
    offsets = np.arange(-radius, radius + 1)
    bell = np.exp(-0.5 * (offsets / sigma) ** 2)
    normalized: NDArray[np.float64] = bell / bell.sum()
    return normalized


def _floor(pixels: NDArray[Any], size: tuple[int, int], base: np.float32) -> float:
    """The lowest value of the blurred picture less `base`, which scikit-image clips its result to.

    It matters only where one side shrinks (and blurs) while the other grows (and draws its ends
    towards 0); elsewhere no result can be lower, and 0 is as good.
    """
    factors = [pixels.shape[axis] / size[axis] for axis in range(2)]
    if not min(factors) < 1 < max(factors):
        return 0.0
    axis = int(factors[1] > 1)
    along = pixels if axis == 0 else pixels.transpose(1, 0, 2)
    kernel = _gaussian((factors[axis] - 1) / 2)
    if len(kernel) == 1:
        return 0.0
    firsts = np.arange(len(along)) - len(kernel) // 2
    taps = np.broadcast_to(kernel, (len(along), len(kernel)))
    blocks = _matrices(firsts, taps, len(along))
    return min(float(sums.min()) for _, sums in _sums(blocks, along, base))
