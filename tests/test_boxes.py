"""Boxes of class maps, against a loop over cells written here."""

from __future__ import annotations

import random
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from netsurgery.errors import NetError, SettingsError
from netsurgery.io.memory import set_max_memory
from netsurgery.maps.box_rules import BoxRules
from netsurgery.maps.boxes import (
    BoxCandidates,
    MapBox,
    candidates,
    map_boxes,
    overlaps,
    suppressed,
)
from netsurgery.maps.cell_geometry import Geometry
from netsurgery.maps.classmap import ClassMap
from netsurgery.maps.image import Picture
from netsurgery.maps.picture_options import Fit
from netsurgery.maps.transformer import place

pytestmark = pytest.mark.usefixtures("option_names")

FITS: tuple[Fit, ...] = ("warp", "crop", "pad")
Box = tuple[float, float, float, float]


class Found(NamedTuple):
    """A box by the loop; cell: map, row, column."""

    number: int
    score: float
    box: Box
    cell: tuple[int, int, int]


def class_map(
    values: NDArray[np.float32],
    geometry: Geometry | None = None,
    picture: tuple[int, int] = (40, 50),
    *,
    is_probability: bool = True,
) -> ClassMap:
    geometry = geometry or Geometry((8.0, 8.0), (16.0, 16.0), place(picture, picture))
    pixels = np.zeros((*picture, 3), np.uint8)
    return ClassMap(Picture("p.png", pixels), values, "prob", is_probability, "data", geometry)


def random_map(rng: random.Random, picture: tuple[int, int]) -> ClassMap:
    """Few different scores, so that many are equal."""
    size = rng.choice([picture, (rng.randint(10, 90), rng.randint(10, 90))])
    stride = rng.choice([1.0, 4.0, 7.0]), rng.choice([2.0, 3.0, 9.0])
    window = float(rng.randint(2, 20)), float(rng.randint(2, 20))
    start = float(rng.randint(-9, 3)), float(rng.randint(-9, 3))
    geometry = Geometry(stride, window, place(picture, size, rng.choice(FITS)), start)
    shape = rng.randint(1, 4), rng.randint(1, 9), rng.randint(1, 9)
    numbers = np.array([rng.randint(0, 6) / 6 for _ in range(int(np.prod(shape)))], np.float32)
    return class_map(numbers.reshape(shape), geometry, picture)


def shared(box: Box, second: Box) -> float:
    across = min(box[2], second[2]) - max(box[0], second[0])
    down = min(box[3], second[3]) - max(box[1], second[1])
    both = max(across, 0) * max(down, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (box, second)]
    return both / (sum(areas) - both)


def by_loop(
    maps: list[ClassMap], threshold: float, overlap: float, background: int | None
) -> list[Found]:
    hits = []
    for number, each in enumerate(maps):
        windows = each.windows()
        assert windows is not None
        height, width = each.picture.size
        for row in range(each.shape[0]):
            for column in range(each.shape[1]):
                scores = each.values[:, row, column].tolist()
                best = scores.index(max(scores))
                left, top, right, bottom = windows[row, column].tolist()
                box = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
                seen = box[0] < box[2] and box[1] < box[3]
                if best != background and scores[best] >= np.float32(threshold) and seen:
                    hits.append(Found(best, scores[best], box, (number, row, column)))
    hits.sort(key=lambda each: (-each.score, each.cell))
    stays: list[Found] = []
    for box in hits:
        same = [second for second in stays if second.number == box.number]
        if all(shared(second.box, box.box) <= overlap for second in same):
            stays.append(box)
    return stays


@pytest.mark.parametrize("seed", range(80))
def test_boxes_are_those_of_a_loop(seed: int) -> None:
    rng = random.Random(seed)
    picture = rng.randint(8, 60), rng.randint(8, 60)
    maps = [random_map(rng, picture) for _ in range(rng.choice([1, 1, 2, 3]))]
    threshold, overlap = rng.choice([0.0, 0.5, 0.9]), rng.choice([0.0, 0.2, 0.5, 1.0])
    background = rng.choice([None, 0, 2])
    expected = by_loop(maps, threshold, overlap, background)
    parts = [candidates(each, threshold, background) for each in maps]
    result = suppressed(parts, overlap)
    assert [each.number for each in result] == [each.number for each in expected]
    assert [each.score for each in result] == [each.score for each in expected]
    np.testing.assert_allclose(
        [each.box for each in result], [each.box for each in expected], rtol=0, atol=1e-9
    )
    if len(maps) == 1:
        assert map_boxes(maps[0], BoxRules(threshold, overlap), background) == result


def test_of_equal_scores_the_earlier_cell_stays() -> None:
    values = np.full((1, 2, 3), 0.75, np.float32)
    boxes = map_boxes(class_map(values), BoxRules(0.5, 0.1))
    assert boxes == [
        MapBox(0, 0.75, (0.0, 0.0, 16.0, 16.0)),
        MapBox(0, 0.75, (16.0, 0.0, 32.0, 16.0)),
    ]


def test_only_boxes_of_the_same_class_suppress_each_other() -> None:
    values = np.array([[[0.9, 0.1]], [[0.1, 0.9]]], np.float32)
    assert [each.number for each in map_boxes(class_map(values), BoxRules(overlap=0))] == [0, 1]


def test_the_background_gives_no_box() -> None:
    values = np.array([[[0.9, 0.1]], [[0.1, 0.9]]], np.float32)
    assert [each.number for each in map_boxes(class_map(values), background=0)] == [1]
    assert not map_boxes(class_map(values), BoxRules(0.95))


def test_no_box_lies_outside_of_the_picture() -> None:
    geometry = Geometry((30.0, 30.0), (10.0, 10.0), place((40, 50), (40, 50)), (-35.0, -5.0))
    boxes = map_boxes(class_map(np.ones((1, 3, 3), np.float32), geometry))
    assert [each.box for each in boxes] == [
        (0.0, 0.0, 5.0, 5.0),  # of row 1 and column 0; row 0 has none
        (25.0, 0.0, 35.0, 5.0),
        (0.0, 25.0, 5.0, 35.0),
        (25.0, 25.0, 35.0, 35.0),
    ]


def test_infinite_scores_are_the_largest_number() -> None:
    (box,) = map_boxes(class_map(np.full((1, 1, 1), np.inf, np.float32)))
    assert box.score == float(np.finfo(np.float32).max)


def test_scores_need_a_threshold() -> None:
    scores = class_map(np.full((1, 1, 1), 7, np.float32), is_probability=False)
    with pytest.raises(NetError, match=r"^blob 'prob' has scores, not prob.*\(--threshold\)$"):
        map_boxes(scores)
    assert len(map_boxes(scores, BoxRules(7))) == 1


def test_cells_without_places_have_no_boxes() -> None:
    geometry = Geometry(None, None, place((40, 50), (40, 50)))
    with pytest.raises(NetError, match=r"^p\.png: the total stride of blob 'prob' is not known"):
        map_boxes(class_map(np.ones((1, 1, 1), np.float32), geometry))


def test_a_map_without_a_box_gives_none() -> None:
    none = BoxCandidates(np.zeros(0, np.intp), np.zeros(0), np.zeros((0, 4)))
    assert suppressed([none, none], 0.5) == []


def test_boxes_of_many_cells_are_counted_as_memory() -> None:
    many = class_map(np.ones((1, 300, 300), np.float32))
    few = class_map(np.zeros((1, 300, 300), np.float32))
    set_max_memory("24MiB")
    try:
        assert map_boxes(few) == []
        with pytest.raises(Exception, match=r"^p\.png: its boxes needs 25\.7 MiB of memory; "):
            map_boxes(many)
    finally:
        set_max_memory(None)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"overlap": 1.5}, "overlap 1.5: expected a number from 0 to 1"),
        ({"overlap": float("nan")}, "overlap nan: expected a number from 0 to 1"),
        ({"threshold": float("inf")}, "threshold inf: expected a finite number"),
    ],
)
def test_rules_that_cannot_be_are_refused(rules: dict[str, float], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        BoxRules(**rules)
    assert str(caught.value) == message


def test_boxes_that_only_touch_share_nothing() -> None:
    box = np.array([0.0, 0.0, 4.0, 4.0])
    others = np.array([[4.0, 0.0, 8.0, 4.0], [0.0, 0.0, 4.0, 4.0], [2.0, 2.0, 6.0, 6.0]])
    np.testing.assert_allclose(overlaps(box, others), [0, 1, 4 / 28])
