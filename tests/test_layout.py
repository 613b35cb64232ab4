from __future__ import annotations

import pytest

from netsurgery.maps.drawing import load_font, wrapped
from netsurgery.maps.layout import PictureLayout, arrange, panel_size, stretched
from netsurgery.maps.legend import Entry, Legend

TITLES = ("image", "probability of class 281: n02123045 tabby, tabby cat", "on the image, " * 4)


def arranged(size: tuple[int, int]) -> PictureLayout:
    legend = Legend([Entry(n, "tabby", "1 of 9 cells, best 1", None) for n in range(9)])
    return arrange(size, TITLES, legend)


@pytest.mark.parametrize("size", [(100, 100), (200, 1600), (1600, 200), (32, 3456), (9, 1), (1, 4)])
def test_parts_do_not_meet(size: tuple[int, int]) -> None:
    layout = arranged(size)
    wide, high = layout.canvas
    for index, (x0, y0, x1, y1) in enumerate(layout.panels):
        assert (y1 - y0, x1 - x0) == panel_size(size)
        assert x0 >= 32
        assert x1 <= wide - 32
        assert y0 - 8 - 17 * len(layout.titles[index]) >= 60  # the head above
        assert y1 <= high - 32
        assert layout.legend[0] > x1 or layout.legend[1] > y1
        for a0, b0, a1, b1 in layout.panels[:index]:
            assert x0 > a1 or a0 > x1 or y0 > b1 or b0 > y1


@pytest.mark.parametrize("size", [(100, 100), (1600, 200), (200, 1600)])
def test_titles_are_whole_and_beside_each_other(size: tuple[int, int]) -> None:
    layout, font = arranged(size), load_font(14)
    for title, lines, panel in zip(TITLES, layout.titles, layout.panels, strict=True):
        assert " ".join(lines) == title.strip()
        right = panel[0] + max(map(font.getlength, lines))
        beside = [x0 for x0, y0, _, _ in layout.panels if y0 == panel[1] and x0 > panel[0]]
        assert right < min(beside, default=layout.canvas[0])


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ((192, 288), ""),
        ((1, 1), ""),
        ((200, 1600), ""),
        ((1600, 200), ""),
        ((32, 3456), "drawn 6.8 times too tall"),
        ((4000, 3), "drawn 157.9 times too wide"),
    ],
)
def test_a_stretched_image_is_reported(size: tuple[int, int], words: str) -> None:
    assert stretched(size) == words


def test_wrapped() -> None:
    font = load_font(14)
    room = font.getlength("on the image")
    assert wrapped("on the image of it", font, room, 3) == ["on the image", "of it"]
    assert wrapped("", font, room, 3) == [""]
    long = wrapped("on the image of it and of them and of that", font, room, 2)
    assert len(long) == 2
    assert long[1].startswith("of it")
    assert long[1].endswith("...")
    assert all(font.getlength(line) <= room for line in wrapped("w" * 99, font, room, 3))
