from __future__ import annotations

import numpy as np
import pytest

from netsurgery.maps.color_scale import (
    Colors,
    ColorScale,
    grey_colors,
    heat_colors,
    normalized,
    signed_colors,
    ticks,
)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (4.31, 21.9, [5, 10, 15, 20]),
        (-3.7, 21.9, [0, 5, 10, 15, 20]),
        (0.0001, 0.00013, [0.0001, 0.00011, 0.00012, 0.00013]),
        (-1e9, 1e9, [-1e9, -5e8, 0, 5e8, 1e9]),
        (7, 7, [7]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high, 6) == pytest.approx(expected)


def test_every_scale_has_ticks_within_it() -> None:
    random = np.random.default_rng(0)
    for _ in range(500):
        low = random.normal() * 10.0 ** random.integers(-6, 6)
        span = max(10.0 ** random.integers(-6, 6), abs(low) * 1e-4)
        marks = ticks(low, low + span, 6)
        assert 1 <= len(marks) <= 6
        assert all(low - 1e-6 * span <= tick <= low + 1.000001 * span for tick in marks)


def test_lightness_rises_along_the_scale() -> None:
    colors = heat_colors(np.linspace(0, 1, 200)).astype(float)
    lightness = colors @ [0.2126, 0.7152, 0.0722]
    assert np.all(np.diff(lightness) > -0.3)
    assert lightness[-1] - lightness[0] > 200


@pytest.mark.parametrize("shades", [heat_colors, signed_colors, grey_colors])
def test_values_outside_the_scale_have_its_ends_colours(shades: Colors) -> None:
    low, high, middle = shades(np.array([0, 1, 0.5]))
    outside = shades(np.array([[-3, 7, 0.5, -np.inf, np.inf]]))
    assert outside.tolist() == [[each.tolist() for each in (low, high, middle, low, high)]]


def test_values_of_both_signs_diverge_about_zero() -> None:
    scale = ColorScale.of(np.array([-2.0, 8.0]))
    assert (scale.low, scale.high, scale.signed) == (-2, 8, True)
    assert scale.shares(np.array([-2, 0, 8, -9])).tolist() == pytest.approx([0.375, 0.5, 1, 0.375])
    assert scale.strengths(np.array([-2, 0, 8])).tolist() == pytest.approx([0.25, 0, 1])
    assert not ColorScale.of(np.array([0.0, 8.0])).signed
    assert not ColorScale.of(np.array([-8.0, -1.0])).signed
    assert ColorScale.around_zero(-2, 8).low == -8
    assert ColorScale.around_zero(0, 0) == ColorScale(-1, 1, signed=True)


def test_the_ends_given_are_the_scales() -> None:
    assert ColorScale.of(np.array([5.0]), ends=(1, 3)) == ColorScale(1, 3)
    assert ColorScale.of(np.array([5.0]), probability=True) == ColorScale(0, 1)


def test_one_value_is_no_scale() -> None:
    assert ColorScale.of(np.array([3.0, 3.0])).is_flat
    assert ColorScale.of(np.array([np.inf, 3.0])).is_flat
    assert not ColorScale.of(np.array([3.0, 4.0])).is_flat


def test_normalized() -> None:
    values = np.array([[[-2.0, 0.0]], [[1.0, 2.0]]], np.float32)
    assert normalized(values, -2, 2).ravel().tolist() == [0, 0.5, 0.75, 1]
    assert normalized(np.full((1, 2, 2), 3, np.float32), 3, 3).tolist() == [[[0, 0], [0, 0]]]
    assert np.isnan(normalized(np.array([np.nan]), 0, 1)).all()
