from __future__ import annotations

import pytest

from netsurgery.maps.layout import (
    BAR_SPACE,
    GAP,
    MARGIN,
    fitted,
    grid_sheet,
    one_sheet,
    stretched,
)

IMAGES = [(100, 100), (200, 1600), (1600, 200), (32, 3456), (9, 1), (1, 4), (360, 480)]


@pytest.mark.parametrize("bar", [True, False])
@pytest.mark.parametrize("width", [None, 240, 600, 1000, 1200, 5000])
@pytest.mark.parametrize("image", IMAGES)
def test_what_stands_beside_each_other_has_room(
    image: tuple[int, int], width: int | None, bar: bool
) -> None:
    space = BAR_SPACE if bar else 0
    sheet = one_sheet(image, width, bar)
    used = sheet.picture[1] + space + (GAP + sheet.side if sheet.side else 0) + 2 * MARGIN
    assert used <= sheet.width
    assert width is None or sheet.width * sheet.scale == pytest.approx(width)
    for count in (1, 2, 3, 10, 24):
        grid = grid_sheet(image, count, width, bar)
        columns = grid.columns * (grid.picture[1] + GAP) - GAP
        assert columns + space + 2 * MARGIN <= grid.width
        assert 1 <= grid.columns <= count
        assert width is None or grid.width * grid.scale == pytest.approx(width)


def test_the_picture_is_large_and_the_rest_beside_or_under_it() -> None:
    assert one_sheet((360, 480), None, False).picture == (620, 826)
    assert one_sheet((360, 480), None, False).side == 292
    assert one_sheet((200, 1600), None, False).side == 0
    assert one_sheet((200, 1600), None, False).picture[1] == 1144
    assert one_sheet((1600, 200), None, False).picture == (720, 90)
    assert one_sheet((360, 480), 500, False).side == 0


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_keeps_its_shape_unless_it_would_be_a_line(image: tuple[int, int]) -> None:
    for room in ((720, 840), (100, 100), (30, 900)):
        height, width = fitted(image, room)
        assert 1 <= height <= room[0]
        assert 1 <= width <= room[1]
        if min(height, width) > 48:
            assert stretched(image, (height, width)) == ""


def test_small_images_are_not_enlarged_without_end() -> None:
    assert fitted((28, 28), (720, 840)) == (480, 480)
    assert fitted((50, 50), (720, 840)) == (600, 600)


def test_a_stretched_image_is_reported() -> None:
    assert stretched((32, 3456), (48, 1144)) == "drawn 4.5 times too tall"
    assert stretched((4000, 3), (720, 48)) == "drawn 88.9 times too wide"
    assert stretched((200, 300), (201, 300)) == ""
