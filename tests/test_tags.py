from __future__ import annotations

import random

from netsurgery.maps.layout import TAG_HEIGHT, Tag, placed


def test_the_first_place_is_above_the_cell() -> None:
    boxes = placed([Tag(0, 20, [(40, 40, 50, 50)])], (100, 100))
    assert boxes == {0: (35, 40 - TAG_HEIGHT, 55, 40)}


def test_at_the_edge_a_tag_stands_elsewhere() -> None:
    assert placed([Tag(0, 20, [(40, 2, 50, 12)])], (100, 100)) == {0: (35, 13, 55, 13 + TAG_HEIGHT)}
    right = placed([Tag(0, 30, [(0, 40, 10, 50)])], (100, 100))
    assert right == {
        0: (11, 45 - (TAG_HEIGHT + 1) // 2, 41, 45 - (TAG_HEIGHT + 1) // 2 + TAG_HEIGHT)
    }


def test_a_tag_with_no_free_place_is_left_out() -> None:
    cell = (40, 10, 50, 20)
    tags = [Tag(rank, 80, [cell]) for rank in range(4)]
    assert list(placed(tags, (60, 100))) == [0]
    assert placed([Tag(0, 101, [cell])], (60, 100)) == {}


def test_another_cell_may_be_free() -> None:
    tags = [Tag(0, 80, [(40, 10, 50, 20)]), Tag(1, 80, [(40, 10, 50, 20), (240, 10, 250, 20)])]
    assert [box[0] for box in placed(tags, (60, 300)).values()] == [5, 205]


def test_none_stands_over_another() -> None:
    draw = random.Random(5)
    for high, wide in ((60, 1400), (900, 90), (300, 300)):
        cells = [(draw.randrange(wide), draw.randrange(high)) for _ in range(80)]
        tags = [
            Tag(rank, draw.randrange(14, 60), [(x, y, x + 9, y + 9)])
            for rank, (x, y) in enumerate(cells)
        ]
        boxes = list(placed(tags, (high, wide)).values())
        assert len(boxes) > 10
        for index, (x0, y0, x1, y1) in enumerate(boxes):
            assert min(x0, y0) > 0
            assert x1 < wide
            assert y1 < high
            for a0, b0, a1, b1 in boxes[:index]:
                assert x1 < a0 or a1 < x0 or y1 < b0 or b1 < y0
