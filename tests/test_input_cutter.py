"""Tiles of an input that is never made as a whole, against the whole input."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from netsurgery.errors import MemoryLimitError
from netsurgery.io import memory
from netsurgery.maps import resize as resize_module
from netsurgery.maps.image import Picture
from netsurgery.maps.large_picture import LargePicture
from netsurgery.maps.picture_options import Fit, PictureOptions
from netsurgery.maps.rows import StripRows
from netsurgery.maps.transformer import Transformer

RANDOM = np.random.default_rng(3)
SIDES = st.integers(1, 70)


def streamed(pixels: NDArray[Any], step: int) -> LargePicture:
    """The picture as one that is decoded in strips of `step` rows."""

    def strips(first: int) -> Iterator[NDArray[Any]]:
        for top in range(first, len(pixels), step):
            yield pixels[top : top + step]

    height, width, channels = pixels.shape
    rows = StripRows((height, width, channels), pixels.dtype, step, strips, "strips")
    return LargePicture("large", rows)


def pixels_of(kind: str, shape: tuple[int, int, int]) -> NDArray[Any]:
    if kind == "f4":
        return RANDOM.uniform(0.1, 0.9, shape).astype("f4")
    return RANDOM.integers(20, np.iinfo(kind).max, shape).astype(kind)


@settings(max_examples=300, deadline=None)
@given(
    image=st.tuples(SIDES, SIDES),
    size=st.none() | st.tuples(SIDES, SIDES),
    kind=st.sampled_from(["u1", "u2", "f4"]),
    have=st.sampled_from([1, 3, 4]),
    channels=st.sampled_from([1, 3]),
    fit=st.sampled_from(["warp", "crop", "pad"]),
    antialias=st.booleans(),
    mean=st.sampled_from([None, "channel", "picture", "other"]),
    data=st.data(),
)
def test_tiles_are_slices_of_the_whole(
    image: tuple[int, int],
    size: tuple[int, int] | None,
    kind: str,
    have: int,
    channels: int,
    fit: Fit,
    antialias: bool,
    mean: str | None,
    data: st.DataObject,
) -> None:
    """Bit for bit, from a picture in memory and from one that is read strip by strip."""
    size = size or image
    of_mean = {"channel": (channels, 1, 1), "picture": (channels, *size), "other": (channels, 3, 2)}
    transformer = Transformer(
        channels,
        None if mean is None else RANDOM.uniform(0, 99, of_mean[mean]).astype("f4"),
        255.0,
        (2, 1, 0) if channels == 3 else None,
        0.017,
        PictureOptions(size, fit, antialias),
    )
    pixels = pixels_of(kind, (*image, have))
    picture = Picture("p", pixels)
    whole, placement = transformer.blob(picture, size)
    large = streamed(pixels, data.draw(st.integers(1, 9)))
    cutters = [transformer.cutter(each, size) for each in (picture, large)]
    assert [cutter.placement for cutter in cutters] == [placement] * 2
    tops = sorted(data.draw(st.lists(st.integers(0, size[0] - 1), min_size=1, max_size=3)))
    for top in tops:
        left = data.draw(st.integers(0, size[1] - 1))
        tile = (
            data.draw(st.integers(1, size[0] - top)),
            data.draw(st.integers(1, size[1] - left)),
        )
        expected = whole[:, :, top : top + tile[0], left : left + tile[1]]
        for cutter in cutters:
            assert np.array_equal(cutter.cut((top, left), tile), expected)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("image", [(300, 9000), (9000, 300), (900, 1100)])
@pytest.mark.parametrize("size", [(200, 230), (450, 550), (40, 5000), (5000, 40), (1200, 1300)])
def test_large_steps_are_slices_of_the_whole(
    image: tuple[int, int], size: tuple[int, int], channels: int
) -> None:
    """Of sizes where rows, columns and weights are worked off in several parts."""
    pixels = pixels_of("u1", (*image, 3))
    transformer = Transformer(channels)
    whole, _ = transformer.blob(Picture("p", pixels), size)
    cutter = transformer.cutter(streamed(pixels, 16), size)
    for top in range(0, size[0], 90):
        for left in (0, size[1] // 3, size[1] - 35):
            part = whole[:, :, top : top + 100, left : left + 35]
            assert np.array_equal(cutter.cut((top, left), part.shape[2:]), part)


def test_going_back_reads_again() -> None:
    pixels = pixels_of("u1", (90, 20, 3))
    cutter = Transformer(3).cutter(streamed(pixels, 8), (90, 20))
    last, first = cutter.cut((80, 0), (10, 20)), cutter.cut((0, 0), (10, 20))
    assert np.array_equal(first[0], pixels[:10].transpose(2, 0, 1) / np.float32(255))
    assert np.array_equal(last[0], pixels[80:].transpose(2, 0, 1) / np.float32(255))


def test_rows_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tiles that overlap, in a picture that is resized: after a pass for the lowest value."""
    pixels = pixels_of("u1", (640, 50, 1))
    read: list[int] = []

    def strips(first: int) -> Iterator[NDArray[Any]]:
        for top in range(first, 640, 16):
            read.append(top)
            yield pixels[top : top + 16]

    rows = StripRows((640, 50, 1), pixels.dtype, 16, strips, "strips")
    cutter = Transformer(1).cutter(LargePicture("large", rows), (400, 30))
    for top in range(0, 400 - 60, 50):
        for left in (0, 10):
            cutter.cut((top, left), (60, 20))
    assert read[:40] == list(range(0, 640, 16))
    assert len(read[40:]) == len(set(read[40:]))
    assert resize_module._GROUP < 400


def test_no_rows_are_made_above_the_first_ones_asked_for() -> None:
    tops: list[int] = []
    assert _counting(tops).rows(40, 50).ravel().tolist() == list(range(40, 50))
    assert tops == [32, 48]


@pytest.mark.usefixtures("fresh_budget")
def test_rows_after_a_refusal_are_the_right_ones() -> None:
    rows = _counting([])
    assert rows.rows(0, 4).ravel().tolist() == [0, 1, 2, 3]
    assert rows.rows(14, 20).ravel().tolist() == list(range(14, 20))
    memory.set_max_memory(2000)
    with pytest.raises(MemoryLimitError):
        rows.rows(14, 640)
    assert rows.rows(14, 20).ravel().tolist() == list(range(14, 20))


def _counting(tops: list[int]) -> StripRows:
    """640 rows, each of its own number; `tops` gets the first one of each strip."""

    def strips(first: int) -> Iterator[NDArray[Any]]:
        for top in range(first, 640, 16):
            tops.append(top)
            yield np.arange(top, top + 16).reshape(-1, 1, 1)

    return StripRows((640, 1, 1), np.dtype(np.int64), 16, strips, "strips")


@pytest.mark.usefixtures("fresh_budget")
@pytest.mark.parametrize("size", [(20, 30), (600, 3), (40, 50)])
def test_memory_is_given_back_at_once(size: tuple[int, int]) -> None:
    """No cycle keeps a picture's rows, and what is claimed for them, until they are collected."""
    gc.collect()
    memory.set_max_memory("1GiB")
    before = memory.left()
    gc.disable()
    try:
        cutter = Transformer(1).cutter(streamed(pixels_of("u1", (40, 50, 3)), 8), size)
        cutter.cut((0, 0), (5, 3))
        assert memory.left() < before
        del cutter
        assert memory.left() == before
    finally:
        gc.enable()
