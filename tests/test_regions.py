"""Regions of a map, and tags inside them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from netsurgery.drawing.scene import CellGrid
from netsurgery.maps.regions import MOST_TAGS, find_regions, numbered_regions, place_tags


def flooded(classes: Any) -> Any:
    """Region by region, cell by cell."""
    height, width = classes.shape
    numbers = np.full(classes.shape, -1)
    for row, column in np.ndindex(height, width):
        if numbers[row, column] >= 0:
            continue
        todo = [(row, column)]
        numbers[row, column] = first = row * width + column
        while todo:
            y, x = todo.pop()
            for a, b in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
                inside = 0 <= a < height and 0 <= b < width
                if inside and numbers[a, b] < 0 and classes[a, b] == classes[y, x]:
                    numbers[a, b] = first
                    todo.append((a, b))
    return numbers


def cells_of(rows: int, columns: int, size: float = 20.0) -> CellGrid:
    across, down = np.arange(columns) * size, np.arange(rows) * size
    return CellGrid(
        (100.0, 50.0, 100 + columns * size, 50 + rows * size),
        np.stack([across, across + size], axis=1),
        np.stack([down, down + size], axis=1),
        np.zeros((rows, columns, 4), np.uint8),
    )


def test_regions_are_those_of_a_flood() -> None:
    random = np.random.default_rng(3)
    for _ in range(60):
        shape = tuple(random.integers(1, 16, 2))
        classes = random.integers(0, random.integers(1, 4) + 1, shape)
        assert (numbered_regions(classes) == flooded(classes)).all()
    spiral = np.zeros((9, 9), int)
    spiral[1, :8] = spiral[1:8, 7] = spiral[7, 1:8] = spiral[3:8, 1] = spiral[3, 1:6] = 1
    assert (numbered_regions(spiral) == flooded(spiral)).all()


def test_the_best_regions_come_first_and_each_class_before_seconds() -> None:
    classes = np.array([[1, 1, 0, 2, 0, 1, -1]])
    scores = np.array([[0.2, 0.3, 0.1, 0.9, 0.8, 0.95, 1.0]])
    regions = [(each.number, each.best, each.left) for each in find_regions(classes, scores)]
    assert regions == [(1, 0.95, 5), (2, 0.9, 3), (0, 0.8, 4), (1, 0.3, 0), (0, 0.1, 2)]


def tags_of(classes: Any, scores: Any, names: Any, size: float = 20.0) -> Any:
    cells = cells_of(classes.shape[0], classes.shape[1], size)
    return place_tags(cells, classes, scores, names, lambda words: 6.0 * len(words))


def test_a_tag_is_inside_its_region_at_its_best_cells() -> None:
    random = np.random.default_rng(5)
    for _ in range(40):
        classes = np.repeat(np.repeat(random.integers(-1, 4, (4, 4)), 3, axis=0), 4, axis=1)
        tags = tags_of(classes, random.random(classes.shape), lambda number: [f"class {number}"])
        assert len(tags) <= MOST_TAGS
        assert tags or (classes < 0).all()
        for tag in tags:
            x0, y0, x1, y1 = tag.box
            touched = classes[
                int((y0 - 50) // 20) : int(-(-(y1 - 50) // 20)),
                int((x0 - 100) // 20) : int(-(-(x1 - 100) // 20)),
            ]
            assert (touched == tag.number).all()
    scores = np.zeros((3, 30))
    scores[1, 20:25] = 1
    (tag,) = tags_of(np.zeros((3, 30), int), scores, lambda number: ["cat"])
    assert 20 * 20 <= tag.box[0] - 100 <= tag.box[2] - 100 <= 25 * 20


def test_a_name_that_has_no_room_is_a_number_or_left_out() -> None:
    classes = np.array([[0, 0, 1, 2]])
    tags = tags_of(
        classes, np.ones((1, 4)), lambda n: ["a long name", str(n)] if n < 2 else ["xx3"]
    )
    assert [(tag.number, tag.words) for tag in tags] == [(0, "0"), (1, "1")]


def test_at_most_eight_tags() -> None:
    classes = np.repeat(np.arange(20)[None], 3, axis=0)
    scores = np.repeat(np.arange(20.0)[None], 3, axis=0)
    tags = tags_of(classes, scores, lambda number: [str(number)], size=24.0)
    assert [tag.number for tag in tags] == list(range(19, 19 - MOST_TAGS, -1))
    cells = cells_of(3, 20, 24.0)
    first = place_tags(cells, classes, scores, lambda n: [str(n)], lambda words: 6.0, 4)
    assert [tag.number for tag in first] == [4, *range(19, 19 - MOST_TAGS + 1, -1)]
    apart = np.array([[0, 0, 1, 1, 0, 0]])
    twice = place_tags(cells_of(1, 6), apart, np.ones((1, 6)), lambda n: [str(n)], lambda _: 6.0, 0)
    assert [tag.number for tag in twice] == [0, 1]


def test_a_tag_stays_in_the_picture_where_cells_do_not() -> None:
    """A net padded to have more cells has some on each side of the picture, the best ones here."""
    for shift, best in ((-30.0, np.s_[:, :2]), (30.0, np.s_[:, 4:])):
        cells = cells_of(3, 6)
        cells = replace(cells, columns=cells.columns + shift)
        scores = np.ones((3, 6))
        scores[best] = 2
        (tag,) = place_tags(cells, np.zeros((3, 6), int), scores, lambda _: ["a"], lambda _: 30.0)
        assert cells.box[0] < tag.box[0] < tag.box[2] < cells.box[2]


def test_tags_over_fine_cells_take_many_of_them() -> None:
    classes = np.zeros((40, 40), int)
    classes[:, 20:] = 1
    tags = tags_of(classes, np.ones((40, 40)), lambda number: [f"name {number}"], size=3.0)
    assert [tag.words for tag in tags] == ["name 0", "name 1"]
    assert tags[0].box[2] <= 100 + 60 <= tags[1].box[0]
