from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from netsurgery.errors import NetError
from netsurgery.formats.labels import Labels
from netsurgery.maps.classmap import ClassMap, Geometry
from netsurgery.maps.drawing import BAND, CLASS_COLORS, INK, PAPER, heat_colors
from netsurgery.maps.heatmap import _cells_at, draw_map, draw_png
from netsurgery.maps.image import Picture
from netsurgery.maps.layout import arrange, panel_size
from netsurgery.maps.legend import Legend, entries
from netsurgery.maps.transformer import place

#: Where the panels are for a square image: left, top, and the side.
TOP, SIDE = 92, 460
LEFTS = (32, 32 + SIDE + 28, 32 + 2 * SIDE + 28 + 72 + 28)


def grey_picture(height: int = 120, width: int = 120) -> Picture:
    return Picture("some/folder/grey.png", np.full((height, width, 3), 128, np.uint8))


def class_map(values: Any, picture: Picture, **changed: Any) -> ClassMap:
    options: dict[str, Any] = {
        "picture": picture,
        "values": np.asarray(values, np.float32),
        "blob": "prob",
        "is_probability": True,
        "input": "data",
        "geometry": Geometry((20.0, 20.0), (40.0, 40.0), place(picture.size, picture.size)),
    }
    return ClassMap(**{**options, **changed})


def one_hot(numbers: Any, classes: int) -> Any:
    return (np.arange(classes)[:, None, None] == np.asarray(numbers)).astype(np.float32)


def pixel(drawn: Image.Image, panel: int, x: float, y: float) -> tuple[int, ...]:
    """The colour at a share of a square panel's width and height."""
    color = drawn.getpixel((LEFTS[panel] + int(x * SIDE), TOP + int(y * SIDE)))
    assert isinstance(color, tuple)
    return color


def test_a_map_of_many_cells_is_drawn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn by itself grows with the picture's panel, not with the cells."""
    calls: list[str] = []
    for name in ("line", "rectangle", "text"):
        drawn = getattr(ImageDraw.ImageDraw, name)

        def counted(pen: Any, *arguments: Any, drawn: Any = drawn, **named: Any) -> Any:
            calls.append(drawn.__name__)
            return drawn(pen, *arguments, **named)

        monkeypatch.setattr(ImageDraw.ImageDraw, name, counted)
    picture = grey_picture()
    counts = []
    for side in (300, 900):
        values = np.random.default_rng(0).random((3, side, side))
        geometry = Geometry((120 / side,) * 2, (120 / side,) * 2, place((120, 120), (120, 120)))
        calls.clear()
        draw_map(class_map(values, picture, geometry=geometry))
        counts.append(len(calls))
    assert counts[0] == counts[1] < 200


def test_cells_lie_where_their_boxes_do() -> None:
    """Later ones over earlier ones, at least a pixel each, and nothing beside them."""
    starts, ends = np.array([-9, -2, 1, 4, 4, 9]), np.array([-5, 1, 4, 4, 6, 12])
    assert _cells_at(starts, ends, 10).tolist() == [1, 2, 2, 2, 4, 4, -1, -1, -1, 5]


def test_lightness_rises_along_the_scale() -> None:
    colors = heat_colors(np.linspace(0, 1, 200)).astype(float)
    lightness = colors @ [0.2126, 0.7152, 0.0722]
    assert np.all(np.diff(lightness) > -0.3)
    assert lightness[-1] - lightness[0] > 200
    assert np.array_equal(heat_colors(np.array([-1.0, 2.0])), heat_colors(np.array([0.0, 1.0])))


def test_class_colours_are_apart() -> None:
    colors = np.array(CLASS_COLORS, float)
    gaps = np.linalg.norm(colors[:, None] - colors[None], axis=2)
    assert gaps[~np.eye(len(colors), dtype=bool)].min() > 35


def test_the_three_panels() -> None:
    """Image; heat filling its panel; the map at the cells' true places, nothing around them."""
    picture = grey_picture()
    # 5 x 5 cells of 20 pixels about the centres 20, 40 ... 100: 10 to 110 of 120 are covered.
    numbers = np.zeros((5, 5), int)
    numbers[:, 3:] = 1
    drawn = draw_map(class_map(one_hot(numbers, 2), picture))
    assert pixel(drawn, 0, 0.5, 0.5) == (128, 128, 128)
    assert pixel(drawn, 1, 0.02, 0.02) == tuple(heat_colors(np.array(1.0)))
    for edge in (0.02, 0.98):
        assert pixel(drawn, 2, edge, 0.5) == pixel(drawn, 2, 0.5, edge) == (128, 128, 128)
    first, second = pixel(drawn, 2, 0.15, 0.15), pixel(drawn, 2, 0.85, 0.15)
    for seen, color in ((first, CLASS_COLORS[0]), (second, CLASS_COLORS[1])):
        mixed = np.array([128, 128, 128]) + (np.array(color) - 128) * 180 / 255
        assert np.abs(np.array(seen) - mixed).max() <= 1.5
    # The line between cells of two classes lies at 70 of 120 pixels.
    assert pixel(drawn, 2, 70 / 120, 0.25) == (255, 255, 255)


def test_classes_are_named_where_they_are() -> None:
    """A name stands above the best cell of its class, and only there."""
    picture = grey_picture()
    values = np.zeros((2, 5, 5), np.float32)
    values[0], values[1, 3, 2] = 0.5, 0.9
    drawn = draw_map(class_map(values, picture))
    named = LEFTS[2] + SIDE // 2, TOP + 70 * SIDE // 120 - 9
    around = drawn.crop((named[0] - 6, named[1] - 6, named[0] + 7, named[1] + 7))
    colors = around.getcolors(200)
    assert colors is not None
    assert max(colors)[1] == CLASS_COLORS[1]


def test_a_long_name_is_cut_to_a_narrow_picture() -> None:
    picture = grey_picture(360, 100)
    labels = Labels("w", ("first", "name " * 30))
    numbers = np.zeros((9, 3), int)
    numbers[4, 1] = 1
    geometry = Geometry((30.0, 30.0), (60.0, 60.0), place(picture.size, picture.size))
    mapped = class_map(one_hot(numbers, 2), picture, labels=labels, geometry=geometry)
    assert CLASS_COLORS[1] in colors_of_the_overlay(draw_map(mapped), picture)


def colors_of_the_overlay(drawn: Image.Image, picture: Picture) -> set[Any]:
    high, wide = panel_size(picture.size)
    left = drawn.width - 32 - wide
    panel = drawn.crop((left, TOP + 34, left + wide, TOP + high))
    return {color for _, color in panel.getcolors(1 << 18) or []}


def test_the_class_of_most_cells_is_not_named() -> None:
    """Its colour is in the legend; a name would stand on a picture full of it."""
    picture = grey_picture()
    values = np.full((1, 5, 5), 0.5)
    drawn = draw_map(class_map(values, picture))
    panel = drawn.crop((LEFTS[2], TOP, LEFTS[2] + SIDE, TOP + SIDE))
    assert CLASS_COLORS[0] not in {color for _, color in panel.getcolors(1 << 18) or []}


@pytest.mark.parametrize(("height", "width"), [(1600, 200), (333, 500), (100, 100)])
def test_cells_leave_no_gap(height: int, width: int) -> None:
    """Edges at half a pixel of the panel are rounded the same way for both cells."""
    picture = grey_picture(height, width)
    step = (height / 21, width / 21)
    places = place(picture.size, picture.size)
    geometry = Geometry(step, (2 * step[0], 2 * step[1]), places)
    mapped = class_map(np.full((1, 20, 20), 0.5), picture, geometry=geometry)
    drawn = draw_map(mapped, 0)
    high, wide = panel_size(picture.size)
    layout = arrange(picture.size, ("", "", ""), Legend(entries(mapped, mapped.summary(), 0)))
    left, top = layout.panels[2][0], drawn.height - layout.canvas[1] + layout.panels[2][1]
    margin = (wide // 42 + 2, high // 42 + 2)
    inner = (left + margin[0], top + margin[1], left + wide - margin[0], top + high - margin[1])
    assert len(drawn.crop(inner).getcolors(9) or "gaps") == 1


def test_no_name_outside_the_image() -> None:
    """Cells whose windows pass the edge are not named on the paper around the panel."""
    picture = grey_picture(120, 120)
    geometry = Geometry((20.0, 20.0), (300.0, 300.0), place((120, 120), (120, 120)))
    numbers = np.arange(9).reshape(3, 3)
    drawn = draw_map(class_map(one_hot(numbers, 9), picture, geometry=geometry))
    below = drawn.crop((LEFTS[2], TOP + SIDE + 1, drawn.width, TOP + SIDE + 24))
    assert below.getcolors(1) is not None


def test_one_class_is_shown_by_heat() -> None:
    picture = grey_picture()
    values = np.zeros((2, 5, 5), np.float32)
    values[1, 0, 0], values[0] = 0.9, 0.1
    drawn = draw_map(class_map(values, picture), 1)
    assert pixel(drawn, 1, 0.02, 0.02) == tuple(heat_colors(np.array(0.9)))
    assert pixel(drawn, 1, 0.98, 0.98) == tuple(heat_colors(np.array(0.0)))
    hot, cold = pixel(drawn, 2, 0.15, 0.15), pixel(drawn, 2, 0.85, 0.85)
    assert sum(hot) > sum(cold) + 150


def heat_pixels(drawn: Image.Image) -> int:
    """How many colours the panel of the heat has."""
    left, top = LEFTS[1], TOP
    colors = drawn.crop((left, top, left + SIDE, top + SIDE)).getcolors(1 << 18)
    assert colors is not None
    return len(colors)


def test_cells_of_one_class_do_not_name_others() -> None:
    """The numbers of the likeliest classes are on the heat of the likeliest alone."""
    picture = grey_picture()
    mapped = class_map(np.full((2, 5, 5), 0.5), picture)
    assert heat_pixels(draw_map(mapped)) > 2
    assert heat_pixels(draw_map(mapped, 1)) == 1


def test_the_colour_bar_goes_up() -> None:
    picture = grey_picture()
    drawn = draw_map(class_map(np.full((2, 3, 3), 0.5), picture))
    x = LEFTS[1] + SIDE + 12 + 8
    assert drawn.getpixel((x, TOP + 1)) == pytest.approx(heat_colors(np.array(1.0)), abs=2)
    assert drawn.getpixel((x, TOP + SIDE - 2)) == pytest.approx(heat_colors(np.array(0.0)), abs=2)


def test_the_legend_grows_with_the_classes() -> None:
    picture = grey_picture()
    heights = []
    for classes in (1, 3, 8, 12, 60, 100):
        numbers = np.arange(100).reshape(10, 10) % classes
        mapped = class_map(one_hot(numbers, classes), picture)
        heights.append(draw_map(mapped).height)
    assert heights[1] - heights[0] == 2 * 24
    assert heights[2] - heights[1] == 1 * 24  # two columns
    assert heights[3] - heights[2] == 0  # three
    assert heights[4] - heights[3] == 11 * 24  # four
    assert heights[5] - heights[4] == 6 * 24  # "and 20 more"


def test_the_legend_shows_the_colours_of_the_overlay() -> None:
    picture = grey_picture()
    numbers = np.zeros((5, 5), int)
    numbers[0, 0] = 1
    drawn = draw_map(class_map(one_hot(numbers, 2), picture))
    top = TOP + SIDE + 24 + 30
    assert drawn.getpixel((40, top + 8)) == CLASS_COLORS[0]
    assert drawn.getpixel((40, top + 24 + 8)) == CLASS_COLORS[1]


def test_scores_have_a_scale_of_their_own() -> None:
    picture = grey_picture()
    values = np.linspace(-40, 60, 25).reshape(1, 5, 5)
    drawn = draw_map(class_map(values, picture, is_probability=False), 0)
    assert pixel(drawn, 1, 0.02, 0.02) == tuple(heat_colors(np.array(0.0)))
    assert pixel(drawn, 1, 0.98, 0.98) == tuple(heat_colors(np.array(1.0)))


@pytest.mark.parametrize(
    "values", [np.zeros((2, 3, 3)), np.full((2, 3, 3), np.inf), np.full((2, 3, 3), -np.inf)]
)
def test_values_without_a_range(values: Any) -> None:
    picture = grey_picture()
    assert draw_map(class_map(values, picture, is_probability=False)).width == 1572


@pytest.mark.parametrize(("height", "width"), [(3, 4000), (4000, 3), (1, 1)])
def test_images_of_any_shape(height: int, width: int) -> None:
    picture = grey_picture(height, width)
    drawn = draw_map(class_map(np.full((2, 4, 4), 0.5), picture))
    assert 500 <= drawn.width <= 1600
    assert 200 <= drawn.height <= 1000


def test_a_class_that_no_cell_shows_is_drawn_and_listed() -> None:
    picture = grey_picture()
    values = np.zeros((3, 5, 5))
    values[0], values[2, 1, 1] = 0.5, 0.25
    mapped = class_map(values, picture)
    drawn = draw_map(mapped, 2)
    assert drawn.height == draw_map(mapped).height + 24
    marked = TOP + SIDE + 24 + 30
    assert drawn.getpixel((LEFTS[0] + 6, marked + 8)) == INK  # the mark
    assert drawn.getpixel((LEFTS[0] - 4, marked)) == BAND
    assert drawn.getpixel((LEFTS[0] - 4, marked + 24)) == PAPER


def test_fine_and_coarse_maps() -> None:
    picture = grey_picture()
    for cells in (1, 200):
        numbers = np.zeros((cells, cells), int)
        assert draw_map(class_map(one_hot(numbers, 2), picture)).width == 1572


def test_odd_names_and_labels() -> None:
    """What no font can show, and more than there is room for."""
    picture = Picture("-", grey_picture().pixels)
    labels = Labels("w", ("\x1b[2J\n\udcff 猫", "long " * 200))
    mapped = class_map(one_hot(np.array([[0, 1]]), 2), picture, labels=labels)
    assert draw_map(mapped, 1).width == 1572


def test_cells_that_cannot_be_placed() -> None:
    picture = grey_picture()
    geometry = Geometry(None, None, place(picture.size, picture.size))
    with pytest.raises(NetError) as error:
        draw_map(class_map(np.zeros((2, 3, 3)), picture, geometry=geometry))
    assert str(error.value) == (
        "blob 'prob': the net does not say its total stride, so its cells "
        "cannot be placed on the picture"
    )


def test_what_the_net_was_fed_stands_in_the_subtitle() -> None:
    picture = grey_picture()
    plain = draw_map(class_map(np.zeros((2, 3, 3)), picture))
    noted = draw_map(class_map(np.zeros((2, 3, 3)), picture, notes={"preprocess": "fed RGB 0..1"}))
    assert noted.size == plain.size
    apart = np.asarray(noted) != np.asarray(plain)
    rows = np.flatnonzero(apart.any(axis=(1, 2)))
    assert 40 < rows[0] <= rows[-1] < 66  # the line of the subtitle


def test_png() -> None:
    picture = grey_picture()
    drawn = Image.open(io.BytesIO(draw_png(class_map(np.zeros((2, 3, 3)), picture))))
    assert drawn.format == "PNG"
    assert drawn.mode == "RGB"
