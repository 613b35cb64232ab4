"""Class maps to be drawn in tests, and what is found on their pictures, by place."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from PIL import Image

from netsurgery.drawing.pixels import to_pixels
from netsurgery.drawing.scene import Bitmap, Box, CellGrid, Rect, Scene, Text
from netsurgery.maps.cell_geometry import Geometry
from netsurgery.maps.classmap import ClassMap
from netsurgery.maps.heatmap import map_scene
from netsurgery.maps.image import Picture
from netsurgery.maps.picture_look import PictureLook
from netsurgery.maps.transformer import place

__all__ = ["Drawn", "class_map", "drawn", "grey_picture", "one_hot"]


def grey_picture(height: int = 120, width: int = 120) -> Picture:
    """A picture of one grey, 128."""
    return Picture("some/folder/grey.png", np.full((height, width, 3), 128, np.uint8))


def class_map(values: Any, picture: Picture | None = None, **changed: Any) -> ClassMap:
    """Probabilities; each cell is 20 pixels wide about the center of a window of 40.

    Of 5 x 5 cells on a picture of 120 x 120 those from 10 to 110 are covered.
    """
    picture = picture or grey_picture()
    options: dict[str, Any] = {
        "picture": picture,
        "values": np.asarray(values, np.float32),
        "blob": "prob",
        "is_probability": True,
        "input": "data",
        "geometry": Geometry((20.0, 20.0), (40.0, 40.0), place(picture.size, picture.size)),
    }
    return ClassMap(**{**options, **changed})


def one_hot(numbers: Any, classes: int) -> Any:
    """C x H x W, 1 for the class of each cell."""
    return (np.arange(classes)[:, None, None] == np.asarray(numbers)).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Drawn:
    """A picture, as a scene and as pixels."""

    scene: Scene
    pixels: Image.Image

    @property
    def frames(self) -> list[Box]:
        """The boxes with cells in them, in reading order."""
        return [item.box for item in self.scene.items if isinstance(item, CellGrid)]

    @property
    def images(self) -> list[Box]:
        """The boxes with images in them."""
        return [item.box for item in self.scene.items if isinstance(item, Bitmap)]

    def color(self, x: float, y: float, frame: int = 0) -> tuple[int, ...]:
        """The colour at a share of a frame's width and height."""
        x0, y0, x1, y1 = self.frames[frame]
        scale = self.scene.scale
        at = int((x0 + x * (x1 - x0)) * scale), int((y0 + y * (y1 - y0)) * scale)
        return cast("tuple[int, ...]", self.pixels.getpixel(at))

    @property
    def words(self) -> list[str]:
        """All lines of text."""
        return [item.words for item in self.scene.items if isinstance(item, Text)]

    def tags(self, frame: int = 0) -> dict[str, tuple[Rect, tuple[float, float]]]:
        """Name -> the box behind it, and its center in shares of the frame."""
        x0, y0, x1, y1 = self.frames[frame]
        tags = {}
        items = self.scene.items
        for box, text in itertools.pairwise(items):
            if isinstance(box, Rect) and isinstance(text, Text) and text.anchor == "mm":
                x, y = text.at
                if x0 <= x <= x1 and y0 <= y <= y1:
                    tags[text.words] = (box, ((x - x0) / (x1 - x0), (y - y0) / (y1 - y0)))
        return tags


def drawn(mapped: ClassMap, classes: str = "max", **look: Any) -> Drawn:
    """The picture of a map."""
    scene = map_scene(mapped, classes, PictureLook(**look))
    return Drawn(scene, to_pixels(scene))
