"""From a picture to the blob a net is fed: caffe.io.Transformer's steps in Caffe's order.

1. resize to the input's height and width (`maps/resize.py`)
2. transpose H x W x C to C x H x W
3. swap channels (2,1,0 makes RGB BGR)
4. raw scale (255 makes 0..1 0..255)
5. subtract the mean
6. input scale
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from netsurgery.errors import ImageError, MeanError
from netsurgery.formats.preprocess_values import check_channel_swap
from netsurgery.io.memory import Claim
from netsurgery.io.shape_text import shape_text
from netsurgery.io.wording import argument, counted
from netsurgery.maps.channels import as_channels, channel_rows
from netsurgery.maps.image import Picture
from netsurgery.maps.picture_options import Fit, PictureOptions
from netsurgery.maps.resize import resized_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

__all__ = ["InputCutter", "Placement", "Transformer", "place", "squeeze_note", "squeeze_words"]

Size = tuple[int, int]

#: Arrays of an input's size while it is made, and bytes that a number of it then takes.
_COPIES = 3
_INPUT = 4 * _COPIES


class Placement(NamedTuple):
    """Where a picture lies in a net's input; sizes are (height, width) in pixels.

    The picture of size `image` is scaled to `resized` and put at (top, left) = `offset` of the
    input of size `input`; a negative offset sticks out.
    """

    image: Size
    input: Size
    resized: Size
    offset: Size

    def to_image(self, at: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        """Places in the input along an axis, 0 down or 1 across, in pixels of the picture.

        Pixel i covers [i, i + 1).
        """
        inside: NDArray[np.float64] = at - self.offset[axis]
        return inside * self.image[axis] / self.resized[axis]


def place(image: Size, size: Size, fit: Fit = "warp") -> Placement:
    """How a picture of size `image` is put into an input of `size` (both height, width)."""
    if fit == "warp":
        return Placement(image, size, size, (0, 0))
    scales = [size[axis] / image[axis] for axis in range(2)]
    scale = max(scales) if fit == "crop" else min(scales)
    resized, offset = [], []
    for axis in range(2):
        side = max(1, round(image[axis] * scale))
        resized.append(side)
        offset.append(int((size[axis] - side) / 2))
    return Placement(image, size, (resized[0], resized[1]), (offset[0], offset[1]))


_WARPED = PictureOptions()


@dataclass(frozen=True, eq=False)
class Transformer:
    """Makes blobs for one input of `channels` (1 or 3) channels.

    mean: float32, C (or one for all) or C x H x W, in the net's own channel order and scale;
    raw_scale, input_scale: factors; channel_swap: for each channel of the net, the channel of the
    picture (R, G, B) it comes from. None leaves a step out, as in Caffe. options: how the picture
    is brought to the input's size.
    """

    channels: int
    mean: Array | None = None
    raw_scale: float | None = None
    channel_swap: tuple[int, ...] | None = None
    input_scale: float | None = None
    options: PictureOptions = _WARPED

    def __post_init__(self) -> None:
        if self.channels not in (1, 3):
            raise ImageError(
                f"the net's input has {counted(self.channels, 'channel')}; a picture "
                "gives 1 (grey) or 3 (RGB)"
            )
        if self.channel_swap is not None:
            check_channel_swap(self.channel_swap, self.channels)
        if self.mean is not None and self.mean.ndim not in (1, 3):
            raise MeanError(f"a mean of shape {self.mean.shape}; expected C or C x H x W")

    def plain_note(self) -> str:
        """What to say where a color net is fed pixels as they are; "" for any preprocessing."""
        steps = (self.mean, self.raw_scale, self.channel_swap, self.input_scale)
        if self.channels != 3 or any(step is not None for step in steps):
            return ""
        return (
            "no preprocessing: the net is fed RGB of 0..1, most color nets of Caffe expect BGR of "
            f"0..255 less a mean; {argument('--preprocess bvlc')} gives that, `netsurgery setup` "
            f"finds the preset that fits, and {argument('--raw-scale 1')} says that RGB of 0..1 is "
            "right"
        )

    def mean_for(self, size: Size) -> tuple[Array | None, str | None]:
        """The mean to subtract at this input size, C x 1 x 1 or C x H x W, and a note.

        A mean of another height or width cannot be subtracted pixel by pixel; its mean per channel
        is taken instead (Caffe's notebooks do that by hand), and the note says so.
        """
        if self.mean is None:
            return None, None
        if self.mean.ndim == 1 or self.mean.shape[1:] == (1, 1):
            return self.mean.reshape(-1, 1, 1), None
        if self.mean.shape[1:] == size:
            return self.mean, None
        reduced = self.mean.mean(axis=(1, 2), dtype=np.float64).astype(np.float32)
        values = ", ".join(f"{value:.6g}" for value in reduced)
        height, width = self.mean.shape[1:]
        note = (
            f"the mean is {shape_text((height, width))}, the input {shape_text(size)}: "
            f"its mean per channel is subtracted ({values})"
        )
        return reduced.reshape(-1, 1, 1), note

    def blob(self, picture: Picture, size: Size) -> tuple[Array, Placement]:
        """The blob, float32 1 x C x H x W, for an input of `size`, and where the picture lies.

        Raises MemoryLimitError.
        """
        count = 4 * self.channels * size[0] * size[1]
        with Claim(_COPIES * count, f"{picture.shown}: making it an input of {shape_text(size)}"):
            cutter = self.cutter(picture, size)
            return cutter.cut((0, 0), size), cutter.placement

    def cutter(self, picture: Picture, size: Size) -> InputCutter:
        """What gives the input of `size` that `blob` gives, tile by tile."""
        return InputCutter(self, picture, size)


class InputCutter:
    """Cuts tiles out of the input that a picture becomes, which is not made as a whole.

    Every tile has the very bits that it would have in `Transformer.blob`'s.
    """

    def __init__(self, transformer: Transformer, picture: Picture, size: Size) -> None:
        self.placement = place(picture.size, size, transformer.options.fit)
        self._transformer = transformer
        self._mean, _ = transformer.mean_for(size)
        rows, resized = picture.rows, self.placement.resized
        # The part of the scaled picture that lies in the input, and where.
        self._region = tuple(
            slice(max(0, -at), min(side, room - at))
            for at, side, room in zip(self.placement.offset, resized, size, strict=True)
        )
        self._peak = 0.0  # what stands for 1.0, where it is not known before a tile is cut
        if picture.size != resized:
            rows, self._peak = channel_rows(
                rows, transformer.channels, f"{picture.shown}: making it grey"
            )
            rows = resized_rows(
                rows,
                resized,
                antialias=transformer.options.antialias,
                columns=self._region[1],
                what=picture.shown,
            )
        self._rows = rows
        # The column of the scaled picture that is the first of the rows.
        self._first = self._region[1].start if picture.size != resized else 0

    def cut(self, start: Size, size: Size) -> Array:
        """The tile from a row and column of the input on, float32 1 x C x height x width.

        Best from the top down: the picture may have to be read again for what is further up.
        Raises MemoryLimitError, and what reading the picture raises.
        """
        low, high, inside = [], [], []
        for begin, side, at, region in zip(
            start, size, self.placement.offset, self._region, strict=True
        ):
            low.append(min(max(begin - at, region.start), region.stop))
            high.append(max(min(begin + side - at, region.stop), low[-1]))
            inside.append(slice(low[-1] + at - begin, high[-1] + at - begin))
        down, across = slice(low[0], high[0]), slice(low[1], high[1])
        if (high[0] - low[0], high[1] - low[1]) == size:
            return self._part(down, across)[np.newaxis]
        tile = np.zeros((1, self._transformer.channels, *size), np.float32)
        if low[0] < high[0] and low[1] < high[1]:
            tile[0][:, inside[0], inside[1]] = self._part(down, across)
        return tile

    def _part(self, down: slice, across: slice) -> Array:
        """Rows and columns of the scaled picture as the net gets them, C x H x W."""
        transformer, first = self._transformer, self._first
        band = self._rows.rows(down.start, down.stop)[:, across.start - first : across.stop - first]
        pixels, peak = band, self._peak
        if not peak:
            pixels, peak = as_channels(band, transformer.channels)
        part = np.empty((transformer.channels, *pixels.shape[:2]), np.float32)
        for plane, channel in zip(part, transformer.channel_swap or range(len(part)), strict=True):
            np.divide(pixels[:, :, channel], np.float32(peak), out=plane, dtype=np.float32)
        if transformer.raw_scale is not None:
            part *= np.float32(transformer.raw_scale)
        if self._mean is not None:
            part -= self._mean_at(down, across)
        if transformer.input_scale is not None:
            part *= np.float32(transformer.input_scale)
        return part

    def _mean_at(self, down: slice, across: slice) -> Array:
        """The mean where those rows and columns of the scaled picture lie in the input."""
        assert self._mean is not None
        if self._mean.shape[1:] == (1, 1):
            return self._mean
        top, left = self.placement.offset
        return self._mean[
            :, down.start + top : down.stop + top, across.start + left : across.stop + left
        ]

    def memory(self, tile: Size) -> int:
        """Bytes of the rows that tiles of a size are cut from, and of a tile while it is cut."""
        numbers = self._transformer.channels * tile[0] * tile[1]
        return self._rows.band_memory(tile[0]) + _INPUT * numbers


#: A picture whose sides are scaled by factors further apart than this looks squeezed to the net.
_SQUEEZED = 1.1


def squeeze_words(placement: Placement) -> str:
    """How a picture's shape is changed, where that is by more than a tenth; "" where it is not."""
    (height, width), (rows, columns) = placement.image, placement.resized
    factor = (rows / height) / (columns / width)
    if 1 / _SQUEEZED <= factor <= _SQUEEZED:
        return ""
    side, times = ("narrow", factor) if factor > 1 else ("flat", 1 / factor)
    return f"{times:.2f} times too {side}"


def squeeze_note(placement: Placement) -> str:
    """What to say where a picture's shape is changed by more than a tenth; "" where it is not."""
    (height, width), (rows, columns) = placement.image, placement.resized
    squeezed = squeeze_words(placement)
    if not squeezed:
        return ""
    # Of its shape, and with no fewer pixels than the input has.
    same = max(1, round(columns * height / width)), max(1, round(rows * width / height))
    size = (rows, same[1]) if same[1] > columns else (same[0], columns)
    return (
        f"a picture of {shape_text((height, width))} is made {shape_text((rows, columns))}, "
        f"{squeezed}; "
        f"{argument('--fit')} crop or pad, {argument('--size image')}, or "
        f"{argument(f'--size {shape_text(size)}')} keeps its shape"
    )
