"""The losses of cells, drawn: which cells are coloured, and where they stand."""

from __future__ import annotations

import numpy as np

from netsurgery.drawing.scene import CellGrid
from netsurgery.maps.image import Picture
from netsurgery.training.loss_picture import LossPicture, loss_scene


def test_cells_that_hurt_are_coloured_where_they_are() -> None:
    picture = Picture("p.png", np.zeros((40, 80, 1), np.uint8))
    losses = np.array([[0.0, 0.05, 2.0], [np.nan, 0.5, 0.0]])
    rows, columns = np.indices((2, 3)) * 10.0
    tiles = np.stack([columns, rows, columns + 10, rows + 10], axis=-1)
    scene = loss_scene(LossPicture(picture, losses, tiles))
    (grid,) = [item for item in scene.items if isinstance(item, CellGrid)]
    assert (grid.colors[..., 3] > 0).tolist() == [[False, False, True], [False, True, False]]
    # The larger loss is the lighter colour of the scale.
    assert int(grid.colors[0, 2, :3].sum()) > int(grid.colors[1, 1, :3].sum())
    wide = (grid.box[2] - grid.box[0]) / 80
    np.testing.assert_allclose(grid.columns, np.array([[0, 10], [10, 20], [20, 30]]) * wide)
    assert scene.height > grid.box[3]
    assert LossPicture(picture, losses, tiles).png()[1:4] == b"PNG"
