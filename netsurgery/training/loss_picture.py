"""Which cells of a picture still hurt: their losses, drawn over it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from netsurgery.drawing.colors import INK, PALE
from netsurgery.drawing.picture_file import encoded
from netsurgery.drawing.scene import Bitmap, CellGrid, Scene
from netsurgery.maps.color_scale import ColorScale
from netsurgery.maps.layout import MARGIN, one_sheet
from netsurgery.maps.map_frame import color_bar

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from netsurgery.maps.image import Picture

__all__ = ["LossPicture", "loss_scene"]

#: A loss of less than this is none to look at: the class has more than nine tenths.
_LEAST = 0.1
#: How opaque the cells are.
_ALPHA = 180


@dataclass(frozen=True, eq=False)
class LossPicture:
    """A picture, the losses of its cells, rows x columns and NaN where none counts, and its tiles.

    tiles: rows x columns x 4, as `Geometry.tiles`.
    """

    picture: Picture
    losses: NDArray[np.float64]
    tiles: NDArray[np.float64]

    def png(self) -> bytes:
        """The picture as a PNG."""
        return encoded(loss_scene(self), ".png")


def loss_scene(content: LossPicture) -> Scene:
    """Cells with a loss in its colour; those without, and those that do not count, are clear."""
    picture = content.picture
    sheet = one_sheet(picture.size, None, bar=True)
    scene = Scene(sheet.width, scale=sheet.scale)
    room = sheet.width - 2 * MARGIN
    scene.text((MARGIN, MARGIN), picture.title, 18, INK, room=room)
    words = "loss of each cell, drawn about the center of its window; clear where it is below 0.1"
    top = scene.paragraph((MARGIN, MARGIN + 28), words, 13, PALE, room=room) + 12
    height, width = sheet.picture
    box = (MARGIN, top, MARGIN + width, top + height)
    scene.add(Bitmap(box, lambda size: picture.thumbnail(size, "L"), picture.size))
    known = content.losses[~np.isnan(content.losses)]
    scale = ColorScale(0.0, max(1.0, float(known.max()) if known.size else 1.0))
    if content.losses.size:
        scene.add(_cells(content, box, scale))
    scene.framed(box)
    color_bar(scene, (box[2] + 16, top, box[2] + 16 + sheet.bar, box[3]), scale)
    scene.height = box[3] + MARGIN
    return scene


def _cells(
    content: LossPicture, box: tuple[float, float, float, float], scale: ColorScale
) -> CellGrid:
    height, width = content.picture.size
    across, down = (box[2] - box[0]) / width, (box[3] - box[1]) / height
    losses = np.nan_to_num(content.losses, nan=0.0)
    colors = np.zeros((*losses.shape, 4), np.uint8)
    colors[..., :3] = scale.colors(losses)
    colors[..., 3] = np.where(losses >= _LEAST, _ALPHA, 0)
    columns, rows = content.tiles[0][:, [0, 2]] * across, content.tiles[:, 0][:, [1, 3]] * down
    return CellGrid(box, columns, rows, colors)
