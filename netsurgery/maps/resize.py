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

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Array = NDArray[np.float32]
    Taps = tuple[int, Array]

__all__ = ["resize"]


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
    low, high = pixels.min(), pixels.max()
    if low == high:
        shape = (rows.stop - rows.start, columns.stop - columns.start, pixels.shape[2])
        return np.full(shape, low, np.float32)
    base = np.float32(low)
    tall = _weighted(pixels, _taps(pixels.shape[0], size[0], rows, antialias), base)
    turned = np.ascontiguousarray(tall.transpose(1, 0, 2))
    made = _weighted(turned, _taps(pixels.shape[1], size[1], columns, antialias))
    if antialias:
        np.maximum(made, _floor(pixels, size, base), out=made)
    made += base
    return np.ascontiguousarray(made.transpose(1, 0, 2))


def _taps(source: int, target: int, wanted: slice, antialias: bool) -> Iterator[Taps]:
    """For each wanted target pixel the first source pixel it is made of, and the weights."""
    factor = source / target
    kernel = _gaussian(max(0.0, (factor - 1) / 2) if antialias else 0.0)
    radius = len(kernel) // 2
    step, start = np.float32(factor), np.float32(factor * 0.5 - 0.5)
    places = step * np.arange(wanted.start, wanted.stop, dtype=np.float32) + start
    firsts = np.floor(places)
    shares = (places - firsts).astype(np.float64)
    # Blurred pixels outside the picture are not blends of those inside: they are 0.
    one = np.where((firsts >= 0) & (firsts < source), 1.0 - shares, 0.0)
    next_one = np.where((firsts >= -1) & (firsts < source - 1), shares, 0.0)
    taps = np.zeros((len(places), len(kernel) + 1))
    taps[:, :-1] += one[:, np.newaxis] * kernel
    taps[:, 1:] += next_one[:, np.newaxis] * kernel
    for first, weights in zip(firsts.astype(int).tolist(), taps, strict=True):
        yield _inside(first - radius, weights, source)


def _inside(first: int, taps: NDArray[np.float64], source: int) -> Taps:
    """The part of the weights that falls on the picture."""
    left, right = max(0, first), min(source, first + len(taps))
    return left, taps[left - first : right - first].astype(np.float32)


def _gaussian(sigma: float) -> NDArray[np.float64]:
    radius = int(4.0 * sigma + 0.5)
    if radius == 0:
        return np.ones(1)
    offsets = np.arange(-radius, radius + 1)
    bell = np.exp(-0.5 * (offsets / sigma) ** 2)
    normalized: NDArray[np.float64] = bell / bell.sum()
    return normalized


def _weighted(pixels: NDArray[Any], taps: Iterator[Taps], base: np.float32 | None = None) -> Array:
    """Weighted sums over the first axis, of `pixels` less `base`."""
    made, row = [], pixels.shape[1:]
    for first, weights in taps:
        band = pixels[first : first + len(weights)].astype(np.float32)
        if base is not None:
            band -= base
        made.append(weights @ band.reshape(len(weights), math.prod(row)))
    return np.stack(made).reshape(-1, *row)


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
    radius, source = len(kernel) // 2, along.shape[0]
    blurred = (_inside(i - radius, kernel, source) for i in range(source))
    return min(float(_weighted(along, iter([taps]), base).min()) for taps in blurred)
