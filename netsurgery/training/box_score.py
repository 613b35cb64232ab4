"""How right boxes are: which of them find an object, and average precision.

In each picture the boxes of a class are taken in the order of their scores. One is of the object of
its class with which it shares the largest part of their union, where that part is at least 0.5
(MATCH); it is right if no box before it was of that object, and else a repetition. One that is of
no object does not count where its center lies in a box that does not count, and else is false.

Average precision is the area below precision over recall as the threshold sinks, as Pascal VOC has
measured it since 2010: over all boxes of the class in the order of their scores, with the precision
at each recall replaced by the largest at that recall or a higher one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from netsurgery.io.memory import Claim
from netsurgery.maps.boxes import MapBox, overlaps
from netsurgery.training.objects import Box
from netsurgery.training.truth import Truth

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MATCH", "BoxCounts", "Outcome", "average_precision", "outcomes"]

#: The least part of their union that a box shares with the object that it finds.
MATCH = 0.5
#: Bytes of a box's score and outcome, while they are kept.
_BOX = 120

Outcome: TypeAlias = Literal["right", "repeated", "false", "left out"]


def outcomes(boxes: Sequence[MapBox], truth: Truth) -> list[Outcome]:
    """What became of each of a picture's boxes, which are in the order of their scores.

    truth: its objects, with the numbers of their classes; those below 0 do not count.
    """
    places = np.array([thing.box for thing in truth.objects], np.float64).reshape(-1, 4)
    numbers = np.array(truth.numbers, np.intp)
    ignored = [
        *truth.ignored,
        *(
            thing.box
            for thing, number in zip(truth.objects, truth.numbers, strict=True)
            if number < 0
        ),
    ]
    matched: set[int] = set()
    results: list[Outcome] = []
    for each in boxes:
        own = np.flatnonzero(numbers == each.number)
        shared = overlaps(np.array(each.box), places[own])
        if len(own) and shared.max() >= MATCH:
            match = int(own[shared.argmax()])
            results.append("repeated" if match in matched else "right")
            matched.add(match)
        else:
            results.append("left out" if _is_ignored(each.box, ignored) else "false")
    return results


def _is_ignored(box: Box, ignored: Iterable[Box]) -> bool:
    """Whether its center lies in a box that does not count."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return any(left <= x < right and top <= y < bottom for left, top, right, bottom in ignored)


def average_precision(right: Iterable[bool], objects: int) -> float | None:
    """Of boxes in the order of their scores; None where there are no objects.

    >>> average_precision([True, False, True], objects=2)  # 1 to recall 0.5, then 2/3
    0.8333333333333333
    """
    if not objects:
        return None
    hits = np.fromiter(right, np.bool_)
    if not hits.any():
        return 0.0
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    best: NDArray[np.float64] = np.maximum.accumulate(precision[::-1])[::-1]
    # Each right box is one step of recall, 1 / objects wide.
    return float(best[hits].sum() / objects)


@dataclass(eq=False)
class BoxCounts:
    """The boxes of a class over all pictures, and how many objects of it there are."""

    objects: int = 0
    counts: dict[Outcome, int] = field(default_factory=dict)
    _scores: list[float] = field(default_factory=list)
    _right: list[bool] = field(default_factory=list)
    _claim: Claim = field(default_factory=lambda: Claim(0, "the boxes found"))

    def add(self, score: float, outcome: Outcome) -> None:
        """One more box. Raises MemoryLimitError."""
        self.counts[outcome] = self.counts.get(outcome, 0) + 1
        if outcome != "left out":
            self._claim.add(_BOX)
            self._scores.append(score)
            self._right.append(outcome == "right")

    @property
    def total(self) -> int:
        """How many boxes there are."""
        return sum(self.counts.values())

    @property
    def average_precision(self) -> float | None:
        """None where there are no objects; of equal scores those of earlier pictures come first."""
        order = np.argsort(-np.array(self._scores), kind="stable")
        return average_precision((self._right[at] for at in order), self.objects)

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        names: tuple[Outcome, ...] = ("right", "repeated", "false", "left out")
        return {
            "objects": self.objects,
            "found": self.total,
            **{name.replace(" ", "_"): self.counts.get(name, 0) for name in names},
            "average_precision": self.average_precision,
        }
