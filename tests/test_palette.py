"""Colours of classes: apart for everyone, and text that can be read on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from netsurgery.drawing.colors import INK, PALE, PAPER
from netsurgery.maps.palette import CLASS_COLORS, contrast, ink_on

#: What people see who lack a kind of cone, of linear RGB: Machado, Oliveira and Fernandes, 2009.
SIGHTS = {
    "all cones": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
         [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
         [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
         [0.004733, 0.691367, 0.303900]]
    ),
}  # fmt: skip


def lab(linear: Any) -> Any:
    xyz = (
        linear
        @ np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]).T
        / [0.95047, 1, 1.08883]
    )
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack(
        [116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1
    )


@pytest.mark.parametrize("sight", SIGHTS)
def test_colours_are_apart_for_everyone(sight: str) -> None:
    """A just noticeable difference is about 2.3 in L*a*b*."""
    colors = np.array(CLASS_COLORS, float) / 255
    linear = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
    seen = lab(np.clip(linear @ SIGHTS[sight].T, 0, 1))
    gaps = np.linalg.norm(seen[:, None] - seen[None], axis=2)
    gaps[np.eye(len(gaps), dtype=bool)] = np.inf
    assert gaps.min() > 16


def test_text_can_be_read_on_every_colour() -> None:
    for color in CLASS_COLORS:
        assert contrast(ink_on(color), color) >= 4.5
    for ink in (INK, PALE):
        assert contrast(ink, PAPER) >= 4.5
    assert contrast(PALE, (232, 234, 238)) >= 4.5  # on the band behind a line of the legend


def test_contrast_is_that_of_the_guidelines() -> None:
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast((119, 119, 119), (255, 255, 255)) == pytest.approx(4.478, abs=0.001)
    assert contrast((9, 9, 9), (9, 9, 9)) == 1
