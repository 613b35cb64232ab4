from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from netsurgery.formats.labels import Labels
from netsurgery.maps.classmap import ClassMap, Geometry
from netsurgery.maps.drawing import BAND, CLASS_COLORS, INK, PAPER
from netsurgery.maps.image import Picture
from netsurgery.maps.legend import Entry, Legend, entries
from netsurgery.maps.transformer import place


def found_map(values: Any, labels: Labels | None = None) -> ClassMap:
    geometry = Geometry((20.0, 20.0), (40.0, 40.0), place((120, 120), (120, 120)))
    array = np.asarray(values, np.float32)
    return ClassMap(
        Picture("a.png", np.zeros((120, 120, 3), np.uint8)),
        array,
        "prob",
        False,
        "data",
        geometry,
        labels,
    )


#: Two cells: class 1 wins both, class 0 none.
ONE_WINS = found_map([[[0.5, 0.25]], [[3.0, 4.0]]], Labels("w", ("cat", "dog")))


def lines(count: int, label: str = "a label") -> list[Entry]:
    return [Entry(number, label, "1 of 9 cells, best 1", None) for number in range(count)]


def test_the_maps_classes_have_their_colours() -> None:
    legend = entries(ONE_WINS, ONE_WINS.summary(), None)
    assert legend == [Entry(1, "dog", "2 of 2 cells, best 4", CLASS_COLORS[0])]


def test_the_class_drawn_is_marked() -> None:
    legend = entries(ONE_WINS, ONE_WINS.summary(), 1)
    assert legend == [Entry(1, "dog", "2 of 2 cells, best 4", None, drawn=True)]


def test_the_class_drawn_stands_first_though_no_cell_shows_it() -> None:
    legend = entries(ONE_WINS, ONE_WINS.summary(), 0)
    assert legend == [
        Entry(0, "cat", "0 of 2 cells, highest 0.5", None, drawn=True),
        Entry(1, "dog", "2 of 2 cells, best 4", None),
    ]


@pytest.mark.parametrize(
    ("count", "room", "columns", "rows", "left"),
    [
        (1, 1500, 1, 1, 0),
        (4, 1500, 1, 4, 0),
        (5, 1500, 2, 3, 0),
        (11, 1500, 3, 4, 0),
        (11, 300, 1, 11, 0),
        (16, 1500, 4, 4, 0),
        (100, 1500, 4, 12, 52),
        (13, 100, 1, 12, 1),
    ],
)
def test_columns(count: int, room: int, columns: int, rows: int, left: int) -> None:
    legend = Legend(lines(count))
    high = legend.lay(room, 12)
    assert (legend.columns, legend.rows, legend.left) == (columns, rows, left)
    assert high == 30 + 24 * (rows + (left > 0))


def test_long_labels_cost_columns_but_not_without_end() -> None:
    columns = []
    for letters in (1, 30, 900):
        legend = Legend(lines(16, "m" * letters))
        legend.lay(1500, 12)
        columns.append(legend.columns)
    assert columns == [4, 2, 2]


def test_the_band_is_behind_the_whole_line() -> None:
    """Also where a long label takes more room than a column must have."""
    legend = Legend([Entry(0, "m" * 900, "1 of 9 cells, best 1", None, drawn=True)])
    canvas = Image.new("RGB", (1600, legend.lay(1500, 12)), PAPER)
    legend.draw(ImageDraw.Draw(canvas), (20, 0))
    bands = [x for x in range(1600) if canvas.getpixel((x, 30)) == BAND]
    dark = [x for x in range(1600) for y in range(30, 48) if canvas.getpixel((x, y)) == INK]
    assert min(bands) < min(dark)
    assert max(bands) > max(dark) > 1400


def test_the_band_ends_with_the_column() -> None:
    legend = Legend([Entry(0, "m" * 20, "1 of 9 cells, best 1", None, drawn=True)])
    canvas = Image.new("RGB", (500, legend.lay(300, 12)), PAPER)
    legend.draw(ImageDraw.Draw(canvas), (20, 0))
    assert max(x for x in range(500) if canvas.getpixel((x, 30)) == BAND) == 20 + 300 + 6
