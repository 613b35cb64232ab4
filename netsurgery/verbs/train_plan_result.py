"""What `train_plan` returns: the plan that was written, and what its truth comes to."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

from netsurgery.io.shape_text import shape_text
from netsurgery.io.short_repr import ShortRepr
from netsurgery.io.table import Column, Table
from netsurgery.io.wording import argument, counted
from netsurgery.maps.picture_options import ExactSize, size_line
from netsurgery.training.added_rows import added_rows
from netsurgery.training.missed_objects import missed_lines
from netsurgery.training.plan import PLAN, TRAIN, TrainingPlan
from netsurgery.training.plan_folder import PICTURES, SOLVER, TRUTH
from netsurgery.training.training_net import TrainingNet
from netsurgery.training.truth_tally import TruthTally

__all__ = ["PlannedTraining"]


@dataclass(frozen=True, eq=False, repr=False)
class PlannedTraining(ShortRepr):
    """A training that is planned.

    folder: what was written. net: what is trained. tally: the cells and objects of all pictures.
    drawn: how many pictures of the truth are in the folder. notes: what the user should know.

    >>> import json
    >>> import netsurgery as ns
    >>> truth = {"classes": ["7"], "pictures": [
    ...     {"file": "digits_canvas.png", "points": [{"class": "7", "at": [232, 24]}]}]}
    >>> with open("seven.json", "w") as file:
    ...     json.dump(truth, file)
    >>> plan = ns.train_plan("prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel",
    ...                      "sevens", annotations="seven.json", images="examples")
    >>> print(plan)
    sevens: 1 picture, 1 cell of 1 class, 684 of background
    >>> plan.classes, plan.to_json()["missed"], plan.table().rows[0]
    (('7', 'background'), [], ('7', '1', '1', '0'))
    >>> plan.next
    'netsurgery train run sevens'
    """

    folder: str
    plan: TrainingPlan
    net: TrainingNet
    tally: TruthTally
    drawn: int
    notes: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the net's outputs."""
        return self.plan.names

    @property
    def outputs(self) -> int:
        """How many outputs the trained net has."""
        return self.net.outputs

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of the input that is trained."""
        return self.plan.input_size

    @property
    def size(self) -> ExactSize:
        """(height, width) of the input that a whole picture is, "image" for its own."""
        return self.plan.options.size.exact_size(self.plan.input_size)

    @property
    def files(self) -> tuple[str, ...]:
        """What is in the folder."""
        names = [PLAN, TRAIN, SOLVER, TRUTH, *([f"{PICTURES}/"] if self.drawn else [])]
        return tuple(f"{self.folder}/{name}" for name in names)

    @property
    def next(self) -> str:
        """The command that runs it."""
        return shlex.join(["netsurgery", "train", "run", self.folder])

    def to_json(self) -> dict[str, Any]:
        """What `train plan --json` prints; docs/json.md says what is in it."""
        ((data, shape),) = self.net.data.items()
        return {
            "folder": self.folder,
            "net": self.plan.net,
            "model": self.plan.model,
            "data": {"blob": data, "shape": list(shape)},
            "size": self.size if self.size == "image" else list(self.size),
            "labels": {name: list(shape) for name, shape in self.net.labels.items()},
            "classes": list(self.plan.names),
            "background": self.plan.background,
            "replaced": self.plan.own_outputs == 0,
            "numbers": dict(self.plan.numbers),
            "kept": self.plan.own_outputs,
            "fillers": [each.to_json() for each in added_rows(self.net)],
            "weights": list(self.plan.weights),
            **self.tally.to_json(),
            "held_out": list(self.plan.held_out),
            "left_out": [
                {"image": name, "error": error} for name, error in self.plan.left_out.items()
            ],
            "drawn": self.drawn,
            "notes": list(self.notes),
            "next": self.next,
        }

    def table(self) -> Table:
        """The classes: their cells and objects, and how many of these no cell got.

        Where the net's outputs are kept, the number of each one's, too, and whether it is new.
        """
        grows = self.plan.options.keep_outputs
        table = Table(
            (
                Column("class"),
                *([Column("output", 3)] if grows else []),
                Column("cells", number=True),
                Column("objects", 1, number=True),
                Column("missed", 2, number=True),
            )
        )
        missed: dict[str, int] = {}
        for (label, _), count in self.tally.missed.items():
            missed[label] = missed.get(label, 0) + count
        labels = {number: label for label, number in self.plan.numbers.items()}
        for number, name in enumerate(self.plan.names):
            # Of a net's classes that nobody annotated there is nothing to say.
            if number not in labels and number != self.plan.background:
                continue
            label = labels.get(number, "")
            cells, objects = self.tally.cells[number], self.tally.objects[label]
            output = f"{number} {'kept' if number < self.plan.own_outputs else 'new'}"
            counts = (str(cells), str(objects), str(missed.get(label, 0)))
            table.add(name, *([output] if grows else []), *counts)
        return table

    @property
    def summary(self) -> tuple[str, ...]:
        """What is said besides the table, in lines."""
        tally = self.tally
        ((data, shape),) = self.net.data.items()
        lines = [
            f"trains {data} {shape_text(shape)}; {counted(tally.ignored, 'cell')} of no class "
            "do not count",
            size_line(self.size),
        ]
        lines += missed_lines(tally.missed)
        for names, words in (
            (tally.empty, "without an object"),
            (tally.small, "smaller than a window"),
        ):
            if names:
                lines.append(f"{counted(len(names), 'picture')} {words}, such as {names[0]}")
        if self.plan.left_out:
            name = next(iter(self.plan.left_out))
            lines.append(f"{counted(len(self.plan.left_out), 'picture')} left out, such as {name}")
        share = self.plan.options.hold_out
        if self.plan.held_out:
            lines.append(f"{counted(len(self.plan.held_out), 'picture')} held out")
        elif share:
            lines.append(
                f"no picture held out of {tally.pictures} ({argument('--hold-out')} {share:g}): a "
                "run will not say how right the net is"
            )
        return tuple(lines)

    def __str__(self) -> str:
        cells = self.tally.cells
        rest = cells[self.plan.background]
        of_objects = sum(count for number, count in cells.items() if number >= 0) - rest
        classes = counted(len(self.plan.names) - 1, "class")
        pictures = counted(self.tally.pictures, "picture")
        return (
            f"{self.folder}: {pictures}, {counted(of_objects, 'cell')} of {classes}, {rest} of "
            f"{self.plan.names[self.plan.background]}"
        )
