"""Pictures of maps, by what they show: the colour at a place, and text where it stands."""

from __future__ import annotations

import io
import itertools
import json
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_maps import class_map, drawn, grey_picture, one_hot
from PIL import Image, ImageDraw

import netsurgery as ns
from netsurgery.drawing.cells import cell_at_each_pixel
from netsurgery.drawing.colors import PAPER
from netsurgery.drawing.picture_file import encoded, image_bytes
from netsurgery.drawing.scene import Text
from netsurgery.errors import NetError
from netsurgery.formats.labels import Labels
from netsurgery.maps.cell_geometry import Geometry
from netsurgery.maps.classmap import ClassMap
from netsurgery.maps.color_scale import heat_colors, signed_colors
from netsurgery.maps.heatmap import draw_map, map_scene
from netsurgery.maps.image import Picture
from netsurgery.maps.palette import CLASS_COLORS, contrast
from netsurgery.maps.picture_look import PICTURE_SUFFIXES, PictureLook
from netsurgery.maps.transformer import place

#: Of the picture of `grey_picture`.
GREY = (128, 128, 128)
HALF = np.zeros((5, 5), int)
HALF[:, 2:] = 1  # class 1 has more cells, but not the first two columns


def over_grey(color: Any, opacity: float) -> Any:
    return np.array(GREY) + (np.asarray(color, float) - 128) * opacity


def near(seen: Any, expected: Any, most: float = 2) -> bool:
    return bool(np.abs(np.asarray(seen, float) - expected).max() <= most)


@pytest.fixture(scope="module")
def digits(repo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The map of the demo."""
    folder = tmp_path_factory.mktemp("demo")
    result = ns.convert(
        repo_root / "prototxt/digits_deploy.prototxt",
        repo_root / "models/digits/digits.caffemodel",
        folder / "out",
        input_size=(192, 288),
        settings=ns.Settings(labels=repo_root / "models/digits/digits_labels.txt"),
        engine="embedded",
    )
    canvas = repo_root / "examples/digits_canvas.png"
    return ns.classify_map(canvas, result.paths.settings, engine="embedded")


def test_the_demo_shows_ten_digits_on_their_page(digits: Any, repo_root: Path) -> None:
    """The colour at each digit's place is its class's; the page is the grey image's."""
    picture = drawn(digits)
    (box,) = picture.frames
    size = (int(box[3] - box[1]), int(box[2] - box[0]))
    grey = digits.picture.thumbnail(size, "L")
    shown = np.asarray(picture.pixels)[
        int(box[1]) : int(box[1]) + size[0], int(box[0]) : int(box[0]) + size[1]
    ]
    numbers = [row.number for row in digits.summary() if row.number != digits.background]
    assert len(numbers) == 10
    colors = {number: CLASS_COLORS[rank] for rank, number in enumerate(numbers)}
    digits_there = json.loads((repo_root / "examples/digits_canvas.json").read_text())["digits"]
    assert len(digits_there) == 10
    tiles = digits.geometry.tiles(*digits.shape) * (size[1] / digits.picture.size[1])
    for digit in digits_there:
        row, column = digit["cell"]
        x0, y0, x1, y1 = tiles[row, column]
        cell = shown[int(y0) + 3 : int(y1) - 2, int(x0) + 3 : int(x1) - 2].reshape(-1, 3)
        below = np.asarray(grey)[int(y0) + 3 : int(y1) - 2, int(x0) + 3 : int(x1) - 2].reshape(-1)
        color = np.array(colors[digit["digit"]], float)
        # Where there is no tag it is the class's colour over the grey.
        mixed = below[:, None] + (color - below[:, None]) * 0.7
        tag = np.abs(cell - color).max(axis=1) <= 3
        assert (tag | (np.abs(cell - mixed).max(axis=1) <= 4)).mean() > 0.8, digit
    page = np.ones(size, bool)
    for row, column in np.argwhere(digits.argmax() != digits.background):
        x0, y0, x1, y1 = tiles[row, column]
        page[max(0, int(y0) - 1) : int(y1) + 2, max(0, int(x0) - 1) : int(x1) + 2] = False
    assert page.mean() > 0.9
    assert (shown[page] == np.asarray(grey)[page][:, None]).all()
    title = "not painted: the background, class 10: background, 661 of 693 cells"
    assert title in picture.words


def test_cells_are_in_their_classes_colours_and_the_margin_is_plain() -> None:
    picture = drawn(class_map(one_hot(HALF, 2)), "max")
    # Class 1 has 15 of 25 cells, and is the background.
    assert near(picture.color(0.15, 0.15), over_grey(CLASS_COLORS[0], 0.7))
    assert picture.color(0.7, 0.2) == GREY
    for edge in (0.02, 0.98):
        assert picture.color(edge, 0.5) == picture.color(0.5, edge) == GREY


def test_without_a_background_all_cells_are_painted() -> None:
    picture = drawn(class_map(one_hot(HALF, 2), background_name="none"))
    assert near(picture.color(0.7, 0.2), over_grey(CLASS_COLORS[0], 0.7))
    assert near(picture.color(0.15, 0.15), over_grey(CLASS_COLORS[1], 0.7))
    assert not any("background" in words for words in picture.words)
    # A line goes round each region, within it, in its colour.
    edge = (10 + 40) / 120
    assert near(picture.color(edge + 0.002, 0.3), CLASS_COLORS[0])
    assert near(picture.color(edge - 0.002, 0.3), CLASS_COLORS[1])


def test_the_background_that_is_named_is_not_painted() -> None:
    picture = drawn(class_map(one_hot(HALF, 2), background_name="0"))
    assert picture.color(0.15, 0.15) == GREY
    assert near(picture.color(0.7, 0.2), over_grey(CLASS_COLORS[0], 0.7))
    assert "not painted: the background, class 0, 10 of 25 cells" in picture.words


def test_opacity_is_certainty() -> None:
    values = one_hot(HALF, 2) * np.linspace(0.2, 1, 5)[:, None]
    picture = drawn(class_map(values, background_name="none"))
    for row in range(5):
        opacity = 0.7 * (0.4 + 0.6 * (0.2 + 0.2 * row))
        y = (20 + 20 * row + 5) / 120
        assert near(picture.color(0.22, y), over_grey(CLASS_COLORS[1], opacity))
    faint = drawn(class_map(values, background_name="none"), alpha=0.0)
    assert faint.color(0.22, 0.3) == GREY
    # The lines are there.
    assert near(faint.color(50 / 120 - 0.002, 0.3), CLASS_COLORS[1])


def test_tags_stand_inside_the_regions_of_their_classes() -> None:
    labels = Labels("w", ("n01 cat, puss", "n02 dog"))
    picture = drawn(class_map(one_hot(HALF, 2), labels=labels, background_name="none"))
    tags = picture.tags()
    assert list(tags) == ["cat", "dog"]
    for name, low, high in (("cat", 10, 50), ("dog", 50, 110)):
        box, (_, y) = tags[name]
        (x0, _, x1, _), (left, _, right, _) = picture.frames[0], box.box
        scale = (x1 - x0) / 120
        assert x0 + low * scale <= left < right <= x0 + high * scale
        assert 10 / 120 < y < 110 / 120
        color = CLASS_COLORS[0 if name == "dog" else 1]
        assert box.fill == color
        text = next(item for item in picture.scene.items if item == find(picture, name))
        assert contrast(text.color, color) >= 4.5


def find(picture: Any, words: str) -> Text:
    texts = [item for item in picture.scene.items if isinstance(item, Text)]
    return next(item for item in texts if item.words == words)


def test_the_background_is_tagged_unless_it_is_called_so() -> None:
    """It may be the thing that fills the picture."""
    for name, tags in (("cat", ["cat", "dog"]), ("Background", ["dog"])):
        labels = Labels("w", ("dog", name))
        picture = drawn(class_map(one_hot(HALF, 2), labels=labels))
        assert list(picture.tags()) == tags
    assert (
        drawn(class_map(one_hot(HALF, 2), labels=Labels("w", ("dog", "cat")))).tags()["cat"][0].fill
        == PAPER
    )


def test_one_class_is_drawn_as_heat_at_its_place() -> None:
    values = np.zeros((2, 5, 5), np.float32)
    values[1, 0, 0], values[0] = 0.9, 0.1
    picture = drawn(class_map(values), "1")
    hot = heat_colors(np.array(0.9))
    assert near(picture.color(0.15, 0.15), over_grey(hot, 0.7 * (0.45 + 0.55 * 0.9)))
    assert near(picture.color(0.8, 0.8), over_grey(heat_colors(np.array(0.0)), 0.7 * 0.45))
    assert "probability of class 1" in picture.words
    bar = picture.images[1]
    x, top, bottom = int((bar[0] + bar[2]) / 2), int(bar[1]) + 1, int(bar[3]) - 2
    assert near(picture.pixels.getpixel((x, top)), heat_colors(np.array(1.0)), 3)
    assert near(picture.pixels.getpixel((x, bottom)), heat_colors(np.array(0.0)), 3)
    ticks = [item for item in picture.scene.items if isinstance(item, Text) and item.anchor == "lm"]
    assert [tick.words for tick in ticks] == ["0", "0.2", "0.4", "0.6", "0.8", "1"]
    places = [tick.at[1] for tick in ticks]
    assert places == sorted(places, reverse=True)
    assert places[0] == pytest.approx(bar[3])
    assert places[-1] == pytest.approx(bar[1])


def test_scores_with_a_sign_diverge_about_zero() -> None:
    values = np.zeros((2, 5, 5))
    values[0, 0, 0], values[0, 4, 4] = -4, 8
    picture = drawn(class_map(values, is_probability=False), "0", alpha=1.0)
    assert near(picture.color(0.15, 0.15), signed_colors(np.array(0.25)) * 0.725 + 128 * 0.275, 3)
    assert near(picture.color(0.85, 0.85), signed_colors(np.array(1.0)), 3)
    assert near(picture.color(0.5, 0.5), over_grey(signed_colors(np.array(0.5)), 0.45), 3)
    texts = [item for item in picture.scene.items if isinstance(item, Text)]
    ticks = [text.words for text in texts if text.anchor == "lm"]
    assert ticks == ["0", "5"]


@pytest.mark.parametrize("base", [0.0, 100_000.0, 2_000_000.0])
def test_the_numbers_beside_a_scale_are_where_they_say(base: float) -> None:
    """Also where they differ in late digits alone: they are never all the same."""
    values = (base + np.arange(25).reshape(1, 5, 5)).astype(np.float32)
    picture = drawn(class_map(values, is_probability=False), "0")
    x1, y0, y1 = picture.frames[0][2], picture.frames[0][1], picture.frames[0][3]
    beside = [
        item
        for item in picture.scene.items
        if isinstance(item, Text) and item.anchor == "lm" and x1 < item.at[0] < x1 + 70
    ]
    assert len(beside) >= 3
    for text in beside:
        assert float(text.words) == pytest.approx(
            base + 24 * (y1 - text.at[1]) / (y1 - y0), abs=0.1
        )


def test_a_range_is_for_comparing_pictures() -> None:
    values = np.full((2, 5, 5), 3.0)
    values[0, 0, 0] = 6
    first = drawn(class_map(values, is_probability=False), "0", range=(0, 12), alpha=1.0)
    assert near(first.color(0.15, 0.15), over_grey(heat_colors(np.array(0.5)), 0.725))
    assert near(first.color(0.8, 0.8), over_grey(heat_colors(np.array(0.25)), 0.5875))
    with pytest.raises(ns.SettingsError, match="lower one first"):
        PictureLook(range=(1, 1))


def test_several_classes_each_in_its_colour() -> None:
    values = np.zeros((3, 5, 5))
    values[2], values[0, :, :2], values[1, :, 4] = 0.95, 0.9, 0.5
    picture = drawn(class_map(values), "1,0")
    assert near(picture.color(0.15, 0.3), over_grey(CLASS_COLORS[1], 0.63))
    assert near(picture.color(0.85, 0.3), over_grey(CLASS_COLORS[0], 0.35))
    assert picture.color(0.5, 0.3) == GREY  # neither is there
    legend = [words for words in picture.words if words in ("0", "1", "2")]
    assert legend[-3:] == ["1", "0", "2"]


def test_labels_with_commas_are_one_class() -> None:
    labels = Labels("w", ("n01 cat, puss", "n02 dog", "n03 cow"))
    mapped = class_map(one_hot(HALF, 3), labels=labels)
    assert "probability of class 0: cat, puss" in drawn(mapped, "n01 cat, puss").words
    assert "probability of 2 classes, the highest in each cell; opacity: 0 to 1" in (
        drawn(mapped, "dog,cow").words
    )
    with pytest.raises(ns.FormatError, match="no label 'dig'"):
        map_scene(mapped, "dig,cow")


def test_a_picture_for_each_class_found_on_one_scale() -> None:
    values = (
        one_hot(np.arange(25).reshape(5, 5) % 3, 4) * np.array([1, 0.5, 0.25, 1])[:, None, None]
    )
    picture = drawn(class_map(values), "each", range=(0, 1))
    assert len(picture.frames) == 3
    for frame, value in enumerate((1, 0.5, 0.25)):
        peaks = [picture.color((15 + 20 * c) / 120, 15 / 120, frame) for c in range(3)]
        opacity = 0.7 * (0.45 + 0.55 * value)
        expected = over_grey(heat_colors(np.array(value)), opacity)
        assert any(near(peak, expected) for peak in peaks)
    titles = [words for words in picture.words if words.startswith("class ")]
    assert titles == ["class 0, 9 cells", "class 1, 8 cells", "class 2, 8 cells"]


def test_panels_have_the_map_at_its_true_place() -> None:
    values = one_hot(HALF, 2)
    picture = drawn(class_map(values), layout="panels")
    overlay, grid = picture.frames
    assert grid[3] - grid[1] == overlay[3] - overlay[1]
    # Heat is of the likeliest class but the background; nothing is stretched over the frame.
    assert near(picture.color(0.02, 0.5, 1), PAPER)
    assert near(picture.color(0.12, 0.85, 1), heat_colors(np.array(1.0)))
    assert near(picture.color(0.7, 0.85, 1), heat_colors(np.array(0.0)))
    assert near(picture.color(0.12, 0.85, 0), over_grey(CLASS_COLORS[0], 0.7))
    assert picture.color(0.7, 0.2, 0) == GREY
    assert "highest probability of any class but the background" in picture.words


def test_the_map_alone_is_in_the_images_frame() -> None:
    picture = drawn(class_map(one_hot(HALF, 2)), layout="map")
    assert near(picture.color(0.02, 0.5), PAPER)
    assert near(picture.color(0.12, 0.12), np.array(PAPER) * 0.3 + np.array(CLASS_COLORS[0]) * 0.7)
    numbers = [
        item for item in picture.scene.items if isinstance(item, Text) and item.anchor == "mm"
    ]
    assert len(numbers) == 25
    x0, y0, x1, y1 = picture.frames[0]
    first = numbers[0]
    assert first.words == "0"
    assert (first.at[0] - x0) / (x1 - x0) == pytest.approx(20 / 120)
    assert (first.at[1] - y0) / (y1 - y0) == pytest.approx(20 / 120)


def test_smooth_is_bilinear_between_cells_and_said() -> None:
    values = np.zeros((2, 1, 2))
    values[0, 0, 0] = 1
    geometry = Geometry((60.0, 60.0), (60.0, 60.0), place((120, 120), (120, 120)))
    picture = drawn(class_map(values, geometry=geometry), "0", smooth=True, alpha=1.0)
    reds = [picture.color(x, 0.25)[0] for x in np.linspace(0.26, 0.74, 9)]
    assert all(a > b for a, b in itertools.pairwise(reds))
    assert near(picture.color(0.1, 0.25), over_grey(heat_colors(np.array(1.0)), 1.0))
    assert "probability of class 0; smoothed between cells" in picture.words
    assert picture.color(0.5, 0.9) == GREY


def test_a_map_of_one_cell_says_its_class_and_has_no_scale() -> None:
    labels = Labels("w", ("cat", "dog", "cow"))
    geometry = Geometry((40.0, 40.0), (120.0, 120.0), place((120, 120), (120, 120)))
    mapped = class_map(
        np.array([3.0, 7.5, -1]).reshape(3, 1, 1),
        labels=labels,
        geometry=geometry,
        is_probability=False,
    )
    picture = drawn(mapped)
    assert list(picture.tags()) == ["dog"]
    assert "the only cell: class 1: dog, score 7.5" in picture.words
    for words in (picture.words, drawn(mapped, "0").words):
        assert {"score 7.5", "score 3", "score -1"} <= set(words)
    single = drawn(mapped, "0")
    assert len(single.images) == 2  # the image and the input, no bar
    assert "score of class 0: cat: 3" in single.words


@pytest.mark.parametrize("classes", ["max", "each", "0", "0,1"])
@pytest.mark.parametrize("layout", ["overlay", "panels", "map"])
def test_a_map_of_nothing_but_the_background(classes: str, layout: str) -> None:
    """It is a page with nothing on it; where each class is asked for, it is the only one."""
    mapped = class_map(one_hot(np.zeros((5, 5), int), 2), background_name="0")
    picture = drawn(mapped, classes, layout=layout)
    if classes == "max":
        assert picture.color(0.5, 0.5) == (GREY if layout != "map" else PAPER)
    assert picture.pixels.height > 300


def test_a_large_picture_claims_its_memory(fresh_budget: None) -> None:
    mapped = class_map(one_hot(HALF, 2))
    ns.set_max_memory("64MiB")
    assert drawn(mapped, width=1200).pixels.width == 1200
    with pytest.raises(ns.MemoryLimitError, match=r"a picture of \d+x8000 pixels needs"):
        drawn(mapped, width=8000)


def test_the_input_is_shown_as_the_net_gets_it() -> None:
    pixels = np.zeros((100, 200, 3), np.uint8)
    pixels[:, :50], pixels[:, 50:150], pixels[:, 150:] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
    picture = Picture("rgb.png", pixels)
    seen = {}
    for fit in ("warp", "crop", "pad"):
        placement = place((100, 200), (100, 100), fit)
        geometry = Geometry((20.0, 20.0), (40.0, 40.0), placement)
        shown = drawn(class_map(one_hot(HALF, 2), picture, geometry=geometry))
        x0, y0, x1, y1 = shown.images[1]
        seen[fit] = [
            shown.pixels.getpixel((int(x0 + x * (x1 - x0)), int(y0 + y * (y1 - y0))))
            for x, y in ((0.1, 0.5), (0.5, 0.5), (0.5, 0.05))
        ]
    red, green, blank = (250, 0, 0), (0, 250, 0), (206, 208, 212)
    assert seen == {
        "warp": [red, green, green],
        "crop": [green, green, green],
        "pad": [red, green, blank],
    }


@pytest.mark.parametrize("layout", ["overlay", "panels", "map"])
@pytest.mark.parametrize(("height", "width"), [(100, 100), (100, 900), (900, 100), (20, 30)])
@pytest.mark.parametrize("asked", [None, 300, 700, 1200, 2400])
def test_a_picture_is_as_wide_as_asked_and_its_parts_do_not_meet(
    height: int, width: int, layout: str, asked: int | None
) -> None:
    mapped = class_map(one_hot(HALF, 2), grey_picture(height, width))
    picture = drawn(mapped, width=asked, layout=layout)
    if asked is not None:
        assert picture.pixels.width == asked
    assert picture.pixels.width <= 2400
    boxes = picture.images + (picture.frames if layout != "overlay" else [])
    boxes = [box for n, box in enumerate(boxes) if box not in boxes[:n]]
    for index, (x0, y0, x1, y1) in enumerate(boxes):
        assert min(x0, y0) >= 20
        assert x1 <= picture.scene.width - 20
        assert y1 <= picture.scene.height - 20
        for a0, b0, a1, b1 in boxes[:index]:
            assert x1 <= a0 or a1 <= x0 or y1 <= b0 or b1 <= y0
    for item in picture.scene.items:
        if isinstance(item, Text) and item.anchor == "la":
            right = item.at[0] + picture.scene.fonts.length(item.words, item.size)
            assert right <= picture.scene.width
            assert item.at[1] + item.size <= picture.scene.height


def test_a_picture_wider_than_a_sheet_is_enlarged() -> None:
    mapped = class_map(one_hot(HALF, 2))
    once, twice = drawn(mapped, width=1200), drawn(mapped, width=2400)
    assert twice.scene.items[0] == once.scene.items[0]
    assert twice.pixels.size == (2 * once.pixels.width, 2 * once.pixels.height)
    assert near(twice.color(0.15, 0.15), once.color(0.15, 0.15))


@pytest.mark.parametrize(("height", "width"), [(1600, 200), (333, 500), (100, 100)])
def test_cells_leave_no_gap(height: int, width: int) -> None:
    """Edges at half a pixel of the picture are rounded the same way for both cells."""
    image = grey_picture(height, width)
    step = (height / 21, width / 21)
    geometry = Geometry(step, (2 * step[0], 2 * step[1]), place(image.size, image.size))
    picture = drawn(class_map(np.full((1, 20, 20), 0.5), image, geometry=geometry), "0")
    x0, y0, x1, y1 = (int(v) for v in picture.frames[0])
    margin = ((x1 - x0) // 42 + 2, (y1 - y0) // 42 + 2)
    inner = (x0 + margin[0], y0 + margin[1], x1 - margin[0], y1 - margin[1])
    assert len(picture.pixels.crop(inner).getcolors(9) or "gaps") == 1


def test_cells_lie_where_their_boxes_do() -> None:
    """Later ones over earlier ones, at least a pixel each, and nothing beside them."""
    starts, ends = np.array([-9, -2, 1, 4, 4, 9]), np.array([-5, 1, 4, 4, 6, 12])
    shown = cell_at_each_pixel(starts, ends, 10)
    assert shown.tolist() == [1, 2, 2, 2, 4, 4, -1, -1, -1, 5]


def test_no_tag_outside_the_image() -> None:
    """CellGrid whose windows pass the edge are not named on the paper around the picture."""
    geometry = Geometry((20.0, 20.0), (300.0, 300.0), place((120, 120), (120, 120)))
    numbers = np.arange(9).reshape(3, 3)
    assert drawn(class_map(one_hot(numbers, 9), geometry=geometry)).tags() == {}


def test_a_map_of_many_cells_is_drawn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn by itself does not grow with the cells."""
    calls: list[str] = []
    for name in ("line", "rectangle", "rounded_rectangle", "text"):
        original = getattr(ImageDraw.ImageDraw, name)

        def counted(pen: Any, *arguments: Any, original: Any = original, **named: Any) -> Any:
            calls.append(original.__name__)
            return original(pen, *arguments, **named)

        monkeypatch.setattr(ImageDraw.ImageDraw, name, counted)
    counts = []
    for side in (300, 900):
        values = np.random.default_rng(0).random((3, side, side))
        geometry = Geometry((120 / side,) * 2, (120 / side,) * 2, place((120, 120), (120, 120)))
        calls.clear()
        draw_map(class_map(values, geometry=geometry))
        counts.append(len(calls))
    assert abs(counts[0] - counts[1]) < 20
    assert max(counts) < 200


@pytest.mark.parametrize(
    "values", [np.zeros((2, 3, 3)), np.full((2, 3, 3), np.inf), np.full((2, 3, 3), -np.inf)]
)
@pytest.mark.parametrize("classes", ["max", "0", "0,1", "each"])
def test_values_without_a_range_have_no_scale(values: Any, classes: str) -> None:
    picture = drawn(class_map(values, is_probability=False), classes)
    assert 400 < picture.pixels.width <= 1200
    if not np.isinf(values).any():
        assert not any(getattr(item, "anchor", "") == "lm" for item in picture.scene.items)


@pytest.mark.parametrize(("height", "width"), [(3, 4000), (4000, 3), (1, 1)])
@pytest.mark.parametrize("classes", ["max", "each"])
def test_images_of_any_shape(height: int, width: int, classes: str) -> None:
    values = one_hot(np.arange(16).reshape(4, 4) % 3, 3)
    picture = drawn(class_map(values, grey_picture(height, width)), classes)
    assert 300 <= picture.pixels.width <= 1300
    assert 100 <= picture.pixels.height <= 1500
    stretched = any("times too" in words for words in picture.words)
    assert stretched == (max(height, width) > 100)


def test_odd_names_and_labels() -> None:
    """What no font can show, and more than there is room for."""
    picture = Picture("-", grey_picture().pixels)
    labels = Labels("w", ("\x1b[2J\n\udcff 猫", "long " * 200))
    mapped = class_map(one_hot(np.array([[0, 1]]), 2), picture, labels=labels)
    assert drawn(mapped, "1").pixels.width <= 1200
    assert encoded(map_scene(mapped), ".svg")


@pytest.mark.parametrize("show", [draw_map, ClassMap.to_html])
def test_cells_that_cannot_be_placed(show: Callable[[ClassMap], object]) -> None:
    picture = grey_picture()
    geometry = Geometry(None, None, place(picture.size, picture.size))
    with pytest.raises(NetError) as error:
        show(class_map(np.zeros((2, 3, 3)), picture, geometry=geometry))
    assert str(error.value) == (
        "blob 'prob': the net does not say its total stride, so its cells "
        "cannot be placed on the picture"
    )


def test_what_the_net_was_fed_stands_in_the_head() -> None:
    noted = drawn(class_map(np.zeros((2, 3, 3)), notes={"preprocess": "fed RGB 0..1; more"}))
    assert any(words.endswith("; fed RGB 0..1") for words in noted.words)


def test_a_map_of_several_scales_says_so_in_the_head() -> None:
    for combine, how in (("mean", "mean"), ("max", "largest")):
        scales = ns.Scales((0.7, 1, 1.4), combine)  # type: ignore[arg-type]
        noted = drawn(class_map(np.zeros((2, 3, 3)), scales=scales))
        expected = f"; scores are the {how} of those at scales 0.7, 1, 1.4"
        assert any(expected in words for words in noted.words)


def test_the_legend_has_the_colours_of_the_picture() -> None:
    labels = Labels("w", ("cat", "dog", "cow"))
    numbers = HALF.copy()
    numbers[0, :2] = 2
    picture = drawn(class_map(one_hot(numbers, 3), labels=labels))
    for rank, name in ((0, "cat"), (1, "cow")):
        at = next(
            item.at
            for item in picture.scene.items
            if isinstance(item, Text) and item.words == name and item.anchor == "la"
        )
        swatch = picture.pixels.getpixel((int(at[0]) - 56, int(at[1]) + 8))
        assert swatch == CLASS_COLORS[rank]
    assert "not painted: 15 of 25 cells, best 1" in picture.words


@pytest.mark.parametrize("suffix", PICTURE_SUFFIXES)
def test_the_kind_of_file(suffix: str) -> None:
    content = encoded(map_scene(class_map(one_hot(HALF, 2))), suffix)
    if suffix == ".svg":
        assert content.startswith(b"<svg ")
        return
    image = Image.open(io.BytesIO(content))
    kind = {".png": "PNG", ".webp": "WEBP"}.get(suffix, "JPEG")
    assert (image.format, image.mode) == (kind, "RGB")
    reference = drawn(class_map(one_hot(HALF, 2)))
    x0, y0, x1, y1 = reference.frames[0]
    for x, y in ((0.12, 0.8), (0.3, 0.8), (0.7, 0.3), (0.02, 0.5)):
        at = int(x0 + x * (x1 - x0)), int(y0 + y * (y1 - y0))
        most = 0 if suffix == ".png" else 12
        assert near(image.getpixel(at), reference.color(x, y), most)


def test_a_png_has_every_pixel() -> None:
    mapped = class_map(np.random.default_rng(0).random((3, 5, 5)))
    content = mapped.picture_file()
    with Image.open(io.BytesIO(content)) as picture:
        assert (picture.format, picture.mode) == ("PNG", "RGB")
        picture.verify()
    with Image.open(io.BytesIO(content)) as picture:
        assert (np.asarray(picture) == np.asarray(draw_map(mapped))).all()


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (64, 3), (129, 40)])
@pytest.mark.parametrize("library", ["isal", "zlib"])
def test_a_png_is_the_same_picture_by_either_library(
    shape: tuple[int, int], library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """isal is not there on every machine; rows are filtered some at a time."""
    if library == "zlib":
        monkeypatch.setitem(sys.modules, "isal", None)
    else:
        monkeypatch.setattr(zlib, "compressobj", None)
    noise = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
    with Image.open(io.BytesIO(image_bytes(Image.fromarray(noise), ".png"))) as picture:
        assert (picture.format, picture.mode) == ("PNG", "RGB")
        assert (np.asarray(picture) == noise).all()


def test_a_stream_begins_with_few_bytes_of_their_own() -> None:
    """Of 16 bytes at most ISA-L takes none for an address; with 4 it begins to look for matches.

    Else one picture of a thousand had other bytes when it was drawn again.
    """
    noise = np.random.default_rng(1).integers(0, 256, (90, 70, 3), np.uint8)
    content = image_bytes(Image.fromarray(noise), ".png")
    stream = content[content.index(b"IDAT") + 4 :]
    flushed = stream[: stream.index(b"\0\0\xff\xff") + 4]
    assert 4 <= len(zlib.decompressobj().decompress(flushed)) <= 16
