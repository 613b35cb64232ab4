"""What `evaluate` returns."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from netsurgery.engines.contract import engine_record
from netsurgery.io.short_repr import ShortRepr
from netsurgery.io.table import Column, Table
from netsurgery.io.wording import counted
from netsurgery.maps.picture_options import ExactSize, size_line
from netsurgery.training.missed_objects import missed_lines, missed_records

if TYPE_CHECKING:
    from netsurgery.errors import NetsurgeryError
    from netsurgery.maps.box_rules import BoxRules
    from netsurgery.training.box_score import BoxCounts, Outcome
    from netsurgery.training.score import CellCounts, ClassFigures, Confusion

__all__ = ["ClassScore", "NetEvaluation", "PictureRow"]


@dataclass(frozen=True)
class PictureRow:
    """A picture, and how right the net is about it, or the error that it failed with.

    in_top_k: how many cells have their class among the K that score most, None where that was not
    counted. wrong_background: how many cells of the background got another class, None where no
    class is the background. boxes: what became of each box, None where none were asked for.
    """

    image: str
    cells: CellCounts | None = None
    in_top_k: int | None = None
    wrong_background: int | None = None
    boxes: Sequence[Outcome] | None = None
    error: NetsurgeryError | None = None

    def to_json(self) -> dict[str, Any]:
        """The picture as plain values."""
        if self.cells is None:
            return {"image": self.image, "error": str(self.error)}
        boxes = None
        if self.boxes is not None:
            boxes = {"found": len(self.boxes), "false": Counter(self.boxes)["false"]}
        return {
            "image": self.image,
            "counted": self.cells.counted,
            "ignored": self.cells.ignored,
            "accuracy": self.cells.accuracy,
            "top_k_accuracy": _part(self.in_top_k, self.cells.counted),
            "false_finds": self.wrong_background,
            "boxes": boxes,
        }


@dataclass(frozen=True)
class ClassScore:
    """A class of the net, by its number, and how right it is.

    names: the annotations' classes that it is, () for a background that is not annotated. label:
    the net's, None without labels. in_top_k: how many of its cells have it among the K classes that
    score most, None where that was not counted. boxes: None where none were asked for, or it is not
    annotated.
    """

    number: int
    names: tuple[str, ...]
    label: str | None
    cells: ClassFigures
    in_top_k: int | None
    pixels: ClassFigures | None
    boxes: BoxCounts | None

    @property
    def name(self) -> str:
        """What people call it."""
        return ", ".join(self.names) or self.label or "background"

    @property
    def average_precision(self) -> float | None:
        """Of its boxes; None where there are no objects of it, or none were asked for."""
        return None if self.boxes is None else self.boxes.average_precision

    def to_json(self) -> dict[str, Any]:
        """The class as plain values."""
        return {
            "class": self.number,
            "names": list(self.names),
            "label": self.label,
            "cells": self.cells.to_json(),
            "in_top_k": self.in_top_k,
            "pixels": self.pixels and self.pixels.to_json(),
            "boxes": self.boxes and self.boxes.to_json(),
        }


@dataclass(frozen=True, eq=False, repr=False)
class NetEvaluation(ShortRepr):
    """How right a net is about annotated pictures.

    source: the annotations. size: (height, width) of the input that each picture was, "image" for
    its own. background: the net's class of what is none of the annotated, None where there is none.
    classes: those that something may be of, in the net's order. cells, pixels:
    counts by what they are and what they got, in the order of `classes`, the last for all other
    classes of the net; top_k: the K of `top_k_accuracy`, None where it was not counted; pixels: of
    masks, None without. missed: of how many objects no cell is, by
    the annotations' class and why; `cells` says nothing of these. boxes: how they were made, None
    where none were asked for; box_scales: at which factors of the input's size. pictures: a row for
    each. written: files. notes: what the user should know.

    >>> import json
    >>> import netsurgery as ns
    >>> truth = {"classes": ["7"], "pictures": [
    ...     {"file": "digits_canvas.png", "boxes": [{"class": "7", "box": [217, 9, 247, 39]}]}]}
    >>> with open("seven.json", "w") as file:
    ...     json.dump(truth, file)
    >>> model = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    >>> with ns.convert(*model, input_size=(192, 288)).net as net:
    ...     result = ns.evaluate("examples", net=net, annotations="seven.json",
    ...                          boxes=ns.BoxRules(0.99), engine="embedded")
    >>> result.accuracy, result.mean_iou, result.false_finds, result.mean_average_precision
    (1.0, 1.0, 0.0, 1.0)
    >>> result.failed, result.classes[0].name, result.classes[0].cells.recall
    ([], '7', 1.0)
    >>> result.table().rows[0]
    ('7', '1', '1', '1', '1', '1', '1', '1')
    >>> list(result.lines())[0]
    'accuracy 1; 1 cell of a class, 692 that do not count'
    """

    source: str
    engine: str
    engine_note: str
    size: ExactSize
    background: int | None
    classes: tuple[ClassScore, ...]
    cells: Confusion
    top_k: int | None
    pixels: Confusion | None
    missed: Mapping[tuple[str, str], int]
    boxes: BoxRules | None
    box_scales: tuple[float, ...]
    pictures: tuple[PictureRow, ...]
    written: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def failed(self) -> list[PictureRow]:
        """The pictures that failed."""
        return [row for row in self.pictures if row.error is not None]

    @property
    def accuracy(self) -> float | None:
        """The part of the cells that count that got their class; None where none counts."""
        return self.cells.accuracy

    @property
    def top_k_accuracy(self) -> float | None:
        """The part of the cells that count whose class is among the `top_k` that score most.

        A class that scores as much as theirs stands before it, as in Caffe's Accuracy layer. None
        where no cell counts, or it was not counted.
        """
        if self.top_k is None:
            return None
        return _part(sum(each.in_top_k or 0 for each in self.classes), self.cells.counted)

    @property
    def mean_iou(self) -> float | None:
        """Of the pixels where there are masks, else of cells: the mean over `classes`."""
        return _mean(each.iou for each in self._figures)

    @property
    def _figures(self) -> list[ClassFigures]:
        return [each.cells if each.pixels is None else each.pixels for each in self.classes]

    @property
    def mean_average_precision(self) -> float | None:
        """Over the classes of which there are objects; None where no boxes were asked for."""
        return _mean(each.average_precision for each in self.classes)

    @property
    def false_finds(self) -> float | None:
        """How many a picture there are on average: boxes, else cells, where there is nothing.

        Cells of the background that got another class are those; None where no class is the
        background. Boxes are those of no object.
        """
        rows = [row for row in self.pictures if row.error is None]
        if not rows:
            return None
        if self.boxes is not None:
            return sum(Counter(row.boxes or ())["false"] for row in rows) / len(rows)
        if self.background is None:
            return None
        return sum(row.wrong_background or 0 for row in rows) / len(rows)

    def to_json(self) -> dict[str, Any]:
        """What `evaluate --json` prints; docs/json.md says what is in it."""
        return {
            "annotations": self.source,
            "engine": engine_record(self.engine, self.engine_note),
            "images": len(self.pictures),
            "failed": len(self.failed),
            "size": self.size if self.size == "image" else list(self.size),
            "background": self.background,
            "accuracy": self.accuracy,
            "top_k": self.top_k,
            "top_k_accuracy": self.top_k_accuracy,
            "mean_iou": self.mean_iou,
            "mean_average_precision": self.mean_average_precision,
            "false_finds": self.false_finds,
            "cells": {"counted": self.cells.counted, "ignored": self.cells.ignored},
            "pixels": self.pixels
            and {
                "counted": self.pixels.counted,
                "ignored": self.pixels.ignored,
                "accuracy": self.pixels.accuracy,
            },
            "missed": missed_records(self.missed),
            "boxes": self.boxes
            and {
                "threshold": self.boxes.threshold,
                "overlap": self.boxes.overlap,
                "scales": list(self.box_scales),
            },
            "classes": [each.to_json() for each in self.classes],
            # The row of all other classes is left out: nothing is of them.
            "confusion": self.cells.counts[:-1].tolist(),
            "pictures": [row.to_json() for row in self.pictures],
            "written": list(self.written),
            "notes": list(self.notes),
        }

    def table(self) -> Table:
        """The classes, but for those of which nothing is and that nothing got."""
        columns = [
            Column("class"),
            Column("cells", number=True),
            Column("right", 3, number=True),
            *([] if self.top_k is None else [Column(f"top {self.top_k}", 1, number=True)]),
            Column("precision", 1, number=True),
            Column("recall", 1, number=True),
            Column("IoU", 2, number=True),
        ]
        if self.boxes is not None:
            columns += [Column("objects", 3, number=True), Column("AP", number=True)]
        table = Table(columns)
        for each, figures in zip(self.classes, self._figures, strict=True):
            cells = each.cells
            if each.number in self._silent:
                continue
            row = [each.name, str(cells.true), str(cells.right)]
            row += [] if each.in_top_k is None else [str(each.in_top_k)]
            row += map(_text, (cells.precision, cells.recall, figures.iou))
            if self.boxes is not None:
                objects = "" if each.boxes is None else str(each.boxes.objects)
                row += [objects, _text(each.average_precision)]
            table.add(*row)
        return table

    @cached_property
    def _silent(self) -> frozenset[int]:
        """The classes that nothing is of and nothing got: of a thousand often most."""
        missed = {name for name, _ in self.missed}

        def says_something(each: ClassScore) -> bool:
            counts = [(part.true, part.given) for part in (each.cells, each.pixels) if part]
            if each.boxes is not None:
                counts.append((each.boxes.objects, each.boxes.total))
            return any(map(any, counts)) or not missed.isdisjoint(each.names)

        return frozenset(each.number for each in self.classes if not says_something(each))

    def lines(self) -> Iterator[str]:
        """What there is to say besides the table."""
        accuracy = _text(self.accuracy) or "of no cell"
        if self.top_k_accuracy is not None:
            accuracy += f", top-{self.top_k} accuracy {_text(self.top_k_accuracy)}"
        yield f"accuracy {accuracy}; {self._counted()}"
        yield size_line(self.size)
        if self._silent:
            yield f"not in the table: {counted(len(self._silent), 'class')} that nothing is or got"
        yield from missed_lines(self.missed)
        over = "the masks' pixels" if self.pixels is not None else "cells"
        if self.mean_iou is not None:
            yield f"mean IoU {_text(self.mean_iou)}, of {over}"
        if self.boxes is not None:
            precision = _text(self.mean_average_precision) or "of no object"
            yield f"mean AP {precision}, of boxes that share half of their union with an object"
        if self.false_finds is not None:
            what = "boxes of no object" if self.boxes is not None else "cells of the background"
            yield f"false finds {_text(self.false_finds)} an image: {what}"

    def _counted(self) -> str:
        cells = self.cells
        return f"{counted(cells.counted, 'cell')} of a class, {cells.ignored} that do not count"

    def __str__(self) -> str:
        right = sum(each.right for each in self.cells.figures)
        failed = f", {len(self.failed)} failed" if self.failed else ""
        pictures = counted(len(self.pictures), "picture")
        return f"{pictures}{failed}: {right} of {counted(self.cells.counted, 'cell')} right"

    def _repr_html_(self) -> str:
        notes = (f"note: {note}" for note in self.notes)
        lines = "\n".join(html.escape(line) for line in (*self.lines(), *notes))
        return f"<p>{html.escape(str(self))}</p>\n{self.table().html()}\n<pre>{lines}</pre>"


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _part(count: int | None, whole: int) -> float | None:
    return count / whole if whole and count is not None else None


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
