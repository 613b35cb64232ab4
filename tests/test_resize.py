"""Resizing by itself; against real caffe.io it is tested in parity/test_transformer.py."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tracemalloc
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from netsurgery.errors import MemoryLimitError
from netsurgery.io.memory import set_max_memory
from netsurgery.maps import resize as module
from netsurgery.maps import resize_axis, resize_floor
from netsurgery.maps.resize import resize

Array = NDArray[np.float64]

RGB = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


def blurred(line: Array, factor: float) -> Array:
    """As `maps/resize.py` says it is: by a Gaussian of sigma (factor - 1) / 2, 0 outside."""
    sigma = (factor - 1) / 2
    radius = int(4 * sigma + 0.5) if sigma > 0 else 0
    bell = np.exp(-0.5 * (np.arange(-radius, radius + 1) / (sigma or 1)) ** 2)
    return np.convolve(line, bell / bell.sum())[radius : radius + len(line)]


def blended(line: Array, count: int) -> Array:
    """At `count` places, each between the two pixels around it, 0 outside."""
    places = len(line) / count * (np.arange(count) + 0.5) - 0.5
    values: Array = np.interp(places, np.arange(-1, len(line) + 1), np.pad(line, 1))
    return values


def defined(pixels: NDArray[Any], size: tuple[int, int], antialias: bool = True) -> Array:
    """The same one pixel after another, in double precision, for a grey picture."""
    base = pixels.min()
    smoothed = pixels[:, :, 0].astype(np.float64) - base
    for axis in range(2 * antialias):
        smoothed = np.apply_along_axis(blurred, axis, smoothed, pixels.shape[axis] / size[axis])
    floor = smoothed.min() if antialias else 0
    for axis in range(2):
        smoothed = np.apply_along_axis(blended, axis, smoothed, size[axis])
    result: Array = np.maximum(smoothed, floor) + base
    return result


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("size", [(4, 5), (20, 30), (4, 30), (20, 5), (9, 5), (9, 30), (1, 1)])
def test_resize_is_its_definition(size: tuple[int, int], antialias: bool) -> None:
    pixels = np.random.default_rng(9).integers(20, 256, (9, 14, 1)).astype(np.uint8)
    actual = resize(pixels, size, antialias=antialias)[:, :, 0]
    assert np.abs(actual - defined(pixels, size, antialias)).max() < 1e-3


def long_picture(count: int, across: int = 3) -> NDArray[np.uint8]:
    """A few long rows: noise, dark and bright, with its darkest stretch at the end."""
    shade = 120 + 80 * np.cos(np.linspace(0, 9, count))
    noise = np.random.default_rng(4).integers(-30, 31, (across, count))
    pixels: NDArray[np.uint8] = (shade + noise)[:, :, np.newaxis].astype(np.uint8)
    return pixels


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("target", [1, 2, 7, 60])
@pytest.mark.parametrize("across", [1, 3, 40])
def test_a_wide_window_is_its_definition(target: int, across: int, turned: bool) -> None:
    """Thousands of pixels become a few: columns are resized first, and the floor counts."""
    pixels, size = long_picture(5000, across), (9, target)
    if turned:
        pixels, size = pixels.transpose(1, 0, 2), (target, 9)
    actual = resize(pixels, size)[:, :, 0]
    assert np.abs(actual - defined(pixels, size)).max() < 1e-3


def test_the_floor_from_means(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blurs so wide that means of pixels give their lowest value, here from a smaller size on."""
    pixels = long_picture(5003)
    for finest, off in ((4096, 1e-3), (128, 0.02), (32, 0.1)):
        monkeypatch.setattr(resize_floor, "_FINEST", finest)
        for target in (2, 5, 7):
            actual = resize(pixels, (9, target))[:, :, 0]
            assert np.abs(actual - defined(pixels, (9, target))).max() < off


def test_pieces_fit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows and lines are worked off in parts, and it is the same however small these are."""
    pixels = long_picture(3000, 4)
    whole = resize(pixels, (9, 30))
    for each in (module, resize_floor):
        monkeypatch.setattr(each, "CHUNK", 64)
    monkeypatch.setattr(resize_floor, "_PIECE", 2)
    assert np.allclose(resize(pixels, (9, 30)), whole, atol=1e-3)


class Counted:
    """What resizing works through: heights of bells asked for, numbers multiplied, transformed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.taps = self.transformed = 0
        call, rfft = resize_axis.Bell.__call__, np.fft.rfft

        def heights(bell: Any, offsets: Any) -> Any:
            self.taps += offsets.size
            return call(bell, offsets)

        def transform(values: Any, *arguments: Any, **named: Any) -> Any:
            spectrum = rfft(values, *arguments, **named)
            self.transformed += 2 * spectrum.size
            return spectrum

        monkeypatch.setattr(resize_axis.Bell, "__call__", heights)
        monkeypatch.setattr(np.fft, "rfft", transform)


@pytest.mark.parametrize("power", [12, 16, 20])
def test_work_is_in_proportion_to_the_pixels(power: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a row of 4096 pixels and of a million: so many taps and transformed numbers a pixel."""
    counted, width = Counted(monkeypatch), 1 << power
    resize(np.tile(RGB[:1], (1, width // 8, 1)), (227, 227))
    assert counted.taps < 20 * width
    assert counted.transformed < 3 * 5 * width


def test_weights_are_worked_out_once_for_pictures_of_one_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resize_axis._kept_axis.cache_clear()
    counted, first, second = Counted(monkeypatch), RGB, RGB[::-1] // 2
    for pixels, again in ((first, False), (first, True), (second, True)):
        counted.taps = 0
        with_kept = resize(pixels, (4, 5))
        assert (counted.taps == 0) is again
        with monkeypatch.context() as without:
            without.setattr(resize_axis, "_KEPT", 0)
            np.testing.assert_array_equal(with_kept, resize(pixels, (4, 5)))


def test_few_weights_are_kept() -> None:
    """Of few axes, a megabyte each; more of them are worked out again."""
    resize_axis._kept_axis.cache_clear()
    for source in range(1000, 1000 + 3 * resize_axis._AXES):
        axis = resize_axis.Axis.of(12 * source, source, antialias=True)
        sizes = [weights.size for block in axis.blocks(0, source) for _, weights in axis.parts(
            block, resize_axis.CHUNK
        )]  # fmt: skip
        assert axis is resize_axis.Axis.of(12 * source, source, antialias=True)
        assert sum(sizes) <= resize_axis._KEPT
    assert resize_axis._kept_axis.cache_info().currsize == resize_axis._AXES
    assert resize_axis.Axis.of(1 << 20, 9, True) is not resize_axis.Axis.of(1 << 20, 9, True)


def test_weights_are_kept_once_for_pictures_of_other_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many of a block's pixels are weighed at a time, which the other side decides."""
    resize_axis._kept_axis.cache_clear()
    axis, counted = resize_axis.Axis.of(300, 20, antialias=True), Counted(monkeypatch)
    blocks = list(axis.blocks(0, axis.count))
    for block in blocks:
        list(axis.parts(block, resize_axis.CHUNK))
    counted.taps = 0
    results = [list(axis.parts(block, most)) for most in (7, 85, 300) for block in blocks]
    assert counted.taps == 0
    expected = [list(axis._parts(block, most)) for most in (7, 85, 300) for block in blocks]
    for parts, others in zip(results, expected, strict=True):
        for (pixels, weights), (own, others_weights) in zip(parts, others, strict=True):
            assert pixels == own
            assert weights.flags.c_contiguous
            np.testing.assert_array_equal(weights, others_weights)


@pytest.mark.usefixtures("fresh_budget")
def test_more_memory_than_may_be_used() -> None:
    """For the result, and for some rows of the picture that are resized in height alone."""
    for limit, needed in ((1 << 17, "468.8 KiB"), (1 << 19, "225.0 KiB")):
        set_max_memory(limit)
        with pytest.raises(MemoryLimitError, match=rf"^p\.png: resizing it needs {needed}"):
            resize(np.zeros((400, 300, 3), np.uint8), (400, 100), what="p.png")


@pytest.mark.parametrize("shape", [(1, 1 << 20, 3), (1 << 20, 1, 1), (2, 1 << 19, 1)])
@pytest.mark.parametrize("size", [(227, 227), (1, 1), (64, 4)])
def test_memory_is_bounded(shape: tuple[int, int, int], size: tuple[int, int]) -> None:
    """Some MiB, and some bytes for a pixel of the picture; 10 GB once."""
    pixels = np.random.default_rng(5).integers(0, 256, shape, dtype=np.uint8)
    tracemalloc.start()
    try:
        resize(pixels, size)
        assert tracemalloc.get_traced_memory()[1] < (64 << 20) + 8 * pixels.nbytes
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("rows", "inner", "columns"), [(16, 25, 12288), (192, 260, 16), (2, 1 << 19, 3), (7, 5, 3)]
)
def test_products_are_small_enough_for_one_thread(
    rows: int, inner: int, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A product of at most 2^18 multiply-adds, or of one row or column."""
    left, right = (
        np.random.default_rng(1).integers(-9, 10, shape).astype(np.float32)
        for shape in ((rows, inner), (inner, columns))
    )
    expected, whole, sizes = left @ right, np.matmul, []

    def counted(a: Any, b: Any, out: Any) -> Any:
        sizes.append((len(a), a.shape[1], b.shape[1]))
        return whole(a, b, out=out)

    monkeypatch.setattr(np, "matmul", counted)
    np.testing.assert_array_equal(resize_axis.product(left, right), expected)
    assert all(math.prod(size) <= 1 << 18 or 1 in (size[0], size[2]) for size in sizes)


def test_threads_of_the_blas_change_no_bit() -> None:
    """As workers of a job on machines of one core and of several have them."""
    code = (
        "import hashlib, numpy as np; from netsurgery.maps.resize import resize; "
        "pixels = np.random.default_rng(3).integers(0, 256, (375, 500, 3), dtype=np.uint8); "
        "print(hashlib.sha256(resize(pixels, (227, 227)).tobytes()).hexdigest())"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "OPENBLAS_NUM_THREADS": threads},
            capture_output=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert len(printed) == 1


def test_resize_keeps_a_constant_and_takes_regions() -> None:
    flat = np.full((5, 7, 3), 9, np.uint8)
    assert np.all(resize(flat, (11, 3)) == 9)
    assert resize(flat, (11, 3), region=(slice(2, 5), slice(1, 3))).shape == (3, 2, 3)
    whole = resize(RGB, (11, 5))
    part = resize(RGB, (11, 5), region=(slice(2, 7), slice(1, 4)))
    assert np.allclose(part, whole[2:7, 1:4], atol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (1, 8), (6, 1), (600, 1)])
def test_resize_to_single_rows_and_columns(size: tuple[int, int]) -> None:
    resized = resize(RGB, size)
    assert resized.shape == (*size, 3)
    assert np.isfinite(resized).all()
    assert RGB.min() <= resized.min() <= resized.max() <= RGB.max()


def test_far_out_in_an_enlarged_picture() -> None:
    """Of 67 million columns some hundreds: they lie where they should, though single precision has
    no number for each of them."""
    ramp = np.arange(1 << 16).astype(np.uint16).reshape(1, -1, 1)
    first, count = 3 * (1 << 24) + (1 << 20) + 1, 1 << 26
    row = resize(ramp, (1, count), region=(slice(0, 1), slice(first, first + 4000)))[0, :, 0]
    expected = (np.arange(first, first + 4000) + 0.5) * (len(ramp[0]) / count) - 0.5
    assert np.abs(row - expected).max() < 0.01
