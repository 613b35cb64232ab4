"""How a picture is changed before a net learns from it, and where its pixels go.

A sample is a crop of the picture, scaled, perhaps mirrored, of the size of the net's input. Which
one follows from the seed and the sample's number alone, so that a run that is resumed sees what an
uninterrupted one does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from netsurgery.errors import SettingsError
from netsurgery.io.argument_types import checks_arguments
from netsurgery.maps.transformer import Placement
from netsurgery.training.objects import TrueObject

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Boxes = NDArray[np.float64]
    Pixels = NDArray[np.float32]

__all__ = ["Augmentation", "Draw", "PictureCrop", "crop_of", "draw", "jittered", "order"]

Size = tuple[int, int]

#: Source pixels besides those of a crop, so that its edges are resized as those inside are: what
#: anti-aliasing and interpolation look at, in target pixels, and some more.
_MARGIN = 4
#: Parts of red, green and blue in what an eye sees as grey.
_LUMA = (0.2126, 0.7152, 0.0722)


@checks_arguments()
@dataclass(frozen=True)
class Augmentation:
    """How much a picture is changed at random, each time it is learnt from.

    flip: mirror it left to right half of the time. scales: the least and the most that it is scaled
    by, besides what its map is made at. color: the most that brightness, contrast and saturation
    are changed by, as a part of 1. objects: the share of crops that are made around an object;
    where the others lie is left to chance. Raises SettingsError for numbers that cannot be.

    >>> Augmentation(flip=True).scales
    (0.9, 1.1)
    """

    flip: bool = False
    scales: tuple[float, float] = (0.9, 1.1)
    color: float = 0.1
    objects: float = 0.5

    def __post_init__(self) -> None:
        low, high = self.scales
        if not 0.01 <= low <= high <= 100:
            raise SettingsError(
                f"scales {low:g}-{high:g}: expected the least and the most, from 0.01 to 100"
            )
        if not 0 <= self.color <= 1:
            raise SettingsError(f"color {self.color:g}: expected a part of 1")
        if not 0 <= self.objects <= 1:
            raise SettingsError(f"objects {self.objects:g}: expected a share of 1")


class Draw(NamedTuple):
    """What chance decides of a sample; all but `flip` are from 0 to below 1.

    place: down and across. color: brightness, contrast and saturation. around: whether the crop is
    made around an object, and which.
    """

    scale: float
    place: tuple[float, float]
    flip: bool
    color: tuple[float, float, float]
    around: tuple[float, float]


def draw(rng: np.random.Generator) -> Draw:
    """The next sample's."""
    values = rng.random(9).tolist()
    color = values[4], values[5], values[6]
    return Draw(values[0], (values[1], values[2]), values[3] < 0.5, color, (values[7], values[8]))


@lru_cache(2)
def order(pictures: int, seed: int, epoch: int) -> NDArray[np.intp]:
    """The pictures' numbers in an order of chance, each once: those of one pass over all.

    >>> sorted(order(3, seed=1, epoch=0).tolist())
    [0, 1, 2]
    """
    rng = np.random.Generator(np.random.PCG64([seed, 0, epoch]))
    numbers = np.argsort(rng.random(pictures), kind="stable")
    numbers.flags.writeable = False
    return numbers


class PictureCrop(NamedTuple):
    """A part of a picture as it becomes a net's input.

    region: rows and columns of the picture that are looked at. scaled: what these are resized to.
    start: the input begins at this row and column of it; pixels that are not there are 0. size: of
    the input. flip: whether it is mirrored then.
    """

    region: tuple[slice, slice]
    scaled: Size
    start: Size
    size: Size
    flip: bool

    @property
    def placement(self) -> Placement:
        """Where the region lies in the input, before it is mirrored."""
        (top, bottom), (left, right) = ((part.start, part.stop) for part in self.region)
        offset = -self.start[0], -self.start[1]
        return Placement((bottom - top, right - left), self.size, self.scaled, offset)

    def to_picture(self, boxes: Boxes) -> Boxes:
        """Boxes of the input, [x0, y0, x1, y1] each, in pixels of the picture."""
        result = np.empty(boxes.shape)
        for axis in range(2):
            low, high = boxes[..., 1 - axis], boxes[..., 3 - axis]
            if self.flip and axis == 1:
                low, high = self.size[1] - high, self.size[1] - low
            begin = self.region[axis].start
            result[..., 1 - axis] = self.placement.to_image(low, axis) + begin
            result[..., 3 - axis] = self.placement.to_image(high, axis) + begin
        return result

    def holds(self, at: Boxes, picture: Size, axis: int) -> NDArray[np.bool_]:
        """Whether places of the picture along an axis are in the input, or beyond the picture."""
        ends = np.array([0.0, float(self.size[axis])])
        low, high = self.placement.to_image(ends, axis) + self.region[axis].start
        result: NDArray[np.bool_] = (low <= at) & (at <= high)
        result |= (at < 0) | (at > picture[axis])
        return result


def crop_of(
    draw: Draw,
    placement: Placement,
    size: Size,
    augmentation: Augmentation,
    objects: tuple[TrueObject, ...] = (),
    window: tuple[float, float] = (0, 0),
) -> PictureCrop:
    """The crop that is drawn of a picture.

    placement: the picture's in the input of its map. size: of the input to make. objects: those a
    crop may be made around; window: the size of a cell's, in which the object has room.
    """
    low, high = augmentation.scales
    chosen = None
    if objects and draw.around[0] < augmentation.objects:
        chosen = objects[int(draw.around[1] * len(objects))]
    sides = []
    for axis in range(2):
        image = placement.image[axis]
        factor = placement.resized[axis] / image * (low + (high - low) * draw.scale)
        at = None if chosen is None else chosen.center[1 - axis] * factor
        start = _start(draw.place[axis], round(image * factor), size[axis], at, window[axis])
        sides.append(_side(start, image, factor, size[axis]))
    (rows, down, top), (columns, across, left) = sides
    flip = augmentation.flip and draw.flip
    return PictureCrop((rows, columns), (down, across), (top, left), size, flip)


def _start(chance: float, side: int, size: int, at: float | None, window: float) -> int:
    """Where the crop begins in the scaled picture, whose side this is; negative in a short one.

    at: the middle of what should lie in the crop.
    """
    low, high = min(0, side - size), max(0, side - size)
    if at is not None:
        # All of the window about it, where that is possible.
        first, last = math.ceil(at + window / 2 - size), math.floor(at - window / 2)
        first, last = max(low, min(first, high)), min(high, max(last, low))
        low, high = min(first, last), max(first, last)
    return low + int(chance * (high - low + 1))


def _side(start: int, image: int, factor: float, size: int) -> tuple[slice, int, int]:
    """The source's part along an axis, what it is scaled to, and where the crop begins in that."""
    if factor == 1:
        # No pixel is resized, so none is needed besides.
        first, last = max(0, start), min(image, start + size)
        return slice(first, last), last - first, start - first
    margin = math.ceil(_MARGIN * max(1, 1 / factor)) + 1
    first = min(max(0, math.floor(start / factor) - margin), image - 1)
    last = max(min(image, math.ceil((start + size) / factor) + margin), first + 1)
    # The scaled part begins at a whole pixel, up to half of one from where it should.
    return slice(first, last), max(1, round((last - first) * factor)), start - round(first * factor)


def jittered(pixels: Pixels, draw: Draw, most: float) -> Pixels:
    """Pixels of 0..1, H x W x C, with other brightness, contrast and, of colours, saturation."""
    brightness, contrast, saturation = (1 + most * (2 * value - 1) for value in draw.color)
    result: Pixels = pixels.copy()
    color = result[:, :, :3]
    color *= np.float32(brightness)
    color += (color - np.float32(0.5)) * np.float32(contrast - 1)
    if color.shape[2] == 3:
        grey = sum(color[:, :, i] * np.float32(part) for i, part in enumerate(_LUMA))
        color += (color - np.asarray(grey)[:, :, np.newaxis]) * np.float32(saturation - 1)
    np.clip(color, 0, 1, out=color)
    return result
