"""Counts of cells and boxes by their truth, against loops written here and figures by hand."""

from __future__ import annotations

import random

import numpy as np
import pytest

from netsurgery.errors import FormatError, NetError
from netsurgery.formats.labels import Labels
from netsurgery.maps.boxes import MapBox
from netsurgery.maps.cell_geometry import Geometry
from netsurgery.maps.class_names import ClassNames
from netsurgery.maps.transformer import place
from netsurgery.training.box_score import BoxCounts, average_precision, outcomes
from netsurgery.training.class_match import match_classes
from netsurgery.training.objects import Box, TrueObject
from netsurgery.training.score import ClassFigures, Confusion, nearest_cells, pixel_confusion
from netsurgery.training.truth import Truth

pytestmark = pytest.mark.usefixtures("option_names")


@pytest.mark.parametrize("seed", range(30))
def test_the_counts_are_those_of_a_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    classes, shape = int(rng.integers(1, 6)), rng.integers(1, 9, 2)
    truth, assigned = rng.integers(-1, classes, shape), rng.integers(0, classes, shape)
    expected = np.zeros((classes, classes), int)
    ignored = 0
    for is_, got in zip(truth.flat, assigned.flat, strict=True):
        if is_ < 0:
            ignored += 1
        else:
            expected[is_, got] += 1
    result = Confusion.of(truth, assigned, classes)
    np.testing.assert_array_equal(result.counts, expected)
    assert (result.ignored, result.counted) == (ignored, truth.size - ignored)
    for number, figures in enumerate(result.figures):
        of_it, got_it = truth == number, (assigned == number) & (truth >= 0)
        both, either = (of_it & got_it).sum(), (of_it | got_it).sum()
        assert figures.iou == (both / either if either else None)
        assert figures.recall == (both / of_it.sum() if of_it.any() else None)
        assert figures.precision == (both / got_it.sum() if got_it.any() else None)
        assert result.wrong_for(number) == (of_it & (assigned != number)).sum()
    if ignored < truth.size:
        assert result.accuracy == ((truth == assigned).sum() / (truth >= 0).sum())
    else:
        assert result.accuracy is result.mean_iou is None


def test_the_mean_is_over_classes_that_are_there() -> None:
    # By hand: class 0 3 of 4, class 1 2 of 3; of class 2 there is nothing.
    result = Confusion(np.array([[3, 1, 0], [0, 2, 0], [0, 0, 0]]))
    assert result.mean_iou == pytest.approx((3 / 4 + 2 / 3) / 2)
    assert result.figures[2] == ClassFigures(0, 0, 0)
    assert (result + Confusion(np.eye(3, dtype=np.int64), 5)).ignored == 5


@pytest.mark.parametrize("seed", range(30))
def test_a_mask_s_pixels_get_the_nearest_cell(seed: int) -> None:
    rng = random.Random(seed)
    picture = rng.randint(4, 30), rng.randint(4, 30)
    size = rng.randint(8, 40), rng.randint(8, 40)
    stride, window = (rng.choice([2.0, 3.0, 5.0]), 4.0), (float(rng.randint(3, 9)), 7.0)
    geometry = Geometry(
        stride, window, place(picture, size, "warp"), (rng.uniform(-5, 5), rng.random())
    )
    assigned = np.array([[rng.randint(0, 2) for _ in range(5)] for _ in range(4)])
    mask = np.array([[rng.randint(-1, 2) for _ in range(picture[1])] for _ in range(picture[0])])
    windows = geometry.windows(4, 5)
    assert windows is not None
    x, y = windows[..., [0, 2]].mean(axis=-1), windows[..., [1, 3]].mean(axis=-1)
    expected = np.zeros((3, 3), int)
    for row in range(picture[0]):
        for column in range(picture[1]):
            if mask[row, column] >= 0:
                at = abs(y[:, 0] - row - 0.5).argmin(), abs(x[0] - column - 0.5).argmin()
                expected[mask[row, column], assigned[at]] += 1
    result = pixel_confusion(mask.astype(np.int32), assigned, geometry, 3)
    np.testing.assert_array_equal(result.counts, expected)
    assert result.ignored == (mask < 0).sum()


def test_many_pixels_are_counted_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    geometry = Geometry((2.0, 2.0), (2.0, 2.0), place((9, 6), (9, 6)))
    mask, assigned = np.arange(54, dtype=np.int32).reshape(9, 6) % 3, np.eye(4, 3, dtype=np.intp)
    whole = pixel_confusion(mask, assigned, geometry, 3)
    monkeypatch.setattr("netsurgery.training.score._BLOCK", 12)
    np.testing.assert_array_equal(pixel_confusion(mask, assigned, geometry, 3).counts, whole.counts)
    assert whole.counted == 54


def test_one_cell_is_nearest_to_all() -> None:
    geometry = Geometry((2.0, 2.0), (2.0, 2.0), place((3, 3), (3, 3)))
    assert nearest_cells(geometry, 0, 1).tolist() == [0, 0, 0]


def brute_average_precision(right: list[bool], objects: int) -> float:
    """Pascal VOC's definition since 2010, word by word: all recalls, the best precision at or
    above each, and the area of the steps between them."""
    points = [(0.0, 0.0)]
    for count in range(1, len(right) + 1):
        hits = sum(right[:count])
        points.append((hits / objects, hits / count))
    area, last = 0.0, 0.0
    for recall in sorted({point[0] for point in points}):
        area += (recall - last) * max(each[1] for each in points if each[0] >= recall)
        last = recall
    return area


@pytest.mark.parametrize("seed", range(60))
def test_average_precision_is_the_area_by_brute_force(seed: int) -> None:
    rng = random.Random(seed)
    right = [rng.random() < 0.5 for _ in range(rng.randint(0, 30))]
    objects = max(1, sum(right) + rng.randint(0, 4))
    assert average_precision(right, objects) == pytest.approx(
        brute_average_precision(right, objects), abs=1e-12
    )


def test_average_precision_by_hand() -> None:
    # 5 objects; precisions 1, 1/2, 2/3, 2/4, 3/5, 3/6: to recall 0.2 it is 1, to 0.4 2/3, to 0.6
    # 3/5, and beyond there is none.
    right = [True, False, True, False, True, False]
    assert average_precision(right, 5) == pytest.approx(0.2 * (1 + 2 / 3 + 3 / 5))
    # A precision that rises later counts before: 1/2, then 2/3 at recall 1.
    assert average_precision([False, True, True], 2) == pytest.approx(2 / 3)
    assert average_precision([], 3) == 0
    assert average_precision([False], 3) == 0
    assert average_precision([True], 0) is None


def box(left: float, score: float = 0.9, number: int = 1, top: float = 0) -> MapBox:
    return MapBox(number, score, (left, top, left + 10, top + 10))


def truth(*boxes: Box, ignored: tuple[Box, ...] = (), numbers: tuple[int, ...] = ()) -> Truth:
    objects = tuple(TrueObject("a", each) for each in boxes)
    return Truth(objects, numbers or (1,) * len(boxes), ignored)


def test_the_second_box_of_an_object_repeats_it() -> None:
    boxes = [box(1), box(0), box(60)]
    assert outcomes(boxes, truth((0, 0, 10, 10))) == ["right", "repeated", "false"]


def test_half_of_the_union_is_enough() -> None:
    # Shares 10 x 10 of the object's 10 x 20: exactly half.
    assert outcomes([box(0)], truth((0, 0, 10, 20))) == ["right"]
    assert outcomes([box(0)], truth((0, 0, 10, 20.1))) == ["false"]


def test_a_box_is_of_the_object_of_its_class_that_it_shares_most_with() -> None:
    both = truth((0, 0, 10, 10), (3, 0, 13, 10))
    assert outcomes([box(2), box(1)], both) == ["right", "right"]  # the second, then the first
    assert outcomes([box(2), box(3)], both) == ["right", "repeated"]
    mixed = truth((0, 0, 10, 10), (3, 0, 13, 10), numbers=(1, 2))
    assert outcomes([box(2)], mixed) == ["right"]  # the first: the second is of another class
    assert outcomes([box(0, number=3)], mixed) == ["false"]


def test_what_does_not_count_makes_a_box_neither_right_nor_false() -> None:
    ignored: tuple[Box, ...] = ((0, 0, 30, 30),)
    boxes = [box(5, top=5), box(26), box(0, number=2)]
    assert outcomes(boxes, truth(ignored=ignored)) == ["left out", "false", "left out"]
    dropped = truth((0, 0, 10, 10), numbers=(-1,))
    assert outcomes([box(0)], dropped) == ["left out"]
    beside = truth((0, 0, 10, 10), ignored=ignored)
    assert outcomes([box(0), box(1)], beside) == ["right", "repeated"]


def test_boxes_of_all_pictures_are_in_the_order_of_their_scores() -> None:
    counts = BoxCounts(objects=3)
    counts.add(0.5, "false")  # of a first picture, and so before an equal score
    counts.add(0.4, "right")
    counts.add(0.9, "right")
    counts.add(0.5, "right")
    counts.add(1.0, "left out")
    expected = average_precision([True, False, True, True], 3)
    assert counts.average_precision == expected == pytest.approx((1 + 3 / 4 + 3 / 4) / 3)
    assert counts.to_json() == {
        "objects": 3,
        "found": 5,
        "right": 3,
        "repeated": 0,
        "false": 1,
        "left_out": 1,
        "average_precision": expected,
    }
    assert BoxCounts().average_precision is None


LABELS = Labels("words.txt", ("n1 cat, tabby", "n2 dog", "n3 crane, bird", "n4 crane, machine"))
NAMES = ClassNames(4, LABELS, "prob")


def test_classes_are_matched_by_exactly_their_names() -> None:
    classes = ["tabby", "n2", "n3 crane, bird"]
    assert match_classes(classes, NAMES, {}, "t.json") == {"tabby": 0, "n2": 1, classes[2]: 2}


def test_the_caller_says_which_class_one_is() -> None:
    mapping = {"kitten": "Tabby", "digger": "3", "sky": "none"}
    numbers = match_classes(["kitten", "dog", "digger", "sky"], NAMES, mapping, "t.json")
    assert numbers == {"kitten": 0, "dog": 1, "digger": 3, "sky": -1}


def test_without_labels_classes_are_called_by_their_numbers() -> None:
    names = ClassNames(3, None, "prob")
    assert match_classes(["2", "0"], names, {}, "t.json") == {"2": 2, "0": 0}
    with pytest.raises(FormatError, match="the net has no class '3', nor labels"):
        match_classes(["3"], names, {}, "t.json")


@pytest.mark.parametrize(
    ("classes", "mapping", "error", "message"),
    [
        (
            ["Cat", "dogs", "dog"], {}, FormatError,
            "t.json: the net has no class 'Cat', 'dogs'; say which of its classes that is, by "
            "number or label, or none for what is not to count (--classes NAME=LABEL)",
        ),
        (
            ["a", "b", "c", "d", "e"], {"e": "none"}, FormatError,
            "t.json: the net has no class 'a', 'b', 'c', 'd'; say which of its classes that is, by "
            "number or label, or none for what is not to count (--classes NAME=LABEL)",
        ),
        (
            ["crane"], {}, FormatError,
            "t.json: 2 classes of the net are called 'crane': 2 n3 crane, bird; 3 n4 crane, "
            "machine; say which it is, by number (--classes NAME=LABEL)",
        ),
        (
            ["dog"], {"dgo": "1"}, FormatError,
            "t.json: no class 'dgo', of --classes; did you mean dog?",
        ),
        (["dog"], {"dog": "4"}, NetError, "class 4: blob 'prob' has 4 classes, 0 to 3"),
        (["dog"], {"dog": "dig"}, FormatError, "words.txt: no label 'dig'; did you mean dog?"),
    ],
)  # fmt: skip
def test_what_matches_nothing_is_refused(
    classes: list[str], mapping: dict[str, str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        match_classes(classes, NAMES, mapping, "t.json")
    assert str(caught.value) == message
