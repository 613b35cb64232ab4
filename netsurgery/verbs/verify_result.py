"""What `verify` returns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from netsurgery.engines.contract import engine_record
from netsurgery.io.shape_text import shape_text, stride_text
from netsurgery.io.short_repr import ShortRepr
from netsurgery.io.table import Column, Table
from netsurgery.io.wording import counted
from netsurgery.net.net import Shape
from netsurgery.verbs.array_difference import Difference
from netsurgery.verbs.diff_result import ParamDifference
from netsurgery.verbs.verify_lines import (
    blob_line,
    map_lines,
    mean_lines,
    not_finite_line,
    reason_lines,
    verified_lines,
)

__all__ = [
    "BlobDifference",
    "MapCheck",
    "MapDifference",
    "MeanCells",
    "Unchecked",
    "Verification",
]

#: Of params with the same numbers.
_SAME = ("equal", "reshaped", "transposed", "reordered")
_STATUSES = (*_SAME, "different", "removed", "added")
_COLUMNS = (
    Column("output"),
    Column("in B", 3),
    Column("shape", 2),
    Column("max difference", 1, number=True),
    Column("relative", number=True),
)


@dataclass(frozen=True)
class MeanCells:
    """The cells of a map that a mean is over: rows and columns, each `step` cells apart."""

    size: tuple[int, int]
    step: tuple[int, int] = (1, 1)

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return {"map_size": list(self.size), "step": list(self.step)}

    def __str__(self) -> str:
        apart = "" if self.step == (1, 1) else f", {stride_text(self.step)} cells apart"
        return f"{shape_text(self.size)} cells{apart}"


@dataclass(frozen=True)
class BlobDifference:
    """A blob of the first net, its partner in the second, and how far apart they are.

    layer: the layer of the first net that makes the blob; "" for an input. mean: the cells of the
    partner whose mean was compared, where it is a map of such scores.
    """

    layer: str
    blob: str
    new_blob: str
    difference: Difference
    mean: MeanCells | None = None

    def to_json(self) -> dict[str, Any]:
        """The blob as plain values."""
        return {
            "layer": self.layer or None,
            "blob": self.blob,
            "new_blob": self.new_blob,
            "shape": list(self.difference.shape),
            "new_shape": list(self.difference.new_shape),
            **self.difference.to_json(),
            "not_finite": self.difference.not_finite,
            "mean_over": self.mean and self.mean.to_json(),
        }


@dataclass(frozen=True)
class MapCheck:
    """A map to compare: output `blob` of the classifier, and `new_blob` of the full-conv net.

    input, new_input: their inputs. window: the classifier's input, 1 x C x H x W; shape: the
    larger one. stride: input pixels from cell to cell (down, across). cells: rows and columns
    whose windows lie within the input. batch: windows that the classifier takes at once. reasons:
    why cells are not exactly the classifier's answers; without any they must be.
    """

    blob: str
    new_blob: str
    input: str
    new_input: str
    window: Shape
    shape: Shape
    stride: tuple[int, int]
    cells: tuple[int, int]
    batch: int
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class MapDifference:
    """How a map compares: in how many of the cells `compared` the top class agrees, and how far
    apart the numbers are."""

    check: MapCheck
    compared: int
    agreeing: int
    difference: Difference

    def joined(self, second: MapDifference) -> MapDifference:
        """Of two samples."""
        return replace(
            self,
            compared=self.compared + second.compared,
            agreeing=self.agreeing + second.agreeing,
            difference=self.difference.joined(second.difference),
        )

    def to_json(self) -> dict[str, Any]:
        """The map as plain values; None for what is infinite."""
        check = self.check
        return {
            "blob": check.blob,
            "new_blob": check.new_blob,
            "input_shape": list(check.shape),
            "window": list(check.window[2:]),
            "stride": list(check.stride),
            "map_size": list(check.cells),
            "cells": self.compared,
            "top_class_agrees": self.agreeing,
            **self.difference.to_json(),
            "inexact_because": list(check.reasons),
        }


@dataclass(frozen=True)
class Unchecked:
    """What could not be compared, outputs `blob` and `new_blob` as in `MapCheck`, and why.

    what: "map", or "output" where it is the outputs themselves.
    """

    blob: str
    new_blob: str
    why: str
    what: str = "map"

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        names = {"blob": self.blob, "new_blob": self.new_blob}
        return {**names, "what": self.what, "reason": self.why}

    def __str__(self) -> str:
        return f"{self.what} {self.new_blob}: could not be checked: {self.why}"


@dataclass(frozen=True, repr=False)
class Verification(ShortRepr):
    """What running two nets on the same inputs showed.

    engines: descriptions of what ran the first net and the second. engine_notes: why it is not the
    other engine, "" where there is nothing to say. inputs: the first net's, and the shapes at which
    both were run. pictures, random: how many of the samples were pictures and how many random
    numbers. outputs: of every output, and of what goes into a Softmax or the like that makes one
    (which would hide differences), the largest difference of all samples. first_difference: the
    first blob, in file order, that is further apart than `tolerance`; it may be internal, and no
    output with it. maps: of the outputs, where the second net is full-conv; unchecked: those that
    it gives of its own input, and outputs, that could not be compared. notes: what the user should
    know. not_finite: the first blob with numbers that are not finite in both nets.

    >>> import netsurgery as ns
    >>> net = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    >>> result = ns.verify(net, net, engine="embedded")
    >>> result.verified, len(list(result.lines())) > 0
    (True, True)
    >>> list(result.verified_lines())[-1]
    'verified: output prob agrees, to 0 relative'
    """

    engines: tuple[str, str]
    inputs: Mapping[str, Shape]
    pictures: int
    random: int
    tolerance: float
    outputs: tuple[BlobDifference, ...]
    first_difference: BlobDifference | None
    params: tuple[ParamDifference, ...]
    maps: tuple[MapDifference, ...]
    notes: tuple[str, ...] = ()
    unchecked: tuple[Unchecked, ...] = ()
    not_finite: BlobDifference | None = None
    engine_notes: tuple[str, str] = ("", "")

    @property
    def samples(self) -> int:
        """How many inputs were compared."""
        return self.pictures + self.random

    @property
    def same(self) -> bool:
        """Whether every output agrees, and every map compared that has no reason not to."""
        return not self.unequal_outputs and not self.unequal_maps

    @property
    def verified(self) -> bool:
        """Whether all agrees, and nothing was left that could not be compared."""
        return self.same and not self.unchecked

    @property
    def unequal_outputs(self) -> list[BlobDifference]:
        """The outputs that are further apart than the tolerance."""
        return [each for each in self.outputs if not each.difference.within(self.tolerance)]

    @property
    def unequal_maps(self) -> list[MapDifference]:
        """The maps that are, and have no reason to be."""
        return [
            each
            for each in self.maps
            if not each.check.reasons and not each.difference.within(self.tolerance)
        ]

    @property
    def explanation(self) -> str:
        """What differs, in a line; "" where nothing does."""
        first = self.first_difference
        if first is not None:
            words = f"blob {first.blob!r} of layer {first.layer!r} is the first that differs, "
            words += first.difference.why_infinite or f"by {first.difference.relative:.3g} relative"
            # The last: what goes into a Softmax comes before what it makes.
            return "; ".join((words, *map(_differs, self.unequal_outputs[-1:])))
        for each in self.unequal_outputs[:1]:
            if each.mean is None:
                return _differs(each)
            return (
                f"the mean of the map {each.new_blob!r} differs by "
                f"{each.difference.relative:.3g} relative from {each.blob!r}"
            )
        return "".join(
            f"cells of the map {each.check.new_blob!r} differ by {each.difference.relative:.3g} "
            "relative from the classifier on their windows"
            for each in self.unequal_maps[:1]
        )

    def to_json(self) -> dict[str, Any]:
        """What `verify --json` prints; None for infinite differences."""
        first, second = map(engine_record, self.engines, self.engine_notes)
        return {
            # Neither true nor false where what agrees is not all there is.
            "same": None if self.same and self.unchecked else self.same,
            "engines": {"first": first, "second": second},
            "inputs": {name: list(shape) for name, shape in self.inputs.items()},
            "samples": self.samples,
            "tolerance": self.tolerance,
            "outputs": [each.to_json() for each in self.outputs],
            "first_difference": self.first_difference and self.first_difference.to_json(),
            "first_not_finite": self.not_finite and self.not_finite.to_json(),
            "maps": [each.to_json() for each in self.maps],
            "unchecked": [each.to_json() for each in self.unchecked],
            "params": [
                {
                    "layer": param.layer,
                    "new_layer": param.new_layer,
                    "index": param.index,
                    "status": param.status,
                }
                for param in self.params
            ],
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        return f"{self._verdict()} (tolerance {self.tolerance:g} relative)"

    def _repr_html_(self) -> str:
        import html

        notes = (f"note: {note}" for note in self.all_notes)
        lines = "\n".join(html.escape(line) for line in (self.conditions, *self.lines(), *notes))
        verdict = html.escape(str(self))
        return f"<p>{verdict}</p>\n{self.table().html()}\n<pre>{lines}</pre>"

    def _verdict(self) -> str:
        """What was seen, which proves a difference but never that there is none."""
        if not self.same:
            return "not the same function"
        verdict = f"no difference in the outputs on {self._samples()}"
        if self.unchecked:
            # Outputs come after maps, and are the worse.
            what = self.unchecked[-1].what
            article = "an" if what == "output" else "a"
            verdict += f"; {article} {what} could not be checked, so the nets are not verified"
        if self.first_difference is not None:
            verdict += "; internal blobs differ while the outputs agree"
        if any(param.status not in _SAME for param in self.params):
            verdict += "; params differ"
        return verdict

    def _samples(self) -> str:
        kinds = (self.pictures, "picture"), (self.random, "random input")
        return " and ".join(counted(count, kind) for count, kind in kinds if count)

    @property
    def conditions(self) -> str:
        """What the nets were run on, and by which engines."""
        shapes = ", ".join(f"{name} {shape_text(shape)}" for name, shape in self.inputs.items())
        return f"{self._samples()} for {shapes}, by {' and '.join(dict.fromkeys(self.engines))}"

    def table(self) -> Table:
        """The outputs."""
        table = Table(_COLUMNS)
        for each in self.outputs:
            apart = each.difference
            shapes = shape_text(apart.shape), shape_text(apart.new_shape)
            numbers = (f"{apart.absolute:.3g}", f"{apart.relative:.3g}")
            if not apart.paired:
                numbers = "shapes differ", ""
            table.add(
                each.blob,
                each.new_blob,
                " -> ".join(dict.fromkeys(shapes)),
                *(("", "") if apart.empty else numbers),
            )
        return table

    def lines(self) -> Iterator[str]:
        """What there is to report beside the table: internal blobs, params, maps."""
        if self.first_difference is not None:
            yield f"first blob that differs: {blob_line(self.first_difference)}"
        if self.not_finite is not None:
            yield not_finite_line(self.not_finite)
        if self.params:
            yield f"params: {self._params()}"
        yield from mean_lines(self.outputs)
        for reasons, maps in groupby(self.maps, lambda each: each.check.reasons):
            for each in maps:
                yield from map_lines(each)
            yield from reason_lines(reasons)
        yield from map(str, self.unchecked)

    def verified_lines(self) -> Iterator[str]:
        """In short, for what was verified on the way and is the same."""
        yield from verified_lines(self.to_json())

    @property
    def all_notes(self) -> list[str]:
        """The notes, those on the engines first."""
        return list(dict.fromkeys((*filter(None, self.engine_notes), *self.notes)))

    def _params(self) -> str:
        statuses = Counter(param.status for param in self.params)
        counts = ", ".join(f"{statuses[word]} {word}" for word in _STATUSES if statuses[word])
        unlike = [f"{p.layer}[{p.index}]" for p in self.params if p.status not in _SAME]
        # Two more at least: "1 more" takes the room of the name it stands for.
        more = f", {len(unlike) - 4} more" if len(unlike) > 5 else ""
        shown = unlike[:4] if more else unlike
        return f"{counts} ({', '.join(shown)}{more})" if unlike else counts


def _differs(each: BlobDifference) -> str:
    why, by = each.difference.why_infinite, f" by {each.difference.relative:.3g}"
    return f"{each.blob!r} differs{f', {why}' if why else by}"
