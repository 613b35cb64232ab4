from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from netsurgery.drawing.pixels import to_pixels
from netsurgery.drawing.scene import Bitmap, Rect, Scene, Text
from netsurgery.errors import NetError, SettingsError
from netsurgery.io.shape_text import shape_text
from netsurgery.maps.channel_view import ChannelView, channel_numbers
from netsurgery.maps.color_scale import grey_colors, heat_colors, signed_colors
from netsurgery.maps.grid import blob_scene, grid_scene

MARGIN, HEAD = 32, 76


def colors(values: object) -> list[list[int]]:
    drawn: list[list[int]] = heat_colors(np.asarray(values, np.float32)).tolist()
    return drawn


def draw_grid(values: NDArray[np.float32], title: str) -> Image.Image:
    return to_pixels(grid_scene(values, title))


def ticks(scene: Scene) -> list[str]:
    return [item.words for item in scene.items if isinstance(item, Text) and item.anchor == "lm"]


@pytest.mark.parametrize(
    ("height", "signed", "expected"),
    [
        (40, False, ["0", "10", "20", "30"]),
        (40, True, ["-20", "0", "20"]),
        (1, False, ["0", "20"]),
        (1, True, ["-20", "0", "20"]),
    ],
)
def test_ticks_are_round_and_one_is_at_zero(height: int, signed: bool, expected: list[str]) -> None:
    values = np.arange(40, dtype=np.float32).reshape(1, 1, 40).repeat(height, 1)
    assert ticks(grid_scene(values, "blob", signed=signed)) == expected


def test_one_value_has_no_scale() -> None:
    assert ticks(grid_scene(np.full((2, 3, 3), 4, np.float32), "blob")) == []


def test_tiles_in_reading_order_with_gaps() -> None:
    """Four channels of one number: two rows of two, 64 pixels each, two between."""
    values = np.array([0.0, 1.0, 2.0, 4.0], np.float32).reshape(4, 1, 1)
    pixels = np.asarray(draw_grid(values, "blob"))
    centers = [
        pixels[HEAD + 2 + 66 * row + 32, MARGIN + 2 + 66 * column + 32].tolist()
        for row in range(2)
        for column in range(2)
    ]
    assert centers == colors([0, 0.25, 0.5, 1])
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
    few = draw_grid(values[:6], "fc6")
    many = draw_grid(np.concatenate([values[:6], values[:1].repeat(30)]), "fc6")
    assert many.size == few.size
    head = (0, 0, many.width, 70)
    assert many.crop(head).tobytes() != few.crop(head).tobytes()  # which says so
    rest = (0, 70, *many.size)
    assert many.crop(rest).tobytes() == few.crop(rest).tobytes()


def blob_of(
    count: int, height: int = 6, width: int = 6
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Each channel is its own number, but for a corner of 0."""
    values = np.ones((count, height, width), np.float32) * np.arange(count)[:, None, None]
    values[:, -1, -1] = 0
    return values.astype(np.float32)


def numbered(scene: Scene, anchor: str) -> dict[str, tuple[float, float]]:
    texts = [item for item in scene.items if isinstance(item, Text) and item.anchor == anchor]
    return {text.words: text.at for text in texts}


def grid_box(scene: Scene) -> tuple[int, int, int, int]:
    box = next(item.box for item in scene.items if isinstance(item, Bitmap))
    return int(box[0]), int(box[1]), int(box[2]), int(box[3])


def below(scene: Scene, number: str) -> tuple[int, ...]:
    """The colour in the middle of the tile under a number."""
    x, y = numbered(scene, "ls")[number]
    color = to_pixels(scene).getpixel((int(x) + 20, int(y) + 20))
    assert isinstance(color, tuple)
    return color


def test_each_channel_has_its_number_over_it() -> None:
    scene = blob_scene(blob_of(9), "conv", "a.png", ChannelView())
    places = numbered(scene, "ls")
    assert list(places) == [str(number) for number in range(9)]
    assert places["0"][1] == places["2"][1] < places["3"][1]
    assert places["0"][0] == places["3"][0] < places["1"][0]
    for number in range(9):
        assert below(scene, str(number)) == tuple(colors([number / 8])[0])


def test_tiles_with_numbers_between_them_have_no_frame_around_all() -> None:
    for scene, framed in (
        (grid_scene(blob_of(9), "conv"), True),
        (blob_scene(blob_of(9), "conv", "a.png", ChannelView()), False),
    ):
        x0, y0, x1, y1 = grid_box(scene)
        frame = (x0 - 1, y0 - 1, x1 + 1, y1 + 1)
        frames = [item for item in scene.items if isinstance(item, Rect) and item.line is not None]
        assert any(item.box == frame for item in frames) == framed


def test_rows_of_small_channels_have_the_number_of_their_first() -> None:
    scene = blob_scene(blob_of(6400, 2, 2), "conv", "a.png", ChannelView())
    rows = numbered(scene, "rm")
    assert list(rows)[:2] == ["0", "160"]
    x0, y0, _, y1 = grid_box(scene)
    assert all(x < x0 and y0 < y < y1 for x, y in rows.values())
    apart = np.diff([y for _, y in rows.values()])
    assert apart.min() >= 11  # lines of text do not meet


def test_channels_that_are_chosen() -> None:
    view = ChannelView(channels=(5, 0, 283))
    scene = blob_scene(blob_of(300), "conv", "a.png", view)
    assert list(numbered(scene, "ls")) == ["5", "0", "283"]
    assert below(scene, "283") == tuple(colors([1])[0])
    assert below(scene, "5") == tuple(colors([5 / 283])[0])
    with pytest.raises(NetError, match="channel 283: blob 'conv' has 9 channels, 0 to 8"):
        blob_scene(blob_of(9), "conv", "a.png", view)


def test_the_most_active_first() -> None:
    values = blob_of(4)
    values[1] *= -40
    scene = blob_scene(values, "conv", "a.png", ChannelView(sort=True))
    assert list(numbered(scene, "ls")) == ["1", "3", "2", "0"]
    values[3, 1, 1] = np.nan
    assert ChannelView(sort=True).chosen(values, "conv") == [1, 3, 2, 0]


def test_each_channel_on_its_own_scale() -> None:
    scene = blob_scene(blob_of(4), "conv", "a.png", ChannelView(scale="channel"))
    assert ticks(scene) == []
    assert below(scene, "1") == below(scene, "3") == tuple(colors([1])[0])
    signed = blob_of(4)
    signed[2] *= -1
    scene = blob_scene(signed, "conv", "a.png", ChannelView(scale="channel"))
    assert below(scene, "2") == tuple(signed_colors(np.array(0.0)))
    assert below(scene, "3") == tuple(signed_colors(np.array(1.0)))


def test_values_of_both_signs_diverge_about_zero() -> None:
    values = blob_of(4)
    values[3] *= -1
    scene = blob_scene(values, "conv", "a.png", ChannelView())
    assert ticks(scene) == ["-2", "0", "2"]
    assert below(scene, "3") == tuple(signed_colors(np.array(0.0)))
    assert below(scene, "0") == tuple(signed_colors(np.array(0.5)))
    heat = blob_scene(values, "conv", "a.png", ChannelView(colors="heat"))
    assert below(heat, "3") == tuple(colors([0])[0])


def test_grey_is_as_the_notebook_shows_filters() -> None:
    """From the least value of all channels, black, to the greatest, white."""
    values = blob_of(3)
    values[0] = -2
    scene = blob_scene(values, "conv", "a.png", ChannelView(colors="grey"))
    assert below(scene, "0") == (0, 0, 0)
    assert below(scene, "1") == tuple(grey_colors(np.array(0.75)))
    assert below(scene, "2") == (255, 255, 255)


@pytest.mark.parametrize("text", ["", "a", "1,", "-1", "5-2", "0-99999999", "0-70000", "1.5"])
def test_numbers_of_channels(text: str) -> None:
    with pytest.raises(ValueError, match=r"channels|lower number"):
        channel_numbers(text)


def test_views_that_are_none() -> None:
    for wrong in ({"scale": "all"}, {"colors": "jet"}):
        with pytest.raises(SettingsError, match="expected"):
            ChannelView(**wrong)  # type: ignore[arg-type]
