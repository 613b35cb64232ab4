"""What the truth of all pictures comes to: cells by class, and objects that no cell got."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from netsurgery.io.wording import argument, listed
from netsurgery.training.truth import IGNORED

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["TruthTally"]

#: A class counts so many times as much as another at most.
_MOST = 50.0


@dataclass
class TruthTally:
    """names: of the classes by number. cells: by number, and how many do not count; objects and
    missed: by the class's name, and why. empty: pictures in which is no object; small: those whose
    input is too small for the net."""

    names: Sequence[str]
    cells: Counter[int] = field(default_factory=Counter)
    objects: Counter[str] = field(default_factory=Counter)
    missed: Counter[tuple[str, str]] = field(default_factory=Counter)
    pictures: int = 0
    empty: list[str] = field(default_factory=list)
    small: list[str] = field(default_factory=list)

    def add(self, labels: NDArray[np.int32], objects: Sequence[str], missed: Sequence[str]) -> None:
        """Add a picture: the labels of its cells, the class of each object, and of each that was
        missed why; "" where it was not."""
        self.pictures += 1
        numbers, counts = np.unique(labels, return_counts=True)
        self.cells.update(dict(zip(numbers.tolist(), counts.tolist(), strict=True)))
        self.objects.update(objects)
        self.missed.update(
            (label, reason) for label, reason in zip(objects, missed, strict=True) if reason
        )

    def weights(
        self, background: int, share: float, *, balance: bool, background_weight: float = 1
    ) -> tuple[float, ...]:
        """How much a cell of each class counts: 1 in the mean of cells.

        share: of background cells that count. balance: have all classes count alike together; one
        without cells counts as the rarest. background_weight: how many times as much the
        background counts besides.
        """
        cells = np.array([self.cells[number] for number in range(len(self.names))], np.float64)
        cells[background] *= share
        present = cells[cells > 0]
        if not len(present):
            return (1.0,) * len(cells)
        weights = np.ones(len(cells))
        if balance:
            cells[cells == 0] = present.min()
            cells = np.maximum(cells, cells.max() / _MOST)
            weights /= cells
        weights[background] *= background_weight
        weights *= cells.sum() / (cells * weights).sum()
        return tuple(round(float(weight), 6) for weight in weights)

    def notes(self, background: int) -> list[str]:
        """What to say where there is nothing to learn but the background, or none of that."""
        cells = {number for number, count in self.cells.items() if number >= 0 and count}
        if not cells - {background}:
            large, small = (self.reasons.get(reason, 0) for reason in ("too large", "too small"))
            direction = "a smaller" if large > small else "a larger" if small > large else "another"
            size = f"{direction} {argument('--size')}"
            ways = [argument("--near"), argument("--scale"), size]
            return [
                "no cell is of an object: nothing but the background would be learnt; see "
                f"pictures/, and {listed(ways)}"
            ]
        if background not in cells:
            return ["no cell is background: a map would never say that there is nothing"]
        return []

    def to_json(self) -> dict[str, Any]:
        """As `train plan --json` has it."""
        return {
            "pictures": self.pictures,
            "cells": {name: self.cells[number] for number, name in enumerate(self.names)},
            "ignored": self.ignored,
            "objects": dict(self.objects),
            "missed": [
                {"class": label, "reason": reason, "objects": count}
                for (label, reason), count in sorted(self.missed.items())
            ],
            "empty": self.empty,
            "small": self.small,
        }

    @property
    def ignored(self) -> int:
        """Cells that do not count."""
        return self.cells[IGNORED]

    @property
    def reasons(self) -> Mapping[str, int]:
        """How many objects no cell got, by why."""
        reasons: Counter[str] = Counter()
        for (_, reason), count in self.missed.items():
            reasons[reason] += count
        return reasons
