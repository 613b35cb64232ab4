from __future__ import annotations

import math

import numpy as np
import pytest

from netsurgery.errors import NetError
from netsurgery.io.shape_text import shape_text
from netsurgery.maps import grid
from netsurgery.maps.drawing import Colors, grey_colors, heat_colors, signed_colors
from netsurgery.maps.grid import draw_grid, normalized

MARGIN, HEAD = 32, 76


def colors(values: object) -> list[list[int]]:
    drawn: list[list[int]] = heat_colors(np.asarray(values, np.float32)).tolist()
    return drawn


def test_the_whole_blob_is_one_scale() -> None:
    values = np.array([[[-2.0, 0.0]], [[1.0, 2.0]]], np.float32)
    assert normalized(values, -2, 2).ravel().tolist() == [0, 0.5, 0.75, 1]


def test_a_constant_blob_is_not_divided_by_nothing() -> None:
    assert normalized(np.full((1, 2, 2), 3, np.float32), 3, 3).tolist() == [[[0, 0], [0, 0]]]


@pytest.mark.parametrize("shades", [heat_colors, signed_colors, grey_colors])
def test_values_outside_the_scale_have_its_ends_colours(shades: Colors) -> None:
    low, high, middle = shades(np.array([0, 1, 0.5]))
    outside = shades(np.array([[-3, 7, 0.5, -np.inf, np.inf]]))
    assert outside.tolist() == [[each.tolist() for each in (low, high, middle, low, high)]]


@pytest.mark.parametrize(
    ("height", "signed", "expected"), [(40, False, 5), (40, True, 4), (1, False, 1), (1, True, 2)]
)
def test_a_scale_around_zero_has_a_tick_at_it(
    height: int, signed: bool, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = []
    monkeypatch.setattr(grid, "color_bar", lambda *parts: ticks.append(parts[4]))
    draw_grid(
        np.arange(40, dtype=np.float32).reshape(1, 1, 40).repeat(height, 1), "blob", signed=signed
    )
    assert ticks == [expected]


def test_tiles_in_reading_order_with_gaps() -> None:
    """Four channels of one number: two rows of two, 64 pixels each, two between."""
    values = np.array([0.0, 1.0, 2.0, 4.0], np.float32).reshape(4, 1, 1)
    pixels = np.asarray(draw_grid(values, "blob"))
    centres = [
        pixels[HEAD + 2 + 66 * row + 32, MARGIN + 2 + 66 * column + 32].tolist()
        for row in range(2)
        for column in range(2)
    ]
    assert centres == colors([0, 0.25, 0.5, 1])
    gap = pixels[HEAD + 32, MARGIN + 2 + 64 : MARGIN + 2 + 66]
    assert gap.tolist() == [[250, 250, 248]] * 2


@pytest.mark.parametrize("count", [1, 2, 5, 16, 96, 97, 1000])
@pytest.mark.parametrize("size", [(1, 1), (3, 20), (55, 55), (20, 3)])
def test_the_grid_is_near_a_square(count: int, size: tuple[int, int]) -> None:
    if count * math.prod(size) > 100_000:
        return
    drawn = draw_grid(np.random.default_rng(0).random((count, *size), np.float32), "blob")
    high = drawn.height - HEAD - MARGIN
    wide = drawn.width - 2 * MARGIN - 76
    assert high <= 1100
    assert wide <= 1100
    if count >= 16 and max(size) / min(size) < 2:
        assert 0.7 < high / wide < 1.5


def test_large_channels_are_shrunk() -> None:
    drawn = draw_grid(np.random.default_rng(0).random((4, 900, 900), np.float32), "blob")
    assert drawn.width < 1150


def test_a_shrunk_channel_is_the_mean_of_its_numbers() -> None:
    values = np.zeros((1, 1920, 1920), np.float32)
    values[:, :, ::2] = 1
    pixels = np.asarray(draw_grid(values, "blob"))
    assert pixels[HEAD + 500, MARGIN + 500].tolist() == colors([0.5])[0]


def test_filters_over_three_channels_are_in_colour() -> None:
    filters = np.zeros((4, 3, 1, 1), np.float32)
    filters[0, 0], filters[1, 1], filters[2, 2] = 1, 1, 1
    pixels = np.asarray(draw_grid(filters, "conv1[0]"))
    places = [(0, 0), (0, 1), (1, 0), (1, 1)]
    seen = [pixels[HEAD + 34 + 66 * r, MARGIN + 34 + 66 * c].tolist() for r, c in places]
    assert seen == [[255, 0, 0], [0, 255, 0], [0, 0, 255], [0, 0, 0]]


def test_nan_is_grey_and_infinities_are_the_ends() -> None:
    values = np.array([np.nan, -np.inf, np.inf, 0.0], np.float32).reshape(4, 1, 1)
    values = np.concatenate([values, np.ones((5, 1, 1), np.float32)])
    pixels = np.asarray(draw_grid(values, "blob"))
    seen = [pixels[HEAD + 34, MARGIN + 34 + 66 * column].tolist() for column in range(3)]
    assert seen == [[150, 150, 150], *colors([0, 1])]


def test_numbers_alone_are_channels_of_one() -> None:
    numbers = np.arange(6, dtype=np.float32)
    picture = np.asarray(draw_grid(numbers, "fc"))
    assert (picture == np.asarray(draw_grid(numbers.reshape(6, 1, 1), "fc"))).all()


def test_the_bar_goes_from_the_least_to_the_greatest() -> None:
    pixels = np.asarray(draw_grid(np.array([-1, 3], np.float32).reshape(2, 1, 1), "blob"))
    bar = pixels[:, MARGIN + 2 * 66 + 2 + 12 + 8]
    assert bar[HEAD].tolist() == colors([1])[0]
    assert bar[HEAD + 66 + 1].tolist() == colors([0])[0]


def test_a_title_that_is_too_long_is_cut() -> None:
    drawn = draw_grid(np.zeros((1, 4, 4), np.float32), "x" * 500 + "\x1b[31m")
    assert drawn.width < 500


@pytest.mark.parametrize("shape", [(), (2, 4, 5, 5), (0, 3, 3), (1, 3, 2, 2, 2)])
def test_what_cannot_be_drawn(shape: tuple[int, ...]) -> None:
    with pytest.raises(NetError) as caught:
        draw_grid(np.zeros(shape, np.float32), "blob")
    shape_words = shape_text(shape)
    assert str(caught.value) == f"a blob of {shape_words} cannot be drawn; expected C x H x W"


def test_of_very_many_channels_the_first_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netsurgery.maps.grid._MOST", 6)
    values = np.arange(40, dtype=np.float32)
    few = draw_grid(values[:6], "fc6", "")
    many = draw_grid(np.concatenate([values[:6], values[:1].repeat(30)]), "fc6", "")
    assert many.size == few.size
    head = (0, 0, many.width, 70)
    assert many.crop(head).tobytes() != few.crop(head).tobytes()  # which says so
    rest = (0, 70, *many.size)
    assert many.crop(rest).tobytes() == few.crop(rest).tobytes()
