from __future__ import annotations

import numpy as np
import pytest
from drawn_maps import class_map

from netsurgery.drawing.scene import Rect, Scene, Text
from netsurgery.formats.labels import Labels
from netsurgery.maps.legend import BAND, Entry, Legend, class_name, entries
from netsurgery.maps.palette import CLASS_COLORS

#: Two cells: class 1 wins both, class 0 none.
ONE_WINS = class_map(
    [[[0.5, 0.25]], [[3.0, 4.0]]],
    labels=Labels("w", ("n1 cat, puss", "n2 dog")),
    is_probability=False,
)
DOG = Entry(1, "dog", 2, 2, "best 4", CLASS_COLORS[0])


def test_the_maps_classes_have_their_colours() -> None:
    assert entries(ONE_WINS, {1: CLASS_COLORS[0]}) == [DOG]


def test_the_class_drawn_stands_first_though_no_cell_shows_it() -> None:
    drawn, dog = entries(ONE_WINS, {}, 0)
    assert (drawn.number, drawn.drawn, drawn.score) == (0, True, "highest 0.5")
    assert (dog.number, dog.color, dog.drawn) == (1, None, False)


def test_the_background_stands_first_and_has_no_colour() -> None:
    mapped = class_map(np.array([[[1, 1, 0.0]], [[0, 0, 1.0]]]))
    background, second = entries(mapped, {1: CLASS_COLORS[0]}, None, 0)
    assert (background.number, background.color, background.background) == (0, None, True)
    assert (second.number, second.color, second.background) == (1, CLASS_COLORS[0], False)


def test_classes_that_were_asked_for_come_before_the_maps_others() -> None:
    assert entries(ONE_WINS, {0: CLASS_COLORS[0]})[0].number == 0


def test_of_one_cell_the_likeliest_are_listed() -> None:
    mapped = class_map(np.arange(8.0).reshape(8, 1, 1), is_probability=False)
    listed = entries(mapped, {7: CLASS_COLORS[0]})
    assert [(each.number, each.words(short=False)) for each in listed] == [
        (number, f"score {number}") for number in (7, 6, 5, 4, 3)
    ]


def test_names_without_ids_or_numbers() -> None:
    assert class_name(ONE_WINS, 0) == "class 0: cat, puss"
    numbered = class_map([[[1.0]], [[0.0]]], labels=Labels("w", ("0", "one")))
    assert class_name(numbered, 0) == "class 0"
    assert class_name(class_map([[[1.0]]]), 0) == "class 0"


@pytest.mark.parametrize(
    ("count", "width", "most", "shown", "more"),
    [
        (4, 292, 400, 4, ""),
        (9, 292, 400, 9, ""),
        (16, 292, 400, 16, ""),
        (17, 292, 400, 17, ""),
        (18, 292, 400, 16, "and 2 more"),
        (1000, 292, 400, 16, "and 984 more"),
        (1000, 1100, 300, 44, "and 956 more"),
        (5, 292, 10, 2, "and 3 more"),
    ],
)
def test_as_many_as_there_is_room_for(
    count: int, width: int, most: int, shown: int, more: str
) -> None:
    """In two lines each, else in one; what is left out is counted."""
    legend = Legend([Entry(n, "cat", 1, 9, "best 1") for n in range(count)])
    scene = Scene(1200)
    bottom = legend.draw(scene, (20, 50), width, most)
    texts = [item for item in scene.items if isinstance(item, Text)]
    assert sum(text.words == "cat" for text in texts) == shown
    assert [text.words for text in texts if text.words.endswith("more")] == ([more] if more else [])
    for text in texts:
        right = text.at[0] + (
            0 if text.anchor == "ra" else scene.fonts.length(text.words, text.size)
        )
        assert 20 <= right <= 20 + width
        assert text.at[1] + text.size <= bottom + 2
    assert bottom - 50 <= max(most, 120)


def test_long_names_end_before_what_is_said_of_the_cells() -> None:
    legend = Legend([Entry(n, "m" * 900, 1, 9, "best 1") for n in range(12)])
    scene = Scene(600)
    legend.draw(scene, (0, 0), 292, 300)
    texts = [item for item in scene.items if isinstance(item, Text)]
    names = [text for text in texts if text.words.startswith("mm")]
    said = [text for text in texts if text.words == "1 cell, best 1"]
    assert names
    for name, words in zip(names, said, strict=True):
        end = name.at[0] + scene.fonts.length(name.words, name.size)
        assert end < words.at[0] - scene.fonts.length(words.words, words.size)


@pytest.mark.parametrize("width", [184, 292, 600])
@pytest.mark.parametrize("label", ["m" * 900, "cat", ""])
def test_what_is_said_of_the_cells_stands_beside_the_name_or_not_at_all(
    label: str, width: float
) -> None:
    """A score in many letters would begin in the name."""
    legend = Legend([Entry(n, label, 0, 9, "highest 0.000975") for n in range(12)])
    scene = Scene(700)
    legend.draw(scene, (0, 0), width, 300)
    texts = [item for item in scene.items if isinstance(item, Text) and item.at[1] > 20]
    for text in texts:
        length = scene.fonts.length(text.words, text.size)
        left = text.at[0] - (length if text.anchor == "ra" else 0)
        for beside in texts:
            if beside.anchor == "la" and abs(beside.at[1] - text.at[1]) < 12 and beside is not text:
                end = beside.at[0] + scene.fonts.length(beside.words, beside.size)
                assert end <= left or left + length <= beside.at[0]
    names = [text.words for text in texts if text.words[:2] == label[:2] != ""]
    assert bool(names) == bool(label)
    assert "..." not in names


def test_of_very_many_cells_their_share_is_left_out_before_the_score() -> None:
    cells = 10_083_786, 12_000_000
    ground = Entry(0, "sky", *cells, "best 0.6", background=True)
    scene = Scene(400)
    Legend([ground, Entry(1, "a", *cells, "best 0.6")]).draw(scene, (0, 0), 292, 400)
    words = [item.words for item in scene.items if isinstance(item, Text)]
    assert "not painted: 10083786 cells, best 0.6" in words
    assert "10083786 of 12000000 cells, best 0.6" in words


@pytest.mark.parametrize("width", [184, 292, 1100])
def test_every_color_of_the_picture_is_listed(width: float) -> None:
    """Also beside a low picture: a colour without a name says nothing."""
    colors = [None, *(CLASS_COLORS[min(n, 11)] for n in range(200))]
    lines = [Entry(n, "cat", 1, 300, "best 1", color) for n, color in enumerate(colors)]
    scene = Scene(1200)
    bottom = Legend(lines).draw(scene, (20, 50), width, 100)
    fills = [item for item in scene.items if isinstance(item, Rect)]
    assert {item.fill for item in fills} == {*CLASS_COLORS}
    assert all(item.box[3] <= bottom for item in fills)


def test_the_classes_left_out_have_the_color_that_they_share() -> None:
    """Rare classes share one: it is not that of the last class listed alone."""
    rare = CLASS_COLORS[-1]

    def swatches(colors: list[tuple[int, int, int]]) -> list[object]:
        entries = [Entry(n, "", 1, 99, "best 1", color) for n, color in enumerate(colors)]
        scene = Scene(600)
        Legend(entries).draw(scene, (0, 0), 292, 26 + 22 * 13)
        assert any(isinstance(item, Text) and item.words == "and 18 more" for item in scene.items)
        return [item.fill for item in scene.items if isinstance(item, Rect)]

    ranked = [CLASS_COLORS[min(n, 11)] for n in range(30)]
    assert swatches(ranked) == [*CLASS_COLORS, rare]
    assert swatches([*ranked[:12], CLASS_COLORS[0], *ranked[13:]]) == [*CLASS_COLORS]


def test_a_band_is_behind_the_class_drawn() -> None:
    lines = [Entry(0, "m" * 900, 1, 9, "best 1", drawn=True), Entry(1, "b", 0, 1, "")]
    scene = Scene(600)
    Legend(lines).draw(scene, (20, 0), 300, 400)
    (band,) = (item for item in scene.items if isinstance(item, Rect) and item.fill == BAND)
    texts = [item for item in scene.items if isinstance(item, Text)]
    name = next(text for text in texts if text.words.startswith("mm"))
    under = next(text for text in texts if text.words == "b")
    assert band.box[0] < name.at[0]
    assert name.at[0] + scene.fonts.length(name.words, name.size) <= band.box[2] <= 320
    assert band.box[1] < name.at[1] < band.box[3] < under.at[1]
