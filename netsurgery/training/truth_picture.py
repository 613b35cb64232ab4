"""The truth of a picture's cells, drawn over it: what a net would learn, to be looked at first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from netsurgery.drawing.colors import INK, PALE, Color
from netsurgery.drawing.picture_file import encoded
from netsurgery.drawing.scene import Bitmap, CellGrid, Rect, Scene
from netsurgery.io.wording import counted
from netsurgery.maps.layout import GAP, MARGIN, one_sheet
from netsurgery.maps.palette import colors_by_class
from netsurgery.training.truth import IGNORED, Truth

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from netsurgery.maps.image import Picture

__all__ = ["TruthPicture", "truth_scene"]

#: Of cells that do not count, and of the lines of what lies in the picture.
_GREY: Color = (120, 124, 132)
_ALPHA = 140
#: Half the side of a point's mark, in pixels of the sheet.
_POINT = 3
_SWATCH, _LINE = 16, 24


@dataclass(frozen=True, eq=False)
class TruthPicture:
    """What is drawn: a picture, its truth, and the labels of its cells over their tiles.

    tiles: rows x columns x 4, as `Geometry.tiles`. names: of the classes by number. missed: objects
    that no cell got, and why.
    """

    picture: Picture
    truth: Truth
    labels: NDArray[np.int32]
    tiles: NDArray[np.float64]
    names: Sequence[str]
    background: int
    missed: Mapping[int, str]

    def png(self) -> bytes:
        """The picture as a PNG."""
        return encoded(truth_scene(self), ".png")


def truth_scene(content: TruthPicture) -> Scene:
    """Cells in the colours of their classes, those that do not count in grey, the background clear.

    The objects' boxes are in their classes' colours, dashed where no cell got them.
    """
    sheet = one_sheet(content.picture.size, None, False)
    scene = Scene(sheet.width, scale=sheet.scale)
    room = sheet.width - 2 * MARGIN
    scene.text((MARGIN, MARGIN), content.picture.title, 18, INK, room=room)
    words = "truth of each cell, drawn about the center of its window"
    top = scene.paragraph((MARGIN, MARGIN + 28), words, 13, PALE, room=room) + 12
    height, width = sheet.picture
    box = (MARGIN, top, MARGIN + width, top + height)
    picture = content.picture
    scene.add(Bitmap(box, lambda size: picture.thumbnail(size, "L"), picture.size))
    colors = _colors(content)
    if content.labels.size:
        scene.add(_cells(content, box, colors))
    _boxes(scene, content, box, colors)
    scene.framed(box)
    place = (sheet.width - MARGIN - sheet.side, top) if sheet.side else (MARGIN, box[3] + GAP)
    bottom = _legend(scene, content, place, sheet.side or room, colors)
    scene.height = max(box[3], bottom) + MARGIN
    return scene


def _colors(content: TruthPicture) -> Mapping[int, Color]:
    """The classes' colours: the same in every picture, whatever of them it shows."""
    return colors_by_class(
        [number for number in range(len(content.names)) if number != content.background]
    )


def _cells(
    content: TruthPicture, box: tuple[float, float, float, float], by_class: Mapping[int, Color]
) -> CellGrid:
    height, width = content.picture.size
    across, down = (box[2] - box[0]) / width, (box[3] - box[1]) / height
    labels = content.labels
    colors = np.zeros((*labels.shape, 4), np.uint8)
    for number, color in {IGNORED: _GREY, **by_class}.items():
        colors[labels == number] = (*color, _ALPHA)
    return CellGrid(
        box,
        content.tiles[0][:, [0, 2]] * across,
        content.tiles[:, 0][:, [1, 3]] * down,
        colors,
        np.where((labels == content.background) | (labels == IGNORED), -1, labels),
    )


def _boxes(
    scene: Scene,
    content: TruthPicture,
    box: tuple[float, float, float, float],
    by_class: Mapping[int, Color],
) -> None:
    height, width = content.picture.size
    across, down = (box[2] - box[0]) / width, (box[3] - box[1]) / height

    def placed(sides: tuple[float, float, float, float], least: float = 0) -> Rect:
        left, top, right, bottom = sides
        x0, x1 = box[0] + left * across - least, box[0] + right * across + least
        y0, y1 = box[1] + top * down - least, box[1] + bottom * down + least
        cut = (max(box[0], x0), max(box[1], y0), min(box[2], x1), min(box[3], y1))
        return Rect(cut, line=_GREY, thick=2)

    for sides in content.truth.ignored:
        scene.add(placed(sides))
    for number, thing in enumerate(content.truth.objects):
        rect = placed(thing.box, _POINT if thing.is_point else 0)
        color = by_class.get(content.truth.numbers[number], _GREY)
        dashed = number in content.missed
        scene.add(Rect(rect.box, line=color, thick=2, dashed=dashed))


def _legend(
    scene: Scene,
    content: TruthPicture,
    at: tuple[float, float],
    room: float,
    by_class: Mapping[int, Color],
) -> float:
    """The classes in the picture, and how many cells each has; the y under it."""
    x, y = at
    counts = dict(zip(*np.unique(content.labels, return_counts=True), strict=True))
    lines: list[tuple[Color | None, str]] = [
        (by_class.get(int(number)), f"{content.names[number]}: {counted(int(count), 'cell')}")
        for number, count in counts.items()
        if number != IGNORED
    ]
    if IGNORED in counts:
        lines.append((_GREY, f"does not count: {counted(int(counts[IGNORED]), 'cell')}"))
    if content.truth.ignored:
        lines.append((None, "grey box: neither an object nor background"))
    reasons: dict[str, int] = {}
    for reason in content.missed.values():
        reasons[reason] = reasons.get(reason, 0) + 1
    for color, words in lines:
        swatch = (x, y, x + _SWATCH, y + _SWATCH)
        scene.add(Rect(swatch, fill=color, line=None if color else _GREY, radius=3))
        scene.text((x + _SWATCH + 10, y), words, 13, INK, room=room - _SWATCH - 10)
        y += _LINE
    for reason, count in reasons.items():
        words = f"dashed: {counted(count, 'object')} that no cell got, {reason}"
        y = scene.paragraph((x, y + 4), words, 12, PALE, room=room)
    return y
