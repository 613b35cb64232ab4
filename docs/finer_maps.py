"""docs/finer_maps.webp: one picture mapped at three strides, by the same weights.

    python docs/finer_maps.py

draws it from what the repository brings.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

import netsurgery as ns
from netsurgery.drawing.pixels import to_pixels
from netsurgery.drawing.scene import Scene
from netsurgery.io.shape_text import shape_text
from netsurgery.io.wording import counted
from netsurgery.maps import map_colors
from netsurgery.maps.map_frame import MapFrame
from netsurgery.maps.picture_look import PictureLook

__all__ = ["PICTURE", "STRIDES", "draw"]

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs/finer_maps.webp"
NET, MODEL = ROOT / "prototxt/digits_deploy.prototxt", ROOT / "models/digits/digits.caffemodel"
CANVAS = ROOT / "examples/digits_canvas.png"

#: That of the converted net first.
STRIDES = (8, 4, 2)
#: Pixels: of a map's picture, the paper between two, and the line over it.
_WIDTH, _GAP, _HEAD = 360, 16, 26
_DIGITS = range(10)


def draw() -> Image.Image:
    """The maps beside each other, each digit in the same colour in all of them."""
    with Image.open(CANVAS) as canvas:
        height = round(_WIDTH * canvas.height / canvas.width)
    pitch = _WIDTH + _GAP
    scene = Scene(pitch * len(STRIDES) + _GAP, height + _HEAD + 2 * _GAP)
    look = PictureLook(alpha=0.85)
    for column, stride in enumerate(STRIDES):
        mapped = class_map(stride)
        left, top = _GAP + column * pitch, _GAP + _HEAD
        cells = f"{shape_text(mapped.shape)} cells, one every {counted(stride, 'pixel')}"
        scene.text((left, _GAP), cells, 15)
        frame = MapFrame(mapped, (left, top, left + _WIDTH, top + height))
        frame.draw(scene, map_colors.selected(mapped, _DIGITS, look))
    return to_pixels(scene)


def class_map(stride: int) -> ns.ClassMap:
    """The sheet's map with a cell every `stride` pixels."""
    finer = None if stride == STRIDES[0] else stride
    with ns.convert(NET, MODEL, stride=finer, engine="embedded").net as net:
        mapped = ns.classify_map(CANVAS, net=net, size="image", engine="embedded")
    assert isinstance(mapped, ns.ClassMap)
    return mapped


if __name__ == "__main__":
    draw().save(PICTURE, quality=88, method=6)
