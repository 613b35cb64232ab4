"""How right a net is about one picture: its cells, a mask's pixels, and boxes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from netsurgery.errors import NetError
from netsurgery.maps.boxes import MapBox
from netsurgery.maps.class_names import check_class
from netsurgery.maps.classmap import ClassMap
from netsurgery.training.box_score import Outcome, outcomes
from netsurgery.training.objects import AnnotatedPicture
from netsurgery.training.score import Confusion, pixel_confusion
from netsurgery.training.top_k import in_top_k
from netsurgery.training.truth import (
    IGNORED,
    TruthRules,
    looked_up,
    open_truth,
    true_cells,
    why_missed,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.intp]
    Counts = NDArray[np.int64]

__all__ = ["FoundBox", "PictureScore", "Scorer"]


class FoundBox(NamedTuple):
    """A box that was found, and what became of it."""

    box: MapBox
    outcome: Outcome


class PictureScore(NamedTuple):
    """cells, pixels: by the places of `Scorer.classes`, one more for all other classes of the net.

    pixels: None where there is no mask. objects: how many there are of each of the net's classes.
    missed: of how many, by the annotations' class and why, no cell is.
    in_top_k: how many cells of each have their class among the K that score most, None where that
    is not counted. boxes: those found, of annotated classes, those of higher scores first.
    """

    cells: Confusion
    in_top_k: Counts | None
    pixels: Confusion | None
    objects: Mapping[int, int]
    missed: Mapping[tuple[str, str], int]
    boxes: Sequence[FoundBox]


@dataclass(frozen=True)
class Scorer:
    """Scores pictures of the same annotations.

    numbers: the net's class of each class of the annotations, IGNORED for what does not count.
    background: the net's class of what is none of them; where there is None, cells in which nothing
    is annotated do not count. top_k: the K of top-k accuracy, None where that is not counted.
    """

    numbers: Mapping[str, int]
    background: int | None
    rules: TruthRules
    top_k: int | None = None

    @cached_property
    def annotated(self) -> frozenset[int]:
        """The net's classes that the annotations name and that count."""
        return frozenset(self.numbers.values()) - {IGNORED}

    @cached_property
    def classes(self) -> tuple[int, ...]:
        """The net's classes that something may be of, in their order."""
        own = set() if self.background is None else {self.background}
        return tuple(sorted(self.annotated | own))

    def score(
        self,
        picture: AnnotatedPicture,
        class_map: ClassMap,
    ) -> PictureScore:
        """How right a picture's map is, and the boxes that were found with it.

        Raises NetError where the cells' places are not known, FormatError where the picture is not
        the one annotated, what opening a mask raises, MemoryLimitError.
        """
        windows = class_map.windows()
        if windows is None:
            raise NetError(
                f"{class_map.image}: the total stride of blob {class_map.blob!r} is not known, so "
                "nothing is known of its cells"
            )
        places = self._places(class_map)
        truth = open_truth(picture, class_map.geometry.placement.image, self.numbers)
        background = IGNORED if self.background is None else self.background
        labels, owners = true_cells(truth, windows, background, self.rules)
        assigned, count = places[class_map.argmax()], len(self.classes) + 1
        pixels = None
        if truth.mask is not None:
            mask = _placed(truth.mask, places)
            pixels = pixel_confusion(mask, assigned, class_map.geometry, count)
        boxes = [box for box in class_map.boxes or () if box.number in self.annotated]
        placed = _placed(labels, places)
        in_k = None
        if self.top_k is not None:
            hits = placed[in_top_k(class_map.values, labels, self.top_k)]
            in_k = np.bincount(hits, minlength=count)
        return PictureScore(
            Confusion.of(placed, assigned, count),
            in_k,
            pixels,
            Counter(number for number in truth.numbers if number != IGNORED),
            Counter(
                (truth.objects[number].label, reason)
                for number, reason in why_missed(truth, owners, windows, self.rules)
                if truth.numbers[number] != IGNORED
            ),
            [FoundBox(*each) for each in zip(boxes, outcomes(boxes, truth), strict=True)],
        )

    def _places(self, class_map: ClassMap) -> Numbers:
        """The place in `classes` of each class of the net; all others have the last."""
        for number in self.classes:
            check_class(number, class_map.classes, class_map.blob)
        places = np.full(class_map.classes, len(self.classes), np.intp)
        places[list(self.classes)] = range(len(self.classes))
        return places


def _placed(labels: NDArray[np.int32], places: Numbers) -> NDArray[np.int32]:
    """The labels by their places; IGNORED, which is -1, stays. Raises MemoryLimitError."""
    table = np.append(places, IGNORED).astype(np.int32)
    return looked_up(table, labels, "the places of classes")
