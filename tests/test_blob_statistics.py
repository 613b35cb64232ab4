"""Numbers summed up and compared in pieces: as numpy does at once, however they are written."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from small_models import Array, model_layer, write_model

from netsurgery.formats import blob as blob_module
from netsurgery.formats.caffemodel import Caffemodel
from netsurgery.verbs.blob_statistics import BlobDistance, distance, statistics


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blob_module, "_AT_ONCE", 7)


def values(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(3, 2, shape).astype(np.float32)


def model(path: Path, array: Array, how: str = "packed") -> Caffemodel:
    return Caffemodel.open(write_model(path, model_layer("l", "InnerProduct", array, how=how)))


@pytest.mark.parametrize("how", ["packed", "single", "double", "legacy"])
def test_statistics_are_numpys(tmp_path: Path, how: str) -> None:
    array = values(5, 8)
    array[1, 2], array[4, 7] = 0, -0.0
    with model(tmp_path / "m", array, how) as opened:
        measured = statistics(opened.layers[0].blobs[0])
    exact = array.astype(np.float64)
    assert (measured.min, measured.max) == (exact.min(), exact.max())
    assert measured.mean == pytest.approx(exact.mean(), rel=1e-12)
    assert measured.std == pytest.approx(exact.std(), rel=1e-12)
    assert (measured.count, measured.zeros, measured.nans, measured.infs) == (40, 2, 0, 0)
    assert measured.bytes == 40 * (8 if how == "double" else 4)


def test_a_large_mean_takes_nothing_from_a_small_deviation(tmp_path: Path) -> None:
    array = np.float32(10_000) + np.arange(30, dtype=np.float32)
    with model(tmp_path / "m", array) as opened:
        measured = statistics(opened.layers[0].blobs[0])
    assert measured.std == pytest.approx(array.astype(np.float64).std(), rel=1e-12)


def test_what_is_not_finite_is_counted_apart(tmp_path: Path) -> None:
    array = np.array([np.nan, 1, np.inf, 3, -np.inf, np.nan, np.inf], np.float32)
    with model(tmp_path / "m", array) as opened:
        measured = statistics(opened.layers[0].blobs[0])
    assert (measured.min, measured.max, measured.mean, measured.std) == (1, 3, 2, 1)
    assert (measured.nans, measured.infs) == (2, 3)
    with model(tmp_path / "n", np.full(9, np.nan, np.float32)) as opened:
        measured = statistics(opened.layers[0].blobs[0])
    assert measured.nans == 9
    assert all(map(math.isnan, (measured.min, measured.max, measured.mean, measured.std)))
    counts = {"count": 9, "zeros": 0, "nans": 9, "infs": 0, "bytes": 36}
    assert measured.to_json() == dict.fromkeys(("min", "max", "mean", "std")) | counts


def apart(folder: Path, first: Array, second: Array, *how: str) -> BlobDistance | None:
    one_how, other_how = how or ("packed", "packed")
    with model(folder / "a", first, one_how) as a, model(folder / "b", second, other_how) as b:
        return distance(a.layers[0].blobs[0], b.layers[0].blobs[0])


def test_distance_is_numpys(tmp_path: Path) -> None:
    first, second = values(5, 8), values(40)
    second[[3, 22, 39]] += np.array([0.5, -2, 1], np.float32)
    measured = apart(tmp_path, first, second)
    assert measured is not None
    exact = first.ravel().astype(np.float64) - second
    assert measured.norm == pytest.approx(np.linalg.norm(exact), rel=1e-12)
    assert measured.max_abs == np.abs(exact).max()
    assert measured.relative == np.abs(exact).max() / np.abs(first).max()
    assert measured.unlike == 3


@pytest.mark.parametrize("how", ["single", "double", "legacy"])
def test_how_numbers_are_written_makes_no_distance(tmp_path: Path, how: str) -> None:
    assert apart(tmp_path, values(5, 8), values(5, 8), "packed", how) is None
    assert apart(tmp_path, values(5, 8), values(5, 8), how, "packed") is None


def test_nan_equals_nan_and_zero_minus_zero(tmp_path: Path) -> None:
    first = np.array([np.nan, 0.0, np.inf, 1], np.float32)
    second = np.array([np.nan, -0.0, np.inf, 1], np.float32)
    assert apart(tmp_path, first, second) is None


@pytest.mark.parametrize(("value", "second_value"), [(np.nan, 1), (1, np.nan), (np.inf, -np.inf)])
def test_what_is_not_finite_is_infinitely_far(
    tmp_path: Path, value: float, second_value: float
) -> None:
    first, second = np.array([2, value], np.float32), np.array([2, second_value], np.float32)
    assert apart(tmp_path, first, second) == BlobDistance(math.inf, math.inf, math.inf, 1)


def test_a_difference_from_nothing_but_zeros_is_infinite_relatively(tmp_path: Path) -> None:
    first, second = np.zeros(3, np.float32), np.array([0, 3, 4], np.float32)
    assert apart(tmp_path, first, second) == BlobDistance(5, 4, math.inf, 2)
    assert apart(tmp_path, np.zeros(0, np.float32), np.zeros(0, np.float32)) is None
