"""A picture of a blob: its channels side by side, with their numbers and a scale of colours.

As in Caffe's own notebooks the least number of the whole blob is 0 and the greatest 1, so that
channels can be compared; the grid is as near to a square as its tiles allow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from netsurgery.drawing.colors import PALE, PAPER
from netsurgery.drawing.scene import Bitmap, Scene
from netsurgery.errors import NetError
from netsurgery.io.memory import Claim
from netsurgery.io.shape_text import shape_text
from netsurgery.maps.channel_view import ChannelView
from netsurgery.maps.color_scale import ColorScale, finite_range, grey_colors
from netsurgery.maps.map_frame import color_bar

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]
    Pixels = NDArray[np.uint8]

__all__ = ["blob_scene", "grid_scene"]

_MARGIN, _HEAD, _BAR_SPACE = 32, 76, 76
#: A line of what is said under the title, and what is between the last of them and the grid.
_LINE_HEIGHT, _UNDER = 18, 11
_SIDE = 960  # pixels of the grid's longer side, about
_LEAST = 320  # the sheet is wide enough for its title
#: What a pixel of the grid takes: its number in float64, brought to 0..1, its colours.
_PIXEL = 60
_MOST = 1 << 16  # tiles
_NAN, _LINE = (150, 150, 150), (176, 178, 184)
#: Over a tile that is as wide, its number; else each row has that of its first tile.
_STRIP, _NUMBERED, _ROW_NUMBER = 15, 26, 34


def blob_scene(values: Array, blob: str, image: str, view: ChannelView) -> Scene:
    """The channels of a blob that `view` says, C x H x W (or C numbers), with their numbers.

    Raises NetError for values of another shape, and for a channel that is not there.
    """
    tiles = _as_tiles(values)
    numbers = view.chosen(tiles, blob)
    axes = "channels x height x width" if values.ndim > 1 else "channels"
    about = f"{image}: {shape_text(values.shape)} ({axes})"
    subtitle = "; ".join([about, *view.words(len(numbers))])
    shown = tiles if numbers == list(range(len(tiles))) else tiles[numbers]
    low, high = finite_range(shown)
    signed = view.colors == "signed" or (view.colors == "auto" and low < 0 < high)
    if view.scale == "channel":
        shown = np.stack([_own_scale(tile, signed) for tile in shown[:_MOST]])
    return grid_scene(
        shown,
        blob,
        subtitle,
        signed=signed,
        grey=view.colors == "grey",
        numbers=numbers,
        bar=view.scale == "blob",
    )


def _own_scale(tile: Array, signed: bool) -> Array:
    low, high = finite_range(tile)
    if signed:
        return 2 * ColorScale.around_zero(low, high).shares(tile) - 1
    return ColorScale(low, high).shares(tile)


def grid_scene(
    values: Array,
    title: str,
    subtitle: str = "",
    *,
    facts: str = "",
    signed: bool = False,
    grey: bool = False,
    columns: int | None = None,
    numbers: Sequence[int] | None = None,
    bar: bool = True,
) -> Scene:
    """Channels, C x H x W (or C numbers), in the colours of heat, with a bar.

    Filters over three channels, O x 3 x H x W, are drawn in these as red, green and blue. NaN is
    grey. Of more than 65,536 channels the first are drawn. facts: said under the subtitle. signed:
    0 is the middle of the scale, white between blue for what is below and red for what is above it,
    grey in filters over three channels. grey: from black to white. columns: how many tiles a row
    has, None for what makes the grid nearly square. numbers: of the channels, to be written at
    them. bar: whether the scale is beside them. Raises NetError for any other shape, or one without
    numbers.
    """
    tiles = _as_tiles(values)
    if len(tiles) > _MOST:
        subtitle = f"the first {_MOST} of {len(tiles)} {subtitle}".rstrip()
        tiles = tiles[:_MOST]
    layout = _Layout.of(len(tiles), tiles.shape[-2:], columns, numbers is not None)
    what = f"a picture of {shape_text(tiles.shape)} numbers"
    with Claim(10 * tiles.size + _PIXEL * layout.pixels, what):
        scale = _TileScale.of(tiles, signed, grey)
        scale = replace(scale, bar=scale.bar and bar)
        return _laid(
            np.ascontiguousarray(tiles, np.float32),
            layout,
            scale,
            (title, subtitle, facts),
            numbers,
        )


@dataclass(frozen=True)
class _TileScale:
    """The values' scale, whether it is drawn, and the colour between the tiles."""

    values: ColorScale
    bar: bool = True
    gap: tuple[int, int, int] = PAPER

    @classmethod
    def of(cls, tiles: Array, signed: bool, grey: bool) -> _TileScale:
        low, high = finite_range(tiles)
        rgb = tiles.ndim == 4
        if grey:
            return cls(ColorScale(low, high, shades=grey_colors), gap=_LINE)
        if not signed:
            return cls(ColorScale(low, high), bar=not rgb)
        scale = ColorScale.around_zero(low, high)
        if rgb:
            return cls(replace(scale, shades=grey_colors))
        return cls(scale, gap=_LINE)  # white is a value


def _laid(
    tiles: Array,
    layout: _Layout,
    scale: _TileScale,
    head: tuple[str, str, str],
    numbers: Sequence[int] | None,
) -> Scene:
    grid = layout.grid(_colored(layout.shrunk(tiles), scale), scale.gap)
    bar = scale.bar and not scale.values.is_flat
    left = _MARGIN + layout.left
    width = max(_LEAST, layout.left + grid.width + (_BAR_SPACE if bar else 0)) + 2 * _MARGIN
    scene = Scene(width, title=": ".join(filter(None, head[:2])))
    room = width - 2 * _MARGIN
    scene.text((_MARGIN, 18), head[0], 22, room=room)
    top: float = _HEAD - _UNDER - _LINE_HEIGHT
    for words in filter(None, head[1:]):
        top = scene.paragraph((_MARGIN, top), words, 13, PALE, room=room)
    top = max(_HEAD, top + _UNDER)
    scene.height = top + grid.height + _MARGIN
    box = (left, top, left + grid.width, top + grid.height)
    scene.add(Bitmap(box, _sized(grid), (grid.height, grid.width)))
    if layout.strip == 0:
        scene.framed(box)
    if numbers is not None:
        _write_numbers(scene, layout, numbers[: len(tiles)], (left, top))
    if bar:
        foot = max(box[3], top + 40)
        color_bar(scene, (box[2] + 12, top, box[2] + _BAR_SPACE, foot), scale.values)
    return scene


def _sized(grid: Image.Image) -> Callable[[tuple[int, int]], Image.Image]:
    def pixels(size: tuple[int, int]) -> Image.Image:
        if (size[1], size[0]) == grid.size:
            return grid
        return grid.resize((size[1], size[0]), Image.Resampling.NEAREST)

    return pixels


def _write_numbers(
    scene: Scene, layout: _Layout, numbers: Sequence[int], at: tuple[float, float]
) -> None:
    """Over the tiles, or of the first tile of each row beside it."""
    step = layout.step
    if layout.strip:
        for index, number in enumerate(numbers):
            row, column = divmod(index, layout.columns)
            x = at[0] + column * step[1] + layout.gap
            y = at[1] + row * step[0] + layout.strip - 2
            scene.text((x, y), str(number), 11, PALE, "ls")
        return
    written = -math.inf
    for row in range(layout.rows):
        y = at[1] + row * step[0] + layout.gap + layout.height / 2
        if y - written >= _STRIP:  # rows may be lower than a line of text
            written = y
            scene.text((at[0] - 6, y), str(numbers[row * layout.columns]), 11, PALE, "rm")


def _as_tiles(values: Array) -> Array:
    if values.ndim == 1:
        values = values.reshape(-1, 1, 1)
    drawable = values.ndim == 3 or (values.ndim == 4 and values.shape[1] == 3)
    if not drawable or not values.size:
        raise NetError(f"a blob of {shape_text(values.shape)} cannot be drawn; expected C x H x W")
    return values


def _colored(values: Array, scale: _TileScale) -> Pixels:
    """Tiles x H x W x 3."""
    missing = np.isnan(values)
    clean = np.where(missing, 0, values)
    if values.ndim == 3:
        colors = scale.values.colors(clean)
        colors[missing] = _NAN
    else:
        shares = scale.values.shares(clean)
        colors = np.rint(shares.transpose(0, 2, 3, 1) * 255).astype(np.uint8)
        colors[missing.any(axis=1)] = _NAN
    return colors


@dataclass(frozen=True)
class _Layout:
    """Where the tiles go: rows and columns; a tile's height, width and the gap in pixels.

    strip: pixels over each tile, for its number; left: pixels beside the grid, for those of rows.
    """

    rows: int
    columns: int
    height: int
    width: int
    gap: int
    strip: int = 0
    left: int = 0

    @classmethod
    def of(
        cls,
        count: int,
        size: tuple[int, ...],
        columns: int | None = None,
        numbered: bool = False,
    ) -> _Layout:
        height, width = size
        if columns is None:
            columns = min(count, max(1, math.ceil(math.sqrt(count * height / width))))
            columns = -(-count // -(-count // columns))  # no column stays empty
        rows = -(-count // columns)
        scale = _SIDE / max(rows * height, columns * width)
        scale = math.floor(scale) if scale >= 1 else scale
        scale = min(scale, 64)  # a few numbers need no wall of colour
        height, width = max(1, round(height * scale)), max(1, round(width * scale))
        layout = cls(rows, columns, height, width, 2 if min(height, width) >= 8 else 1)
        if not numbered:
            return layout
        over = width >= _NUMBERED and height >= 2 * _STRIP
        return replace(layout, strip=_STRIP) if over else replace(layout, left=_ROW_NUMBER)

    @property
    def step(self) -> tuple[int, int]:
        """From a tile to the next, down and across."""
        return self.height + self.gap + self.strip, self.width + self.gap

    @property
    def pixels(self) -> int:
        """How many the grid has."""
        return self.rows * self.step[0] * self.columns * self.step[1]

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
        step = self.step
        whole = (self.columns * step[1] + self.gap, self.rows * step[0] + self.gap)
        canvas = Image.new("RGB", whole, PAPER)
        line = gap if self.gap > 1 else PAPER  # lines between tiny tiles would be all that shows
        for index, tile in enumerate(colors):
            row, column = divmod(index, self.columns)
            scaled = Image.fromarray(tile).resize(
                (self.width, self.height), Image.Resampling.NEAREST
            )
            corner = (column * step[1], row * step[0] + self.strip)
            end = (corner[0] + step[1] + self.gap, corner[1] + self.height + 2 * self.gap)
            canvas.paste(line, (*corner, *end))
            canvas.paste(scaled, (corner[0] + self.gap, corner[1] + self.gap))
        return canvas
