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
        found = statistics(opened.layers[0].blobs[0])
    exact = array.astype(np.float64)
    assert (found.min, found.max) == (exact.min(), exact.max())
    assert found.mean == pytest.approx(exact.mean(), rel=1e-12)
    assert found.std == pytest.approx(exact.std(), rel=1e-12)
    assert (found.count, found.zeros, found.nans, found.infs) == (40, 2, 0, 0)
    assert found.bytes == 40 * (8 if how == "double" else 4)


def test_a_large_mean_takes_nothing_from_a_small_deviation(tmp_path: Path) -> None:
    array = np.float32(10_000) + np.arange(30, dtype=np.float32)
    with model(tmp_path / "m", array) as opened:
        found = statistics(opened.layers[0].blobs[0])
    assert found.std == pytest.approx(array.astype(np.float64).std(), rel=1e-12)


def test_what_is_not_finite_is_counted_apart(tmp_path: Path) -> None:
    array = np.array([np.nan, 1, np.inf, 3, -np.inf, np.nan, np.inf], np.float32)
    with model(tmp_path / "m", array) as opened:
        found = statistics(opened.layers[0].blobs[0])
    assert (found.min, found.max, found.mean, found.std) == (1, 3, 2, 1)
    assert (found.nans, found.infs) == (2, 3)
    with model(tmp_path / "n", np.full(9, np.nan, np.float32)) as opened:
        found = statistics(opened.layers[0].blobs[0])
    assert found.nans == 9
    assert all(map(math.isnan, (found.min, found.max, found.mean, found.std)))


def apart(folder: Path, one: Array, other: Array, *how: str) -> BlobDistance | None:
    one_how, other_how = how or ("packed", "packed")
    with model(folder / "a", one, one_how) as a, model(folder / "b", other, other_how) as b:
        return distance(a.layers[0].blobs[0], b.layers[0].blobs[0])


def test_distance_is_numpys(tmp_path: Path) -> None:
    one, other = values(5, 8), values(40)
    other[[3, 22, 39]] += np.array([0.5, -2, 1], np.float32)
    found = apart(tmp_path, one, other)
    assert found is not None
    exact = one.ravel().astype(np.float64) - other
    assert found.norm == pytest.approx(np.linalg.norm(exact), rel=1e-12)
    assert found.max_abs == np.abs(exact).max()
    assert found.relative == np.abs(exact).max() / np.abs(one).max()
    assert found.unlike == 3


@pytest.mark.parametrize("how", ["single", "double", "legacy"])
def test_how_numbers_are_written_makes_no_distance(tmp_path: Path, how: str) -> None:
    assert apart(tmp_path, values(5, 8), values(5, 8), "packed", how) is None
    assert apart(tmp_path, values(5, 8), values(5, 8), how, "packed") is None


def test_nan_equals_nan_and_zero_minus_zero(tmp_path: Path) -> None:
    one = np.array([np.nan, 0.0, np.inf, 1], np.float32)
    other = np.array([np.nan, -0.0, np.inf, 1], np.float32)
    assert apart(tmp_path, one, other) is None


@pytest.mark.parametrize(("here", "there"), [(np.nan, 1), (1, np.nan), (np.inf, -np.inf)])
def test_what_is_not_finite_is_infinitely_far(tmp_path: Path, here: float, there: float) -> None:
    one, other = np.array([2, here], np.float32), np.array([2, there], np.float32)
    assert apart(tmp_path, one, other) == BlobDistance(math.inf, math.inf, math.inf, 1)


def test_a_difference_from_nothing_but_zeros_is_infinite_relatively(tmp_path: Path) -> None:
    one, other = np.zeros(3, np.float32), np.array([0, 3, 4], np.float32)
    assert apart(tmp_path, one, other) == BlobDistance(5, 4, math.inf, 2)
    assert apart(tmp_path, np.zeros(0, np.float32), np.zeros(0, np.float32)) is None
