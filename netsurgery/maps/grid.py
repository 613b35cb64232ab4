"""A picture of a blob: its channels side by side, all on one scale of colours.

As in Caffe's own notebooks the least number of the whole blob is 0 and the greatest 1, so that
channels can be compared; the grid is as near to a square as its tiles allow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from netsurgery.errors import NetError
from netsurgery.io.memory import Claim
from netsurgery.io.shape_text import shape_text
from netsurgery.maps.drawing import (
    INK,
    PALE,
    PAPER,
    Colors,
    color_bar,
    cut,
    finite_range,
    framed,
    grey_colors,
    heat_colors,
    load_font,
    signed_colors,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]
    Pixels = NDArray[np.uint8]

__all__ = ["draw_grid", "normalized"]

_MARGIN, _HEAD, _BAR_SPACE = 32, 76, 76
_SIDE = 960  # pixels of the grid's longer side, about
_LEAST = 320  # the sheet is wide enough for its title
#: What a pixel of the grid takes: its number in float64, brought to 0..1, its colours.
_PIXEL = 60
_MOST = 1 << 16  # tiles
_NAN, _LINE = (150, 150, 150), (176, 178, 184)


def draw_grid(
    values: Array,
    title: str,
    subtitle: str = "",
    *,
    signed: bool = False,
    columns: int | None = None,
) -> Image.Image:
    """Draw channels, C x H x W (or C numbers), in the colours of heat, with a bar.

    Filters over three channels, O x 3 x H x W, are drawn in these as red, green and blue. NaN is
    grey. Of more than 65,536 channels the first are drawn. signed: 0 is the middle of the scale,
    white between blue for what is below and red for what is above it, grey in filters over three
    channels. columns: how many tiles a row has, None for what makes the grid nearly square.
    Raises NetError for any other shape, or one without numbers.
    """
    tiles = _as_tiles(values)
    if len(tiles) > _MOST:
        subtitle = f"the first {_MOST} of {len(tiles)} {subtitle}".rstrip()
        tiles = tiles[:_MOST]
    layout = _Layout.of(len(tiles), tiles.shape[-2:], columns)
    what = f"a picture of {shape_text(tiles.shape)} numbers"
    with Claim(10 * tiles.size + _PIXEL * layout.pixels, what):
        scale = _TileScale.of(tiles, signed)
        return _drawn(np.ascontiguousarray(tiles, np.float32), layout, scale, title, subtitle)


@dataclass(frozen=True)
class _TileScale:
    """The lowest and the highest value, their colours, and that between the tiles."""

    low: float
    high: float
    colors: Colors
    bar: bool = True
    gap: tuple[int, int, int] = PAPER

    @classmethod
    def of(cls, tiles: Array, signed: bool) -> _TileScale:
        low, high = finite_range(tiles)
        rgb = tiles.ndim == 4
        if not signed:
            return cls(low, high, heat_colors, bar=not rgb)
        most = max(abs(low), abs(high)) or 1.0
        if rgb:
            return cls(-most, most, grey_colors)
        return cls(-most, most, signed_colors, gap=_LINE)  # white is a value


def _drawn(
    tiles: Array, layout: _Layout, scale: _TileScale, title: str, subtitle: str
) -> Image.Image:
    colors = _colored(normalized(layout.shrunk(tiles), scale.low, scale.high), scale.colors)
    grid = layout.grid(colors, scale.gap)
    bar = scale.bar
    width = max(_LEAST, grid.width + (_BAR_SPACE if bar else 0)) + 2 * _MARGIN
    sheet = Image.new("RGB", (width, _HEAD + grid.height + _MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    room = width - 2 * _MARGIN
    draw.text((_MARGIN, 18), cut(title, load_font(22), room), fill=INK, font=load_font(22))
    draw.text((_MARGIN, 47), cut(subtitle, load_font(13), room), fill=PALE, font=load_font(13))
    sheet.paste(grid, (_MARGIN, _HEAD))
    framed(draw, (_MARGIN, _HEAD, _MARGIN + grid.width, _HEAD + grid.height))
    if bar:
        at = (_MARGIN + grid.width + 12, _HEAD)
        # Of a scale around 0 the middle has a tick.
        most, few = (4, 2) if scale.low == -scale.high else (5, 1)
        ticks = most if grid.height >= 120 else few
        color_bar(sheet, at, grid.height, (scale.low, scale.high), ticks, scale.colors)
    return sheet


def normalized(values: Array, low: float, high: float) -> Array:
    """The values with `low` brought to 0 and `high` to 1; others are clipped, NaN stays."""
    scale = high - low if high > low else 1.0
    scaled: Array = np.clip((values.astype(np.float64) - low) / scale, 0, 1).astype(np.float32)
    return scaled


def _as_tiles(values: Array) -> Array:
    if values.ndim == 1:
        values = values.reshape(-1, 1, 1)
    drawable = values.ndim == 3 or (values.ndim == 4 and values.shape[1] == 3)
    if not drawable or not values.size:
        raise NetError(f"a blob of {shape_text(values.shape)} cannot be drawn; expected C x H x W")
    return values


def _colored(values: Array, shades: Colors) -> Pixels:
    """Tiles x H x W x 3."""
    missing = np.isnan(values)
    clean = np.where(missing, 0, values)
    if values.ndim == 3:
        colors = shades(clean)
        colors[missing] = _NAN
    else:
        colors = np.rint(clean.transpose(0, 2, 3, 1) * 255).astype(np.uint8)
        colors[missing.any(axis=1)] = _NAN
    return colors


@dataclass(frozen=True)
class _Layout:
    """Where the tiles go: rows and columns; a tile's height, width and the gap in pixels."""

    rows: int
    columns: int
    height: int
    width: int
    gap: int

    @classmethod
    def of(cls, count: int, size: tuple[int, ...], columns: int | None = None) -> _Layout:
        height, width = size
        if columns is None:
            columns = min(count, max(1, math.ceil(math.sqrt(count * height / width))))
            columns = -(-count // -(-count // columns))  # no column stays empty
        rows = -(-count // columns)
        scale = _SIDE / max(rows * height, columns * width)
        scale = math.floor(scale) if scale >= 1 else scale
        scale = min(scale, 64)  # a few numbers need no wall of colour
        height, width = max(1, round(height * scale)), max(1, round(width * scale))
        return cls(rows, columns, height, width, 2 if min(height, width) >= 8 else 1)

    @property
    def pixels(self) -> int:
        """How many the grid has."""
        return self.rows * (self.height + self.gap) * self.columns * (self.width + self.gap)

    def shrunk(self, tiles: Array) -> Array:
        """The tiles no larger than they will be drawn, by the means of their numbers."""
        size = (self.width, self.height)
        if tiles.shape[-2] <= self.height and tiles.shape[-1] <= self.width:
            return tiles
        flat = tiles.reshape(-1, *tiles.shape[-2:])
        smaller = [Image.fromarray(tile).resize(size, Image.Resampling.BOX) for tile in flat]
        return np.stack([np.asarray(tile) for tile in smaller]).reshape(
            *tiles.shape[:-2], self.height, self.width
        )

    def grid(self, colors: Pixels, gap: tuple[int, int, int]) -> Image.Image:
        """The tiles in reading order, a gap of that colour around each."""
        step = (self.height + self.gap, self.width + self.gap)
        whole = (self.columns * step[1] + self.gap, self.rows * step[0] + self.gap)
        canvas = Image.new("RGB", whole, PAPER)
        line = gap if self.gap > 1 else PAPER  # lines between tiny tiles would be all that shows
        for index, tile in enumerate(colors):
            row, column = divmod(index, self.columns)
            scaled = Image.fromarray(tile).resize(
                (self.width, self.height), Image.Resampling.NEAREST
            )
            corner = (column * step[1], row * step[0])
            end = (corner[0] + step[1] + self.gap, corner[1] + step[0] + self.gap)
            canvas.paste(line, (*corner, *end))
            canvas.paste(scaled, (column * step[1] + self.gap, row * step[0] + self.gap))
        return canvas
