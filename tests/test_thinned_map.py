"""Maps of more cells than a picture or a text shows: which are kept, and how it is said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from drawn_maps import Drawn, class_map, drawn, grey_picture

from netsurgery.drawing.scene import CellGrid
from netsurgery.maps.cell_geometry import Geometry
from netsurgery.maps.classmap import ClassMap
from netsurgery.maps.map_text import TextStyle
from netsurgery.maps.row_blocks import map_memory, place_type, thinning_step
from netsurgery.maps.thinned_map import thinned_map
from netsurgery.maps.transformer import place


def a_map(rows: int, columns: int, classes: int = 3, **changed: Any) -> ClassMap:
    """Two pixels a cell in windows of ten, each cell's values its own."""
    picture = grey_picture(2 * rows + 8, 2 * columns + 8)
    geometry = Geometry((2.0, 2.0), (10.0, 10.0), place(picture.size, picture.size))
    values = np.arange(classes * rows * columns, dtype=np.float32).reshape(classes, rows, columns)
    return class_map(values, picture, geometry=geometry, is_probability=False, **changed)


def cells_of(picture: Drawn) -> Any:
    """The colours of the cells."""
    (cells,) = (item for item in picture.scene.items if isinstance(item, CellGrid))
    return cells.colors


@pytest.mark.parametrize("shape", [(24, 30), (25, 31), (29, 7), (40, 40), (1, 190), (190, 1)])
@pytest.mark.parametrize("most", [1, 7, 50, 100])
def test_each_cell_kept_has_the_share_of_those_it_stands_for(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int], most: int
) -> None:
    monkeypatch.setattr("netsurgery.maps.row_blocks._SHOWN", most)
    whole = a_map(*shape)
    thin, step = thinned_map(whole), thinning_step(shape)
    rows, columns = thin.shape
    assert rows * columns <= most < -(-shape[0] // (step - 1)) * -(-shape[1] // (step - 1))
    tiles, shares = whole.geometry.tiles(*shape), thin.geometry.tiles(*thin.shape)
    assert tiles is not None
    assert shares is not None
    for row, column in np.ndindex(rows, columns):
        block = np.s_[row * step : (row + 1) * step, column * step : (column + 1) * step]
        assert thin.values[0, row, column] in whole.values[0][block]
        np.testing.assert_allclose(shares[row, column, :2], tiles[block][0, 0, :2])
    # The last share may reach further, where blocks are not full.
    assert (shares[-1, -1, 2:] >= tiles[-1, -1, 2:] - 1e-9).all()


def test_a_map_of_few_cells_stays_and_none_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = a_map(6, 5)
    monkeypatch.setattr("netsurgery.maps.row_blocks._SHOWN", 30)
    assert thinned_map(whole) is whole
    monkeypatch.setattr("netsurgery.maps.row_blocks._SHOWN", 29)
    assert np.shares_memory(thinned_map(whole).values, whole.values)


def test_a_picture_shows_the_cells_kept_and_tells_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """The colours and counts of classes are the whole map's, also of one that was left out."""
    numbers = np.zeros((40, 40), int)
    numbers[:20] = 1
    numbers[::2, ::2] = 2  # which no block of 2 x 2 is drawn as: the cell kept is the last of it
    values = (np.arange(3)[:, None, None] == numbers).astype(np.float32)
    picture = grey_picture(80, 80)
    geometry = Geometry((2.0, 2.0), (2.0, 2.0), place(picture.size, picture.size))
    whole = class_map(values, picture, geometry=geometry, background_name="none")
    before = drawn(whole)
    monkeypatch.setattr("netsurgery.maps.row_blocks._SHOWN", 400)
    after = drawn(whole)
    assert not any("of the cells" in text for text in before.words)
    assert sum("drawn of 20x20 of the cells" in text for text in after.words) == 1
    counts = [text for text in before.words if "cells, best" in text or "of 1600 cells" in text]
    assert counts
    assert counts == [text for text in after.words if text in counts]
    colors = {tuple(color[:3]) for color in cells_of(after).reshape(-1, 4).tolist()}
    assert len(colors) == 2
    assert colors < {tuple(color[:3]) for color in cells_of(before).reshape(-1, 4).tolist()}


def test_a_text_leaves_cells_out_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = a_map(9, 9)
    assert len(whole.to_text().splitlines()[1:10]) == 9
    monkeypatch.setattr("netsurgery.maps.row_blocks._SHOWN", 9)
    lines = whole.to_text(TextStyle()).splitlines()
    assert lines[1:5] == ["2 2 2", "2 2 2", "2 2 2", "(step: 3 cells)"]


@pytest.mark.parametrize("classes", [1, 2, 256, 257])
def test_the_table_of_classes_is_that_of_all_cells(classes: int) -> None:
    """Whatever the rows that are looked at together."""
    values = np.random.RandomState(classes).normal(size=(classes, 70, 90)).astype(np.float32)
    values[0, :3] = -np.inf
    whole = class_map(values)
    numbers, best = values.argmax(axis=0), values.max(axis=0)
    assert whole.argmax().dtype == np.intp
    np.testing.assert_array_equal(whole.argmax(), numbers)
    np.testing.assert_array_equal(whole.likeliest, numbers)
    assert whole.likeliest.dtype == place_type(classes) == ("u1" if classes <= 256 else "u2")
    with pytest.raises(ValueError, match="read-only"):
        whole.likeliest[0, 0] = 0
    assert {(row.number, row.cells, row.best) for row in whole.summary()} == {
        (number, int((numbers == number).sum()), float(best[numbers == number].max()))
        for number in np.unique(numbers).tolist()
    }


def test_the_map_of_a_large_picture_takes_little_beside_its_values() -> None:
    """Of 40,000 x 40,000 pixels, a cell every eight: it lies in a file."""
    assert map_memory((11, 4993, 4993)) < 100 << 20 < 4 * 11 * 4993 * 4993
