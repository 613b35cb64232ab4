"""What a net is fed: crops whose pixels and labels move together, and the same ones each time."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from netsurgery.errors import MemoryLimitError, SettingsError
from netsurgery.io.memory import set_max_memory
from netsurgery.maps.image import read_picture
from netsurgery.maps.picture_options import PictureOptions
from netsurgery.maps.transformer import Transformer
from netsurgery.net.field import Cells
from netsurgery.net.geometry import ReceptiveField
from netsurgery.training.augment import Augmentation, order
from netsurgery.training.batches import Batches, LabelGrid
from netsurgery.training.objects import AnnotatedPicture, TrueMask, TrueObject
from netsurgery.training.truth import IGNORED, TruthRules

#: Grey values of the classes 0, 1 and 2 in pictures whose pixels say their class.
GREYS = (40, 120, 240)
NAMES = ("ground", "cat", "dog")
NUMBERS = {name: number for number, name in enumerate(NAMES)}
STILL = Augmentation(scales=(1, 1), color=0)


def grid(size: tuple[int, int], *, stride: int = 4, window: int = 16, start: int = 0) -> LabelGrid:
    """The cells of a net of that window and stride, whose first one begins at `start`."""
    pair = Fraction(stride), Fraction(stride)
    field = ReceptiveField("data", pair, (Fraction(start),) * 2, (Fraction(window),) * 2)
    cells = Cells(field, (Fraction(start),) * 2, (Fraction(window),) * 2, True)
    rows, columns = ((side - window - 2 * start) // stride + 1 for side in size)
    return LabelGrid("label", cells, (rows, columns))


def batches(
    pictures: Sequence[AnnotatedPicture],
    size: tuple[int, int] = (40, 52),
    augmentation: Augmentation = STILL,
    *,
    channels: int = 1,
    share: float = 1.0,
    options: PictureOptions = PictureOptions("image"),  # noqa: B008 - it is frozen
    **more: int,
) -> Batches:
    return Batches(
        pictures=pictures,
        classes=NUMBERS,
        background=0,
        rules=TruthRules(),
        grids=[grid(size, **more)],
        transformer=Transformer(channels, options=options),
        map_size=(64, 64),
        size=size,
        count=3,
        augmentation=augmentation,
        share=share,
    )


@pytest.fixture
def blocks(tmp_path: Path) -> list[AnnotatedPicture]:
    """Pictures of blocks of 24 pixels, whose grey is that of the class which the mask says."""
    rng, pictures = np.random.default_rng(1), []
    for number, (height, width) in enumerate([(120, 168), (72, 96), (24, 200)]):
        mask = rng.integers(0, 3, (height // 24, -(-width // 24))).repeat(24, 0).repeat(24, 1)
        mask = mask[:height, :width].astype(np.uint8)
        Image.fromarray(mask).save(tmp_path / f"mask{number}.png")
        Image.fromarray(np.array(GREYS, np.uint8)[mask]).save(tmp_path / f"{number}.png")
        truth = TrueMask(str(tmp_path / f"mask{number}.png"), NAMES)
        pictures.append(AnnotatedPicture(str(tmp_path / f"{number}.png"), mask=truth))
    return pictures


def labels_of_pixels(data: NDArray[np.float32], each: LabelGrid) -> dict[tuple[int, int], int]:
    """The class of each cell by the pixels about its window's middle, where these are of one."""
    labels = {}
    for row in range(each.shape[0]):
        for column in range(each.shape[1]):
            start, size, stride = each.cells.start[0], each.cells.size[0], each.cells.stride[0]
            y, x = (int(start + stride * index + size / 2) for index in (row, column))
            if not (5 <= y < data.shape[0] - 5 and 5 <= x < data.shape[1] - 5):
                continue
            about = data[y - 5 : y + 5, x - 5 : x + 5] * 255
            for number, grey in enumerate(GREYS):
                if np.abs(about - grey).max() < 0.6:
                    labels[row, column] = number
            if about.max() == 0:
                labels[row, column] = IGNORED  # beyond the picture
    return labels


@pytest.mark.parametrize(
    "augmentation",
    [
        STILL,
        replace(STILL, flip=True),
        replace(STILL, scales=(0.5, 2)),
        Augmentation(flip=True, scales=(0.7, 1.5), color=0),
    ],
    ids=["crops", "flips", "scales", "all"],
)
@pytest.mark.parametrize(
    "options",
    [PictureOptions("image"), PictureOptions((90, 240)), PictureOptions((100, 100), "pad")],
    ids=["as they are", "warp", "pad"],
)
def test_the_labels_of_a_crop_are_those_of_its_pixels(
    blocks: list[AnnotatedPicture], augmentation: Augmentation, options: PictureOptions
) -> None:
    source = batches(blocks, augmentation=augmentation, options=options)
    compared = [0, 0, 0, 0]
    for number in range(24):
        data, labels, _ = source.sample(number)
        assert data.shape == (1, 40, 52)
        for (row, column), label in labels_of_pixels(data[0], source.grids[0]).items():
            assert labels["label"][row, column] == label, (number, row, column)
            compared[label] += 1
    assert min(compared[:3]) > 15, compared


def test_a_mirrored_crop_is_the_crop_mirrored(blocks: list[AnnotatedPicture]) -> None:
    plain = batches(blocks)
    source = batches(blocks, augmentation=replace(STILL, flip=True))
    flips = 0
    for number in range(12):
        (data, labels, _), (mirrored, new_labels, crop) = (
            each.sample(number) for each in (plain, source)
        )
        flips += crop.flip
        across = -1 if crop.flip else 1
        assert np.array_equal(mirrored, data[:, :, ::across])
        # 52 pixels are a whole number of strides and a window: the cells mirror onto cells.
        assert np.array_equal(new_labels["label"], labels["label"][:, ::across])
    assert 0 < flips < 12


def test_crops_at_scale_1_are_the_pictures_own_pixels(blocks: list[AnnotatedPicture]) -> None:
    source = batches(blocks[:2])
    for number in range(10):
        picture = read_picture(blocks[int(order(2, 1, number // 2)[number % 2])].path)
        data, _, crop = source.sample(number)
        rows, columns = crop.region
        part = picture.pixels[rows, columns, 0].astype(np.float32) / np.float32(255)
        assert np.array_equal(data[0], part)


def test_every_picture_comes_once_in_each_pass() -> None:
    passes = [order(50, 3, epoch).tolist() for epoch in range(4)]
    assert all(sorted(numbers) == list(range(50)) for numbers in passes)
    assert len({tuple(numbers) for numbers in passes}) == 4
    assert order(50, 4, 0).tolist() != passes[0]


def test_a_batch_follows_from_seed_and_step(blocks: list[AnnotatedPicture]) -> None:
    """A run that is resumed is fed what an uninterrupted one is, bit for bit."""
    augmentation = Augmentation(flip=True)
    whole = list(map(batches(blocks, augmentation=augmentation, share=0.3).batch, range(5)))
    resumed = map(batches(blocks, augmentation=augmentation, share=0.3).batch, range(3, 5))
    for expected, batch in zip(whole[3:], resumed, strict=True):
        assert expected.data.shape == (3, 1, 40, 52)
        assert expected.labels["label"].shape == (3, 1, 7, 10)
        assert expected.labels["label"].dtype == np.float32
        assert expected.data.tobytes() == batch.data.tobytes()
        assert expected.labels["label"].tobytes() == batch.labels["label"].tobytes()
    again = replace(batches(blocks, augmentation=augmentation, share=0.3), seed=2).batch(3)
    assert again.data.tobytes() != whole[3].data.tobytes()


def test_what_is_dropped_from_memory_changes_nothing(
    blocks: list[AnnotatedPicture], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = batches(blocks).batch(2)
    monkeypatch.setattr("netsurgery.training.batches._KEPT", 0)
    source = batches(blocks)
    for step in range(3):
        batch = source.batch(step)
        assert len(source._open) == 1
    assert batch.data.tobytes() == expected.data.tobytes()


def test_pictures_are_dropped_where_there_is_less_memory(tmp_path: Path) -> None:
    pictures = []
    for number in range(6):
        path = str(tmp_path / f"{number}.png")
        Image.new("L", (1000, 1000), number).save(path)
        pictures.append(AnnotatedPicture(path))
    expected = batches(pictures).batch(1)
    set_max_memory("5MiB")  # a picture takes one, twice that while it is decoded
    try:
        source = batches(pictures)
        source.batch(0)
        batch = source.batch(1)
        assert len(source._open) < 6
        del source
        set_max_memory("1MiB")
        with pytest.raises(MemoryLimitError, match=r"[0-9].png: .* needs"):
            batches(pictures).batch(0)
    finally:
        set_max_memory(None)
    assert batch.data.tobytes() == expected.data.tobytes()


def test_a_share_of_background_cells_counts(tmp_path: Path) -> None:
    path = str(tmp_path / "a.png")
    Image.new("L", (400, 400)).save(path)
    picture = AnnotatedPicture(path, (TrueObject("cat", (100, 100, 116, 116)),))
    source = batches([picture], (400, 400), share=0.25)
    labels = source.batch(0).labels["label"]
    per_cell = labels.reshape(3, -1)
    shares = [(cells == 0).mean() for cells in per_cell]
    assert all(0.22 < share < 0.28 for share in shares)
    assert not np.array_equal(per_cell[0], per_cell[1])
    assert [(cells == 1).sum() for cells in per_cell] == [1, 1, 1]  # all objects' cells count


def test_crops_around_an_object_have_all_of_its_window(tmp_path: Path) -> None:
    path = str(tmp_path / "a.png")
    Image.new("L", (900, 700)).save(path)
    picture = AnnotatedPicture(path, (TrueObject("cat", (801, 7, 817, 23)),))
    around = replace(STILL, objects=1.0)
    source = batches([picture], augmentation=around, stride=1)
    for number in range(10):
        assert (source.sample(number).labels["label"] == 1).any()
    anywhere = batches([picture], augmentation=replace(STILL, objects=0), stride=1)
    assert not all((anywhere.sample(number).labels["label"] == 1).any() for number in range(10))


def test_cells_whose_middle_a_crop_cuts_off_do_not_count(tmp_path: Path) -> None:
    """As FCN's net has them, whose windows begin outside of the input; but not at the edges."""
    path = str(tmp_path / "a.png")
    Image.new("L", (200, 200)).save(path)
    source = batches([AnnotatedPicture(path)], start=-16)
    for number in range(8):
        _, labels, crop = source.sample(number)
        for row, column in np.ndindex(labels["label"].shape):
            inside = []
            for axis, index in ((0, row), (1, column)):
                at = -16 + 4 * index + 8
                place = at + crop.region[axis].start
                inside.append(0 <= at <= crop.size[axis] or not 0 <= place <= 200)
            assert labels["label"][row, column] == (0 if all(inside) else IGNORED)


def test_color_changes_within_its_bounds_and_moves_nothing(tmp_path: Path) -> None:
    path = str(tmp_path / "a.png")
    pixels = np.random.default_rng(1).integers(0, 256, (60, 60, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    plain, changed = (
        batches([AnnotatedPicture(path)], channels=3, augmentation=replace(STILL, color=color))
        for color in (0, 0.2)
    )
    differences = []
    for number in range(10):
        data, jittered = plain.sample(number).data, changed.sample(number).data
        assert jittered.min() >= 0
        assert jittered.max() <= 1
        differences.append(float(np.abs(data - jittered).max()))
        assert np.corrcoef(data.ravel(), jittered.ravel())[0, 1] > 0.95
    assert 0.02 < min(differences) < max(differences) < 0.6


def test_memory_to_change_colors_is_claimed(tmp_path: Path) -> None:
    path = str(tmp_path / "a.png")
    Image.new("L", (2000, 2000)).save(path)
    options = PictureOptions("net")
    set_max_memory("24MiB")
    try:
        batches([AnnotatedPicture(path)], options=options).sample(0)
        colored = replace(STILL, color=0.1)
        with pytest.raises(MemoryLimitError, match=r"a\.png: changing its colors needs"):
            batches([AnnotatedPicture(path)], augmentation=colored, options=options).sample(0)
    finally:
        set_max_memory(None)


def test_preprocessing_is_that_of_maps(tmp_path: Path) -> None:
    path = str(tmp_path / "a.png")
    pixels = np.random.default_rng(1).integers(0, 256, (40, 52, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    transformer = Transformer(
        3,
        mean=np.array([104, 117, 123], np.float32),
        raw_scale=255.0,
        channel_swap=(2, 1, 0),
        options=PictureOptions("image"),
    )
    source = replace(batches([AnnotatedPicture(path)]), transformer=transformer)
    expected, _ = transformer.blob(read_picture(path), (40, 52))
    assert source.sample(0).data.tobytes() == expected[0].tobytes()
    whole = np.random.default_rng(2).random((3, 40, 52)).astype(np.float32)
    of_mean_picture = replace(source, transformer=replace(transformer, mean=whole))
    each = replace(transformer, mean=whole.mean(axis=(1, 2), dtype=np.float64).astype(np.float32))
    assert np.array_equal(
        of_mean_picture.sample(0).data, replace(source, transformer=each).sample(0).data
    )


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"scales": (2.0, 1.0)}, "scales 2-1: expected the least and the most"),
        ({"scales": (0.0, 1.0)}, "scales 0-1: expected the least and the most"),
        ({"scales": (float("nan"), 1.0)}, "expected the least and the most"),
        ({"color": 1.5}, "color 1.5: expected a part of 1"),
        ({"objects": -1.0}, "objects -1: expected a share of 1"),
    ],
)
def test_augmentations_that_cannot_be_are_refused(values: dict[str, float], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Augmentation(**values)  # type: ignore[arg-type]


def test_crops_of_any_size_lie_where_their_pixels_do() -> None:
    """The middle of a pixel of the crop, brought to the picture and back."""
    rng = random.Random(5)
    from netsurgery.maps.transformer import place
    from netsurgery.training.augment import crop_of, draw

    for seed in range(200):
        picture = rng.randint(1, 300), rng.randint(1, 300)
        size = rng.randint(1, 200), rng.randint(1, 200)
        augmentation = Augmentation(scales=(0.4, 2.5))
        drawn = draw(np.random.default_rng(seed))
        crop = crop_of(drawn, place(picture, picture), size, augmentation)
        factor = 0.4 + 2.1 * drawn.scale
        for axis in range(2):
            part, scaled = crop.region[axis], crop.scaled[axis]
            assert 0 <= part.start < part.stop <= picture[axis]
            # The crop overlaps what is scaled, and all that it shows is within it.
            assert crop.start[axis] < scaled
            assert crop.start[axis] + size[axis] > 0
            if part.start > 0:
                assert crop.start[axis] >= 0
            if part.stop < picture[axis]:
                assert crop.start[axis] + size[axis] <= scaled
            real = scaled / (part.stop - part.start)
            assert abs(real - factor) * (part.stop - part.start) <= 0.5 + 1e-9 or scaled == 1
