"""What the truth of all pictures comes to: cells by class, and objects that no cell got."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from netsurgery.io.terminal import joined
from netsurgery.io.wording import argument, listed
from netsurgery.training.missed_objects import missed_by_reason, missed_records
from netsurgery.training.truth import IGNORED

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["TruthTally"]

#: A class counts so many times as much as another at most.
_MOST = 50.0


@dataclass
class TruthTally:
    """names: of the classes by number. cells: by number, and how many do not count; learnt: those
    of pictures that are learnt from; objects and missed: by the class's name, and why. empty:
    pictures in which is no object; small: those whose input is too small for the net."""

    names: Sequence[str]
    cells: Counter[int] = field(default_factory=Counter)
    learnt: Counter[int] = field(default_factory=Counter)
    objects: Counter[str] = field(default_factory=Counter)
    missed: Counter[tuple[str, str]] = field(default_factory=Counter)
    pictures: int = 0
    empty: list[str] = field(default_factory=list)
    small: list[str] = field(default_factory=list)

    def add(
        self,
        labels: NDArray[np.int32],
        objects: Sequence[str],
        missed: Sequence[str],
        *,
        learnt: bool = True,
    ) -> None:
        """Add a picture: the labels of its cells, the class of each object, and of each that was
        missed why; "" where it was not. learnt: whether it is not held out."""
        self.pictures += 1
        numbers, counts = np.unique(labels, return_counts=True)
        cells = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
        self.cells.update(cells)
        if learnt:
            self.learnt.update(cells)
        self.objects.update(objects)
        self.missed.update(
            (label, reason) for label, reason in zip(objects, missed, strict=True) if reason
        )

    def weights(
        self, background: int, share: float, *, balance: bool, background_weight: float = 1
    ) -> tuple[float, ...]:
        """How much a cell of each class counts: 1 in the mean of the cells that are learnt.

        share: of background cells that count. balance: have all classes count alike together; one
        without cells counts as the rarest. background_weight: how many times as much the
        background counts besides.
        """
        cells = np.array([self.learnt[number] for number in range(len(self.names))], np.float64)
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

    def notes(self, numbers: Mapping[str, int], background: int) -> list[str]:
        """What to say of annotated classes that would not be learnt, and of the background.

        numbers: those of the annotations' classes.
        """
        ways = (
            f"see pictures/, and {listed([argument('--near'), argument('--scale'), self._size()])}"
        )
        present = {number for number, count in self.cells.items() if number >= 0 and count}
        if not present - {background}:
            return [f"no cell is of an object: nothing but the background would be learnt; {ways}"]
        notes = []
        never = [name for name in numbers if self.objects[name] and numbers[name] not in present]
        if never:
            notes.append(f"would not be learnt: {_quoted(never)}, of which no cell is; {ways}")
        away = [
            name for name in numbers if self.cells[numbers[name]] > self.learnt[numbers[name]] == 0
        ]
        if away:
            notes.append(
                f"would not be learnt: {_quoted(away)}, whose cells are all in pictures that are "
                f"held out; another {argument('--seed')} or {argument('--hold-out')} holds out "
                "others"
            )
        if background not in present:
            notes.append("no cell is background: a map would never say that there is nothing")
        return notes

    def _size(self) -> str:
        """The size of pictures with which objects may fit the windows."""
        reasons = missed_by_reason(self.missed)
        large, small = reasons["too large"], reasons["too small"]
        direction = "a smaller" if large > small else "a larger" if small > large else "another"
        return f"{direction} {argument('--size')}"

    def to_json(self) -> dict[str, Any]:
        """As `train plan --json` has it."""
        return {
            "pictures": self.pictures,
            "cells": {name: self.cells[number] for number, name in enumerate(self.names)},
            "ignored": self.ignored,
            "objects": dict(self.objects),
            "missed": missed_records(self.missed),
            "empty": self.empty,
            "small": self.small,
        }

    @property
    def ignored(self) -> int:
        """Cells that do not count."""
        return self.cells[IGNORED]


def _quoted(names: Sequence[str]) -> str:
    return joined([repr(name) for name in names])
