"""What a net is fed step by step: pictures and the truth of their cells.

The batch of a step follows from the pictures, the options, the seed and the step's number alone.
Every picture comes once in each pass over all of them. What is decoded is kept as long as it fits
`_KEPT` bytes; the crop's pixels are those of `classify-map` at the same scale.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from netsurgery.errors import MemoryLimitError
from netsurgery.io.memory import Claim, claim_for, empty
from netsurgery.maps.cell_geometry import Geometry
from netsurgery.maps.image import Picture, read_picture
from netsurgery.maps.picture_options import PictureOptions
from netsurgery.maps.transformer import Placement, Transformer, place
from netsurgery.training.augment import (
    Augmentation,
    Draw,
    PictureCrop,
    crop_of,
    draw,
    jittered,
    order,
)
from netsurgery.training.objects import AnnotatedPicture
from netsurgery.training.truth import IGNORED, Truth, TruthRules, open_truth, true_cells

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from netsurgery.net.field import Cells

    Array = NDArray[np.float32]

__all__ = ["Batch", "Batches", "LabelGrid", "Sample"]

Size = tuple[int, int]

#: Bytes of decoded pictures and masks that are kept.
_KEPT = 1 << 28

#: Bytes that a value takes while colors are changed.
_COLORED = 16

_AUGMENTATION = Augmentation()


class Batch(NamedTuple):
    """data: N x C x H x W. labels: by input, N x 1 x h x w; -1 does not count. All float32."""

    data: Array
    labels: dict[str, Array]


class Sample(NamedTuple):
    """data: C x H x W. labels: by input, h x w. crop: what of the picture it is."""

    data: Array
    labels: dict[str, NDArray[np.int32]]
    crop: PictureCrop


class LabelGrid(NamedTuple):
    """An input of labels: where its cells lie in the net's input, and how many there are."""

    name: str
    cells: Cells
    shape: Size


@dataclass(frozen=True)
class Batches:
    """Batches of the pictures, of any step.

    classes: the number of each class that annotations may name; background: of what is in none.
    grids: the inputs of labels, the main one last. transformer: makes pixels ready, with the
    options by which maps are made; map_size: the input that these call "net". size: height and
    width of the input that is trained. count: pictures a batch. share: of background cells that
    count.

    Making a batch raises what reading a picture and its truth raises, MemoryLimitError.
    """

    pictures: Sequence[AnnotatedPicture]
    classes: Mapping[str, int]
    background: int
    rules: TruthRules
    grids: Sequence[LabelGrid]
    transformer: Transformer
    map_size: Size
    size: Size
    count: int
    augmentation: Augmentation = _AUGMENTATION
    share: float = 0.15
    seed: int = 1
    _open: OrderedDict[int, tuple[Picture, Truth]] = field(default_factory=OrderedDict, init=False)

    def batch(self, step: int) -> Batch:
        """The batch of a step; the first is 0."""
        channels = self.transformer.channels
        data = empty((self.count, channels, *self.size), "f4", "a batch of pictures")
        labels = {
            grid.name: empty((self.count, 1, *grid.shape), "f4", "the labels of a batch")
            for grid in self.grids
        }
        for place_in_batch in range(self.count):
            sample = self.sample(step * self.count + place_in_batch)
            data[place_in_batch] = sample.data
            for name, values in sample.labels.items():
                labels[name][place_in_batch, 0] = values
        return Batch(data, labels)

    def sample(self, number: int) -> Sample:
        """One picture of a batch and its labels; step s has those from s x count on."""
        epoch, position = divmod(number, len(self.pictures))
        picture, truth = self._opened(int(order(len(self.pictures), self.seed, epoch)[position]))
        rng = np.random.Generator(np.random.PCG64([self.seed, 1, number]))
        drawn = draw(rng)
        window = self.grids[-1].cells.size
        crop = crop_of(
            drawn,
            self._placement(picture),
            self.size,
            self.augmentation,
            truth.objects,
            (float(window[0]), float(window[1])),
        )
        part = self._part(picture, crop)
        if self.augmentation.color:
            part = self._jittered(part, drawn)
        labels = {
            grid.name: self._labels(grid, crop, picture.size, truth, rng) for grid in self.grids
        }
        return Sample(self._data(part, crop), labels, crop)

    def _opened(self, number: int) -> tuple[Picture, Truth]:
        """A picture and its truth; those that were not used for longest are dropped."""
        if number not in self._open:
            try:
                opened = self._read(number)
            except MemoryLimitError:
                if not self._open:
                    raise
                self._open.clear()  # there is less memory than _KEPT
                opened = self._read(number)
            self._open[number] = opened
            while len(self._open) > 1 and sum(map(_memory, self._open.values())) > _KEPT:
                self._open.popitem(last=False)
        self._open.move_to_end(number)
        return self._open[number]

    def _read(self, number: int) -> tuple[Picture, Truth]:
        annotated = self.pictures[number]
        picture = read_picture(annotated.path)
        return picture, open_truth(annotated, picture.size, self.classes)

    def _placement(self, picture: Picture) -> Placement:
        """The picture's in the input of its map."""
        options = self.transformer.options
        return place(picture.size, options.input_size(self.map_size, picture.size), options.fit)

    def _part(self, picture: Picture, crop: PictureCrop) -> Picture:
        return Picture(picture.name, picture.pixels[crop.region])

    def _jittered(self, part: Picture, drawn: Draw) -> Picture:
        count = part.pixels.size
        claim = Claim(_COLORED * count, f"{part.shown}: changing its colors")
        pixels = np.asarray(part.pixels, np.float32) / np.float32(part.peak)
        changed = jittered(pixels, drawn, self.augmentation.color)
        claim.at_most(changed.itemsize * count)
        return replace(part, pixels=claim_for(changed, claim))

    def _data(self, part: Picture, crop: PictureCrop) -> Array:
        antialias = self.transformer.options.antialias
        mean, _ = self.transformer.mean_for((0, 0))  # one a channel: a crop lies anywhere
        options = PictureOptions(crop.scaled, antialias=antialias)
        transformer = replace(
            self.transformer, mean=None if mean is None else mean.ravel(), options=options
        )
        data: Array = transformer.cutter(part, crop.scaled).cut(crop.start, crop.size)[0]
        return data[:, :, ::-1] if crop.flip else data

    def _labels(
        self,
        grid: LabelGrid,
        crop: PictureCrop,
        picture: Size,
        truth: Truth,
        rng: np.random.Generator,
    ) -> NDArray[np.int32]:
        boxes = Geometry.of(grid.cells, place(crop.size, crop.size)).windows(*grid.shape)
        assert boxes is not None
        windows = crop.to_picture(boxes)
        labels = true_cells(truth, windows, self.background, self.rules).labels
        # What lies in the middle of these windows is not in the crop.
        centers = (windows[..., :2] + windows[..., 2:]) / 2
        seen = crop.holds(centers[..., 1], picture, 0) & crop.holds(centers[..., 0], picture, 1)
        left_out = (labels == self.background) & (rng.random(labels.shape) >= self.share)
        labels[left_out | ~seen] = IGNORED
        return labels


def _memory(opened: tuple[Picture, Truth]) -> int:
    picture, truth = opened
    return picture.pixels.nbytes + (0 if truth.mask is None else truth.mask.nbytes)
