"""How right a net's classes are: counts of cells, or pixels, by what they are and what they got."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from netsurgery.io.memory import Claim

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from netsurgery.maps.cell_geometry import Geometry

    Counts = NDArray[np.int64]

__all__ = [
    "CellCounts",
    "ClassFigures",
    "Confusion",
    "confusion",
    "nearest_cells",
    "pixel_confusion",
]

#: Bytes a cell while it is counted, and pixels that are counted at once.
_CELL, _BLOCK = 40, 1 << 20


class CellCounts(NamedTuple):
    """Of all classes together: how many count, how many of these are right, how many do not count.

    >>> CellCounts(counted=4, right=3, ignored=2).accuracy
    0.75
    """

    counted: int
    right: int
    ignored: int

    @property
    def accuracy(self) -> float | None:
        """The part of those that count that got what they are; None where none counts."""
        return self.right / self.counted if self.counted else None


class ClassFigures(NamedTuple):
    """Of one class: how many are of it, how many of these got it, how many got it in all.

    None stands for a part of nothing.

    >>> figures = ClassFigures(4, 3, 6)
    >>> figures.recall, figures.precision, round(figures.iou, 3)
    (0.75, 0.5, 0.429)
    """

    true: int
    right: int
    given: int

    @property
    def recall(self) -> float | None:
        """The part of those of the class that got it."""
        return self.right / self.true if self.true else None

    @property
    def precision(self) -> float | None:
        """The part of those that got the class that are of it."""
        return self.right / self.given if self.given else None

    @property
    def iou(self) -> float | None:
        """Intersection over union: of those that are of it or got it, the part that is both."""
        union = self.true + self.given - self.right
        return self.right / union if union else None

    def to_json(self) -> dict[str, Any]:
        """All of them as plain values."""
        return {
            "true": self.true,
            "given": self.given,
            "right": self.right,
            "precision": self.precision,
            "recall": self.recall,
            "iou": self.iou,
        }


@dataclass(frozen=True, eq=False)
class Confusion:
    """counts: K x K, int64, rows by what they are, columns by what they got.

    ignored: how many more there were that do not count.

    >>> result = Confusion(np.array([[3, 1], [0, 4]]), ignored=2)
    >>> result.accuracy, round(result.mean_iou, 3), result.figures[1]
    (0.875, 0.775, ClassFigures(true=4, right=4, given=5))
    >>> (result + result).counted
    16
    """

    counts: Counts
    ignored: int = 0

    @classmethod
    def of(cls, truth: NDArray[Any], assigned: NDArray[Any], classes: int) -> Confusion:
        """Of numbers of classes below `classes`; a truth below 0 does not count."""
        return cls(confusion(truth, assigned, classes), int((truth < 0).sum()))

    def __add__(self, more: Confusion) -> Confusion:
        return Confusion(self.counts + more.counts, self.ignored + more.ignored)

    @cached_property
    def counted(self) -> int:
        """How many count."""
        return int(self.counts.sum())

    @property
    def totals(self) -> CellCounts:
        """What is left where classes do not matter, in a few bytes for any number of them."""
        return CellCounts(self.counted, int(np.trace(self.counts)), self.ignored)

    @property
    def accuracy(self) -> float | None:
        """The part of those that count that got what they are; None where none counts."""
        return self.totals.accuracy

    @cached_property
    def figures(self) -> list[ClassFigures]:
        """Those of each class."""
        true, assigned = self.counts.sum(axis=1), self.counts.sum(axis=0)
        rows = zip(true, np.diagonal(self.counts), assigned, strict=True)
        return [ClassFigures(*map(int, row)) for row in rows]

    @property
    def mean_iou(self) -> float | None:
        """The mean over the classes that anything is of or got; None where there are none."""
        each = [figures.iou for figures in self.figures if figures.iou is not None]
        return sum(each) / len(each) if each else None

    def wrong_for(self, number: int) -> int:
        """How many of that class got another."""
        figures = self.figures[number]
        return figures.true - figures.right


def confusion(truth: NDArray[Any], assigned: NDArray[Any], classes: int) -> Counts:
    """How many of each class got each: K x K, int64, rows by the truth.

    truth, assigned: numbers of classes below `classes`, of the same shape; a truth below 0 does not
    count. Raises MemoryLimitError.

    >>> confusion(np.array([[0, 1, 1, -1]]), np.array([[0, 0, 1, 1]]), 2)
    array([[1, 0],
           [1, 1]])
    """
    with Claim(_CELL * truth.size + 8 * classes * classes, "the counts of cells by their classes"):
        counts = truth >= 0
        pairs = truth[counts].astype(np.int64) * classes + assigned[counts]
        return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def nearest_cells(geometry: Geometry, axis: int, count: int) -> NDArray[np.intp]:
    """For each row (axis 0) or column (1) of a picture's pixels that of the nearest cell.

    count: cells along the axis. Of two as near it is the first. The cells' places must be known.

    >>> from netsurgery.maps.cell_geometry import Geometry
    >>> from netsurgery.maps.transformer import place
    >>> nearest_cells(Geometry((2.0, 2.0), (4.0, 4.0), place((6, 8), (6, 8))), 1, 3)
    array([0, 0, 0, 1, 1, 2, 2, 2])
    """
    assert geometry.stride is not None
    assert geometry.window is not None
    cells = geometry.stride[axis] * np.arange(count, dtype=np.float64)
    at = geometry.start[axis] + geometry.window[axis] / 2 + cells
    centers = geometry.placement.to_image(at, axis)
    pixels = np.arange(geometry.placement.image[axis]) + 0.5
    between = (centers[1:] + centers[:-1]) / 2
    return np.searchsorted(between, pixels)


def pixel_confusion(
    mask: NDArray[np.int32], assigned: NDArray[np.intp], geometry: Geometry, classes: int
) -> Confusion:
    """A mask's pixels by their classes, each of which gets that of the nearest cell.

    mask: H x W of the picture; assigned: rows x columns of the map. Raises MemoryLimitError.
    """
    rows, columns = (nearest_cells(geometry, axis, assigned.shape[axis]) for axis in (0, 1))
    step = max(1, _BLOCK // max(1, mask.shape[1]))
    total = Confusion(np.zeros((classes, classes), np.int64))
    for start in range(0, len(mask), step):
        part = slice(start, start + step)
        total += Confusion.of(mask[part], assigned[np.ix_(rows[part], columns)], classes)
    return total
