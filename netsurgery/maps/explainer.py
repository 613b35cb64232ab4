"""From a picture to an explanation of what a net answers: what the methods share."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from netsurgery.engines.contract import EngineOptions
from netsurgery.errors import NetError, SettingsError
from netsurgery.formats.labels import Labels
from netsurgery.io.argument_types import checks_arguments
from netsurgery.io.closeable import in_turn
from netsurgery.io.shape_text import shape_text
from netsurgery.io.wording import argument, counted
from netsurgery.maps.cell_geometry import Geometry
from netsurgery.maps.class_names import ClassNames
from netsurgery.maps.explanation import Explanation, Method
from netsurgery.maps.image import out_of_memory_named
from netsurgery.maps.large_file import open_picture
from netsurgery.maps.map_source import MapSource
from netsurgery.maps.mapper import Mapper
from netsurgery.maps.picture_options import InputSize
from netsurgery.maps.transformer import Transformer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from netsurgery.maps.any_picture import AnyPicture
    from netsurgery.maps.tile_store import TileStore

    Array = NDArray[np.float32]

__all__ = ["Explainer", "PlacedValues"]


@dataclass(frozen=True)
class PlacedValues:
    """K x H x W values, the blob and the boxes of its cells, and how they were made."""

    values: Array
    blob: str
    geometry: Geometry
    method: Method


class Explainer(Mapper):
    """A mapper whose maps explain the answer for the whole input.

    The net gives one score for each class: a classifier as it was trained, or a fully
    convolutional net at the input of one cell.
    """

    explains = True
    #: The blobs that `_explained` is given besides the scores.
    _beside: tuple[str, ...] = ()

    def __init__(
        self,
        source: MapSource,
        transformer: Transformer,
        options: EngineOptions,
        classes: str,
        labels: Labels | None = None,
    ) -> None:
        """classes: as in `Occlusion`. Raises NetError and FormatError for classes there are not."""
        super().__init__(source, transformer, options, labels=labels)
        if isinstance(transformer.options.tile, int):
            raise SettingsError(
                f"{argument(f'--tile {transformer.options.tile}')}: an explanation is of the whole "
                "input, which is not run in tiles"
            )
        self._chosen = self._names.find_several(classes)
        #: The input's size, where it is not each picture's own.
        self._size = source.input_size(transformer.options, source.size)
        if transformer.options.size != "image":
            self._check_one_score(source.map_shape(source.blob, self._size), self._size)

    @checks_arguments()
    def check_class(self, text: str) -> None:
        """Raise for what names no class, or one that is not explained."""
        named = self._names.find_several(text)
        for number in named or ():
            if self._chosen is not None:
                self._names_of(self._chosen).find(str(number))

    @in_turn
    def map(
        self, image: AnyPicture, size: InputSize | None = None, *, store: TileStore | None = None
    ) -> Explanation:
        """The explanation of a picture, in any form that `classify_map` takes.

        size: of the net's input; None for the mapper's own. `store` is not used. Raises NetError
        for an input at which there is more than one score of a class.
        """
        picture = open_picture(image)
        with out_of_memory_named(picture.name):
            exact = self._input_size(picture, size)
            self.check_size(picture, exact)
            self._check_one_score(self.source.map_shape(self.source.blob, exact), exact)
            data, placement = self._input(picture, exact)
            blobs = self.run(data, [*dict.fromkeys((self.source.blob, *self._beside))])
            scores = self._scores(blobs, data)[0]
            numbers = self._chosen or (int(scores.argmax()),)
            placed = self._explained(data, Geometry(None, None, placement), blobs, numbers)
        return Explanation(
            picture=picture,
            values=placed.values,
            blob=placed.blob,
            is_probability=False,
            input=self.source.input.name,
            geometry=placed.geometry,
            labels=self._labels_of(numbers),
            engine=self.engine,
            notes=self.notes(placement),
            channels=self.source.channels,
            numbers=numbers,
            scores=tuple(float(scores[number]) for number in numbers),
            scores_are_probabilities=self.source.is_probability,
            method=placed.method,
        )

    @abstractmethod
    def _explained(
        self, data: Array, at: Geometry, blobs: Mapping[str, Array], numbers: Sequence[int]
    ) -> PlacedValues:
        """The map of some classes; at: where the picture lies. blobs: of the whole input."""

    def _scores(self, blobs: Mapping[str, Array], data: Array) -> Array:
        """The scores of each input of a batch, N x C; blobs: what the net gave of it."""
        scores = blobs[self.source.blob]
        self._check_one_score(scores.shape[1:], data.shape[2:])
        if len(scores) != len(data):
            raise NetError(
                f"blob {self.source.blob!r} has {counted(len(scores), 'row')} for a batch of "
                f"{len(data)}"
            )
        return scores.reshape(len(data), -1)

    def _check_one_score(self, shape: Sequence[int], size: Sequence[int]) -> None:
        """Raise NetError for a shape, without its batch, that is not of one score a class."""
        if shape and int(np.prod(shape[1:], dtype=np.int64)) != 1:
            target = f"an input of {shape_text(tuple(size))}"
            raise NetError(
                f"blob {self.source.blob!r} is {shape_text(tuple(shape))} at {target}; an "
                "explanation needs one score a class: the classifier before `netsurgery convert`, "
                f"or the input of one cell ({argument('--size')})"
            )

    def _names_of(self, numbers: tuple[int, ...]) -> ClassNames:
        return ClassNames(len(numbers), self._labels_of(numbers), self.source.blob, numbers)

    def _labels_of(self, numbers: Sequence[int]) -> Labels | None:
        """The labels of these classes alone, in their order."""
        if self.labels is None:
            return None
        return Labels(self.labels.path, tuple(self.labels[number] for number in numbers))
