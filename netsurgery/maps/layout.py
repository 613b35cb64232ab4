"""How large the parts of a map's picture are, by the shape of the image and the width asked for."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "BAR_SPACE",
    "GAP",
    "MARGIN",
    "SIDE",
    "Sheet",
    "fitted",
    "grid_sheet",
    "one_sheet",
    "stretched",
]

Size = tuple[int, int]

MARGIN, GAP = 28, 26
#: The column beside a large picture, and the room of a colour bar at its right.
SIDE, BAR_SPACE = 292, 70
#: A large picture at most, and on a sheet as wide as it suits the image.
_WIDE, _HIGH, _SHEET = 840, 720, 1200
#: An image is enlarged so many times at most, but to this many pixels in any case.
_TIMES, _LARGE = 12, 480
#: No side of a picture is shorter.
_SHORT = 48
#: Room for the title over one of several pictures.
_TITLE = 140
#: Images so many times as wide as high have the rest of the sheet under them.
_BANNER = 2.3
#: Sheets narrower than this, too.
_NARROW = 680
#: Wider sheets are these enlarged.
_FULL = 1200


@dataclass(frozen=True)
class Sheet:
    """width: of the sheet at a scale of 1, and `scale` to the pixels asked for. picture: height and
    width of each picture on it. columns: pictures in a row. side: the width of the column beside
    the picture, 0 where the rest of the sheet is under it. bar: the width kept for a colour bar."""

    width: float
    scale: float
    picture: Size
    columns: int = 1
    side: float = 0
    bar: float = 0

    @property
    def pitch(self) -> float:
        """From one picture in a row to the next."""
        return (self.width - 2 * MARGIN - self.bar + GAP) / self.columns


def one_sheet(image: Size, width: int | None, bar: bool) -> Sheet:
    """The sheet of one large picture of an image of that height and width.

    width: pixels of the sheet, None for what suits the image. bar: whether a colour bar is beside
    the picture.
    """
    space = BAR_SPACE if bar else 0
    sheet, scale = _scaled(width, _SHEET)
    inner = sheet - 2 * MARGIN - space
    if image[1] >= _BANNER * image[0] or sheet < _NARROW:
        return Sheet(sheet, scale, fitted(image, (_HIGH, int(inner))), bar=space)
    size = fitted(image, (_HIGH, min(_WIDE, int(inner) - GAP - SIDE)))
    side = inner - GAP - size[1] if width is not None else SIDE
    return Sheet(size[1] + side + GAP + 2 * MARGIN + space, scale, size, 1, side, space)


def grid_sheet(image: Size, count: int, width: int | None, bar: bool) -> Sheet:
    """The sheet of `count` pictures of equal size, with the rest under them."""
    space = BAR_SPACE if bar else 0
    sheet, scale = _scaled(width, _SHEET if count > 1 else _SHEET - SIDE)
    inner = sheet - 2 * MARGIN - space
    aspect = image[1] / image[0]
    least = 170 if aspect < 1.3 else 240 if aspect < _BANNER else 480
    columns = max(1, min(count, int((inner + GAP) / (least + GAP))))
    rows = -(-count // columns)
    columns = -(-count // rows)  # no row is much shorter than the others
    room = int((inner - GAP * (columns - 1)) / columns)
    size = fitted(image, (max(_LARGE, _HIGH // rows), room))
    if width is None:
        pitch = max(size[1], _TITLE) + GAP
        sheet = max(columns * pitch - GAP + 2 * MARGIN + space, 520)
    return Sheet(sheet, scale, size, columns, bar=space)


def _scaled(width: int | None, otherwise: int) -> tuple[float, float]:
    """The width of a sheet at a scale of 1, and the scale."""
    if width is None:
        return otherwise, 1.0
    return min(width, _FULL), max(1.0, width / _FULL)


def fitted(image: Size, room: Size) -> Size:
    """The height and width of a picture of an image within `room`."""
    height, width = image
    most = max(_TIMES, _LARGE / max(image))
    scale = min(room[0] / height, room[1] / width, most)
    short = min(_SHORT, *room)
    return max(short, round(height * scale)), max(short, round(width * scale))


def stretched(image: Size, size: Size) -> str:
    """Words for a picture of another shape than its image; "" for one of its shape."""
    factor = (size[0] / size[1]) / (image[0] / image[1])
    if 0.97 < factor < 1.03:
        return ""
    side, factor = ("tall", factor) if factor > 1 else ("wide", 1 / factor)
    return f"drawn {factor:.1f} times too {side}"
