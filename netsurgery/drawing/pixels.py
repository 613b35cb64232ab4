"""A scene as pixels."""

from __future__ import annotations

from PIL import Image, ImageDraw

from netsurgery.drawing.cells import cells_image
from netsurgery.drawing.colors import PAPER
from netsurgery.drawing.scene import Bitmap, Line, Rect, Scene, Text, pixel_box
from netsurgery.io.memory import Claim
from netsurgery.io.shape_text import shape_text

__all__ = ["Drawing", "to_pixels"]

#: A picture that was drawn: Pillow's.
Drawing = Image.Image

#: What a pixel takes: Pillow's own, that of an image on it, and of the cells over that.
_PIXEL = 20


def to_pixels(scene: Scene) -> Image.Image:
    """The scene as an RGB image of its width and height times its scale.

    Raises MemoryLimitError.
    """
    scale = scene.scale
    size = (max(1, round(scene.width * scale)), max(1, round(scene.height * scale)))
    what = f"a picture of {shape_text((size[1], size[0]))} pixels"
    with Claim(_PIXEL * size[0] * size[1], what):
        return _drawn(scene, Image.new("RGB", size, PAPER))


def _drawn(scene: Scene, canvas: Image.Image) -> Image.Image:
    scale, pen = scene.scale, ImageDraw.Draw(canvas)
    for item in scene.items:
        if isinstance(item, Rect):
            _rect(pen, item, scale)
        elif isinstance(item, Line):
            ends = [(round(x * scale), round(y * scale)) for x, y in (item.start, item.end)]
            pen.line(ends, fill=item.color, width=max(1, round(scale)))
        elif isinstance(item, Text):
            words = scene.fonts.drawn(item.words, max(1, round(item.size * scale)), item.anchor)
            x, y = (round(place * scale) for place in item.at)
            canvas.paste(item.color, (x + words.left, y + words.top), words.ink)
        elif isinstance(item, Bitmap):
            box = pixel_box(item.box, scale)
            image = item.pixels((box[3] - box[1], box[2] - box[0]))
            canvas.paste(image, box[:2])
        else:
            x, y, _, _ = pixel_box(item.box, scale)
            cover = cells_image(item, scale)
            painted = cover.getbbox()
            if painted is not None:  # what is not painted, often the background, costs nothing
                cover = cover.crop(painted)
                canvas.paste(cover, (x + painted[0], y + painted[1]), cover)
    return canvas


def _rect(pen: ImageDraw.ImageDraw, item: Rect, scale: float) -> None:
    x0, y0, x1, y1 = pixel_box(item.box, scale)
    pen.rounded_rectangle(
        (x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)),
        item.radius * scale,
        item.fill,
        item.line,
        max(1, round(scale)) if item.line is not None else 0,
    )
