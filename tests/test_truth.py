"""The truth of a map's cells, against a loop over windows written here."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import netsurgery as ns
from netsurgery.errors import FormatError, MemoryLimitError, NetError, SettingsError
from netsurgery.formats.prototxt import Prototxt
from netsurgery.io.memory import set_max_memory
from netsurgery.maps.cell_geometry import Geometry
from netsurgery.maps.picture_options import Fit
from netsurgery.maps.transformer import place
from netsurgery.net.field import place_cells
from netsurgery.net.net import NetDefinition
from netsurgery.net.shapes import infer
from netsurgery.training.objects import AnnotatedPicture, Box, TrueMask, TrueObject
from netsurgery.training.truth import (
    IGNORED,
    Truth,
    TruthRules,
    label_map,
    looked_up,
    open_truth,
    true_cells,
    why_missed,
)

CLASSES = {"a": 0, "b": 1, "c": 4}
BACKGROUND = 3
FITS: tuple[Fit, ...] = ("warp", "crop", "pad")


class Net(NamedTuple):
    """layers: (kernel, stride, pad) of convolutions, one after another."""

    layers: Sequence[tuple[int, int, int]]
    declared: int

    @property
    def definition(self) -> NetDefinition:
        text = f'input: "b0" input_shape {{ dim: [1, 1, {self.declared}, {self.declared}] }}\n'
        for number, (kernel, stride, pad) in enumerate(self.layers):
            text += (
                f'layer {{ name: "l{number}" type: "Convolution" bottom: "b{number}" '
                f'top: "b{number + 1}" convolution_param {{ num_output: 1 kernel_size: {kernel} '
                f"stride: {stride} pad: {pad} }} }}\n"
            )
        return NetDefinition.of(Prototxt.parse(text))

    def at(self, size: tuple[int, int]) -> tuple[Geometry, tuple[int, int]]:
        """The map's geometry in an input of `size`, which is the picture, and its shape."""
        net, blob = self.definition, f"b{len(self.layers)}"
        cells = place_cells(net, blob, (1, 1, self.declared, self.declared), size)
        rows, columns = infer(net, {"b0": (1, 1, *size)}).blobs[blob][2:]
        return Geometry.of(cells, place(size, size)), (rows, columns)


#: Classifiers of 12, 9 and 20 pixels, the second and third padded, the last FCN's kind.
NETS = [
    Net([(5, 2, 0), (4, 1, 0)], 12),
    Net([(3, 1, 1), (3, 3, 0), (3, 1, 0)], 9),
    Net([(7, 4, 3), (3, 1, 1), (5, 1, 0)], 20),
    Net([(3, 2, 20), (3, 2, 1), (4, 1, 0)], 24),
]


def random_geometry(rng: random.Random) -> tuple[Geometry, tuple[int, int]]:
    """Of no net: any stride, any window, any placement."""
    picture = rng.randint(8, 60), rng.randint(8, 60)
    size = rng.choice([picture, (rng.randint(8, 60), rng.randint(8, 60))])
    stride = rng.choice([1.0, 2.0, 4.0, 0.5, 7.0]), rng.choice([1.0, 2.0, 8.0, 3.0])
    window = rng.randint(1, 20), rng.randint(1, 20)
    start = rng.choice([0.0, -3.0, 1.5]), rng.choice([0.0, -6.0, 2.0])
    placement = place(picture, size, rng.choice(FITS))
    return Geometry(stride, window, placement, start), (rng.randint(1, 6), rng.randint(1, 6))


def random_box(rng: random.Random, size: tuple[int, int]) -> Box:
    """On the grid of half pixels, so that ties are met; now and then a point."""
    x, y = rng.randint(0, 2 * size[1]) / 2, rng.randint(0, 2 * size[0]) / 2
    width, height = (0, 0) if rng.random() < 0.2 else (rng.randint(1, 22), rng.randint(1, 22))
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def random_picture(rng: random.Random, size: tuple[int, int]) -> AnnotatedPicture:
    objects = tuple(
        TrueObject(rng.choice(list(CLASSES)), random_box(rng, size))
        for _ in range(rng.randint(0, 9))
    )
    ignored = [random_box(rng, size)] if rng.random() < 0.3 else []
    return AnnotatedPicture("a.png", objects, ignored=tuple(ignored))


def random_rules(rng: random.Random) -> TruthRules:
    near, more = rng.choice([0, 0.125, 0.15, 0.25, 0.5]), rng.choice([0, 0.125, 0.3, 1])
    low, high = rng.choice([0, 0.5, 0.7]), rng.choice([1, 1.4, 5])
    return TruthRules(near, near + more, (low, high))


def by_hand(window: Box, picture: AnnotatedPicture, rules: TruthRules) -> int:
    """The label of one window, straight from the definition."""
    left, top, right, bottom = window
    width, height = right - left, bottom - top
    x, y = (left + right) / 2, (top + bottom) / 2
    candidates, close = [], False
    for number, thing in enumerate(picture.objects):
        l, t, r, b = thing.box  # noqa: E741
        distance = max(abs((t + b) / 2 - y) / height, abs((l + r) / 2 - x) / width)
        size = max((b - t) / height, (r - l) / width)
        fits = size == 0 or rules.scale[0] <= size <= rules.scale[1]
        if fits and distance <= rules.near:
            candidates.append((distance, (r - l) * (b - t), number))
        close = close or distance <= rules.far
    if candidates:
        return CLASSES[picture.objects[min(candidates)[2]].label]
    if close or any(l <= x < r and t <= y < b for l, t, r, b in picture.ignored):  # noqa: E741
        return IGNORED
    return BACKGROUND


def looped(
    geometry: Geometry, shape: tuple[int, int], picture: AnnotatedPicture, rules: TruthRules
) -> list[list[int]]:
    windows = geometry.windows(*shape)
    assert windows is not None
    return [
        [by_hand(cast(Box, tuple(window)), picture, rules) for window in row]
        for row in windows.tolist()
    ]


def test_a_thousand_random_sets_of_boxes_are_as_a_loop_over_windows_says() -> None:
    rng = random.Random(1)
    seen: Counter[int] = Counter()
    for _ in range(1000):
        geometry, shape = random_geometry(rng)
        picture, rules = random_picture(rng, geometry.placement.image), random_rules(rng)
        expected = looped(geometry, shape, picture, rules)
        labels = label_map(picture, geometry, shape, CLASSES, BACKGROUND, rules).tolist()
        assert labels == expected, (geometry, picture, rules)
        seen.update(label for row in expected for label in row)
    assert min(seen[label] for label in (IGNORED, BACKGROUND, *CLASSES.values())) > 200, seen


@pytest.mark.parametrize("net", NETS, ids=["plain", "padded", "stride 4", "padded by far"])
def test_nets_are_as_a_loop_over_their_windows_says(net: Net) -> None:
    rng = random.Random(2)
    for _ in range(20):
        size = rng.randint(net.declared, 50), rng.randint(net.declared, 50)
        geometry, shape = net.at(size)
        picture, rules = random_picture(rng, size), random_rules(rng)
        labels = label_map(picture, geometry, shape, CLASSES, BACKGROUND, rules)
        assert labels.tolist() == looped(geometry, shape, picture, rules)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.usefixtures("converted_net")
def test_windows_are_those_of_classify_map(repo_root: Path, fit: Fit) -> None:
    """An object in the window that a class map has, whatever its picture was made."""
    options = ns.PictureOptions((150, 260), fit)
    picture = repo_root / "examples/digits_canvas.png"
    class_map = ns.classify_map(picture, "netsurgery.toml", size=options, engine="embedded")
    windows = class_map.windows()
    assert windows is not None
    rows, columns = class_map.shape
    for row, column in ((0, 0), (3, 5), (rows - 1, columns - 1)):
        box = cast(Box, tuple(windows[row, column].tolist()))
        annotated = AnnotatedPicture(str(picture), (TrueObject("a", box),))
        labels = label_map(
            annotated, class_map.geometry, class_map.shape, {"a": 1}, 0, TruthRules(0.05, 0.05)
        )
        assert np.argwhere(labels == 1).tolist() == [[row, column]]


def masked(geometry: Geometry, shape: tuple[int, int], mask: list[list[int]], most: bool) -> object:
    windows = geometry.windows(*shape)
    assert windows is not None
    return [
        [mask_by_hand(cast(Box, tuple(window)), mask, most) for window in row]
        for row in windows.tolist()
    ]


def mask_by_hand(window: Box, mask: list[list[int]], most: bool) -> int:
    left, top, right, bottom = window
    x, y = (left + right) / 2, (top + bottom) / 2
    counts: dict[int, int] = {}
    for row, line in enumerate(mask):
        for column, number in enumerate(line):
            if not most and column <= x < column + 1 and row <= y < row + 1:
                return number
            if most and left <= column + 0.5 < right and top <= row + 0.5 < bottom:
                counts[number] = counts.get(number, 0) + 1
    return min(counts, key=lambda number: (-counts[number], number), default=IGNORED)


@pytest.mark.parametrize("rule", ["center", "majority"])
def test_masks_are_as_a_loop_over_pixels_says(rule: str) -> None:
    rng = random.Random(3)
    for _ in range(60):
        geometry, shape = random_geometry(rng)
        height, width = geometry.placement.image
        # Blocks of a few pixels, so that there is a majority.
        blocks = [[rng.choice([-1, 0, 1, 4]) for _ in range(8)] for _ in range(8)]
        mask = [
            [blocks[y * 8 // height][x * 8 // width] for x in range(width)] for y in range(height)
        ]
        windows = geometry.windows(*shape)
        assert windows is not None
        rules = TruthRules(mask="majority" if rule == "majority" else "center")
        labels = true_cells(Truth(mask=np.array(mask, np.int32)), windows, BACKGROUND, rules).labels
        assert labels.tolist() == masked(geometry, shape, mask, rule == "majority")


def png(path: Path, numbers: NDArray[np.uint8], *, palette: bool = False) -> None:
    image = Image.fromarray(numbers)
    if palette:
        image = image.convert("P")
        image.putdata(numbers.ravel().tolist())
        image.putpalette([255 - value for value in range(256) for _ in range(3)])
    image.save(path)


@pytest.mark.parametrize("palette", [True, False])
def test_a_masks_numbers_are_classes_and_255_does_not_count(tmp_path: Path, palette: bool) -> None:
    numbers = np.array([[0, 1, 255], [2, 2, 0]], np.uint8)
    png(tmp_path / "m.png", numbers, palette=palette)
    mask = TrueMask(str(tmp_path / "m.png"), ("ground", "cat", "dog"))
    picture = AnnotatedPicture("a.png", mask=mask)
    classes = {"ground": 9, "cat": 0, "dog": 5}
    truth = open_truth(picture, (2, 3), classes)
    assert truth.mask is not None
    assert truth.mask.tolist() == [[9, 0, -1], [5, 5, 9]]
    geometry = Geometry((1, 1), (1, 1), place((2, 3), (2, 3)))
    labels = label_map(picture, geometry, (2, 3), classes, 9, TruthRules())
    assert labels.tolist() == truth.mask.tolist()


def test_the_classes_of_pixels_are_claimed() -> None:
    table = np.array([7, 5, -1], np.int32)
    numbers = np.random.default_rng(1).integers(-1, 2, (600, 700), np.int32)
    assert np.array_equal(looked_up(table, numbers, "a mask"), table[numbers])
    set_max_memory("1MiB")
    try:
        with pytest.raises(MemoryLimitError, match=r"^a mask needs"):
            looked_up(table, numbers, "a mask")
    finally:
        set_max_memory(None)


def test_a_mask_is_turned_as_its_picture_is(tmp_path: Path) -> None:
    """By Exif: a mask that was drawn over a photograph may have its orientation."""
    exif = Image.Exif()
    exif[0x0112] = 6
    numbers = np.array([[0, 1, 1], [0, 0, 1]], np.uint8)
    Image.fromarray(numbers).save(tmp_path / "m.png", exif=exif)
    mask = TrueMask(str(tmp_path / "m.png"), ("ground", "cat"))
    size = ns.read_picture(tmp_path / "m.png").size
    assert size == (3, 2)
    truth = open_truth(AnnotatedPicture("a.png", mask=mask), size, {"ground": 0, "cat": 1})
    assert truth.mask is not None
    assert truth.mask.tolist() == [[0, 0], [0, 1], [1, 1]]


def test_broken_masks_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "m.png"
    picture = AnnotatedPicture("a.png", mask=TrueMask(str(path), ("ground", "cat")))
    png(path, np.array([[0, 0], [0, 7]], np.uint8))
    with pytest.raises(FormatError, match="row 1, column 1 is 7, but there are 2 names, of 0 to 1"):
        open_truth(picture, (2, 2), {"ground": 0, "cat": 1})
    with pytest.raises(FormatError, match="a mask of 2x2, but the picture is 3x2"):
        open_truth(picture, (3, 2), {"ground": 0, "cat": 1})
    Image.new("RGB", (2, 2)).save(path)
    with pytest.raises(FormatError, match="its pixels are RGB; expected numbers"):
        open_truth(picture, (2, 2), {"ground": 0, "cat": 1})


def test_a_picture_of_another_size_is_not_the_one_annotated() -> None:
    picture = AnnotatedPicture("a.png", (TrueObject("a", (0, 0, 9, 9)),), size=(20, 30))
    picture.check_size((20, 30))
    with pytest.raises(FormatError, match="its annotations are of a picture of 20x30; was it"):
        picture.check_size((30, 20))
    outside = AnnotatedPicture("a.png", (TrueObject("a", (40, 0, 50, 9)),))
    with pytest.raises(FormatError, match=r"40, 0, 50, 9 .* of 'a' lies outside .* 20x30"):
        outside.check_size((20, 30))


def test_why_no_cell_is_an_objects() -> None:
    geometry = Geometry((8, 8), (32, 32), place((96, 96), (96, 96)))
    windows = geometry.windows(9, 9)
    assert windows is not None
    boxes: dict[str, Box] = {
        "too large": (8, 8, 72, 72),
        "too small": (40, 40, 48, 48),
        "another is nearer": (17, 17, 49, 49),
        "too near the border": (0, 30, 28, 58),
        "between two cells": (36, 36, 68, 68),
    }
    objects = (TrueObject("a", (16, 16, 48, 48)), *(TrueObject("b", box) for box in boxes.values()))
    truth, rules = Truth(objects, (0,) * 6), TruthRules(near=0.1)
    cells = true_cells(truth, windows, 1, rules)
    missed = why_missed(truth, cells.owners, windows, rules)
    assert {reason: objects[number].box for number, reason in missed} == boxes
    assert np.argwhere(cells.owners == 0).tolist() == [[2, 2]]


def test_of_equally_near_objects_the_smaller_counts() -> None:
    geometry = Geometry((8, 8), (32, 32), place((32, 32), (32, 32)))
    large, small = TrueObject("b", (0, 0, 32, 32)), TrueObject("a", (2, 2, 30, 30))
    for objects in ((large, small), (small, large)):
        picture = AnnotatedPicture("a.png", objects)
        assert label_map(picture, geometry, (1, 1), CLASSES, 3, TruthRules()).item() == 0


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"near": 0.4}, "near 0.4, far 0.3: expected"),
        ({"near": -0.1}, "expected 0 <= near <= far"),
        ({"far": float("inf")}, "expected 0 <= near <= far"),
        ({"near": float("nan")}, "expected 0 <= near <= far"),
        ({"scale": (2.0, 1.0)}, "scale 2-1: expected"),
        ({"scale": (0.0, 0.0)}, "scale 0-0: expected"),
        ({"mask": "median"}, "mask 'median': expected center, majority"),
    ],
)
def test_rules_that_are_none_are_refused(rules: dict[str, float], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        TruthRules(**rules)  # type: ignore[arg-type]


def test_cells_without_places_have_no_truth() -> None:
    geometry = Geometry(None, None, place((9, 9), (9, 9)))
    with pytest.raises(NetError, match="total stride"):
        label_map(AnnotatedPicture("a.png"), geometry, (1, 1), CLASSES, 3, TruthRules())
