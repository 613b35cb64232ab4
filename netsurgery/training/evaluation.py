"""How right a net is about pictures that it does not learn from: which class its cells are given.

A cell counts where the truth says what it is; it is given the class of its largest score.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from netsurgery.errors import FormatError
from netsurgery.io.memory import Claim
from netsurgery.training.score import ClassFigures, Confusion, confusion

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]
    Labels = NDArray[np.int32]
    Counts = NDArray[np.int64]

__all__ = ["Evaluation", "HeldOut", "cell_losses", "evaluate", "worst"]

#: As Caffe has it: log takes no smaller number than a float's least (FLT_MIN).
_LEAST = float(np.log(np.finfo(np.float32).tiny))


class HeldOut(NamedTuple):
    """A picture that is held out: its input, 1 x C x H x W, and the truth of its map, h x w.

    -1 is the truth of a cell that does not count.
    """

    name: str
    data: Array
    labels: Labels


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What cells were given, by what they are: K x K, int64, rows are the truth.

    step: after how many steps. loss: the mean over all cells that count. pictures: of each the
    mean loss over its cells, 0 where none counts, NaN where its scores are none.
    """

    step: int
    counts: Counts
    loss: float
    pictures: dict[str, float]

    @property
    def accuracy(self) -> float:
        """The part of all cells that are given their class; 0 where no cell counts."""
        return Confusion(self.counts).accuracy or 0.0

    @property
    def classes(self) -> list[ClassFigures]:
        """The figures of every class."""
        return Confusion(self.counts).figures

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        return {
            "step": self.step,
            "loss": self.loss,
            "accuracy": self.accuracy,
            "counts": self.counts.tolist(),
            "pictures": self.pictures,
        }

    @classmethod
    def from_json(cls, record: Any, where: str) -> Evaluation:
        """What `to_json` wrote. Raises FormatError."""
        try:
            counts = np.array(record["counts"], np.int64)
            pictures = {str(name): float(loss) for name, loss in record["pictures"].items()}
            if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or (counts < 0).any():
                raise ValueError(counts.shape)
            loss = float(record["loss"])
            if not all(map(math.isfinite, [loss, *pictures.values()])):
                raise ValueError(loss)
            return cls(int(record["step"]), counts, loss, pictures)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            raise FormatError(f"{where}: this is no evaluation of a training run") from None


def cell_losses(scores: Array, labels: Labels) -> NDArray[np.float64]:
    """The softmax loss of each cell, h x w; NaN where it does not count.

    scores: K x h x w. Raises MemoryLimitError.

    >>> scores = np.zeros((4, 1, 2), np.float32)
    >>> cell_losses(scores, np.array([[2, -1]], np.int32)).round(4)
    array([[1.3863,    nan]])
    """
    with Claim(5 * 8 * scores.size, "the loss of a picture's cells"):
        wide = scores.astype(np.float64)
        wide -= wide.max(axis=0)
        logs = wide - np.log(np.exp(wide).sum(axis=0))
        counts = labels >= 0
        own = np.take_along_axis(logs, np.where(counts, labels, 0)[np.newaxis], axis=0)[0]
        return np.where(counts, -np.maximum(own, _LEAST), np.nan)


def evaluate(
    run: Callable[[Array], Array],
    pictures: Iterable[HeldOut],
    outputs: int,
    step: int,
) -> Evaluation:
    """How right a net is about `pictures`.

    run: the scores, 1 x K x h x w, of an input.
    """
    counts = np.zeros((outputs, outputs), np.int64)
    total, losses = 0.0, {}
    for picture in pictures:
        scores = run(picture.data)[0]
        counts += confusion(picture.labels, scores.argmax(axis=0), outputs)
        cells = cell_losses(scores, picture.labels)
        known = cells[picture.labels >= 0]
        losses[picture.name] = float(known.mean()) if known.size else 0.0
        total += float(known.sum())
    cells_in_all = int(counts.sum())
    return Evaluation(step, counts, total / cells_in_all if cells_in_all else 0.0, losses)


def worst(evaluation: Evaluation, count: int) -> Sequence[tuple[str, float]]:
    """The pictures with the largest loss, the worst first."""
    by_loss = sorted(evaluation.pictures.items(), key=lambda pair: (-pair[1], pair[0]))
    return by_loss[:count]
