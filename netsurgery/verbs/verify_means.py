"""Maps whose mean is the score of a classifier, as a conversion in front of a pooling gives them.

Which of the classifier's scores are such means is asked of its own conversion, so that it holds
whatever the layers of the map's net are called; where its cells lie says how they go together.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from netsurgery.errors import NetsurgeryError
from netsurgery.io.shape_text import shape_text
from netsurgery.net.field import ReceptiveField, fields
from netsurgery.net.net import NetDefinition, Shape
from netsurgery.net.shapes import infer
from netsurgery.verbs.verify_result import MeanCells, Unchecked

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

__all__ = ["Means", "mean_over", "plan_means"]


@dataclass(frozen=True)
class Means:
    """How outputs are compared of which the second net gives a map, and the first its mean.

    scores: blob of the first net -> the cells of its partner's map. behind: outputs made of such a
    score, which say nothing more. unchecked: those whose cells are others than the pooling took.
    """

    scores: dict[str, MeanCells] = field(default_factory=dict)
    behind: tuple[str, ...] = ()
    unchecked: tuple[Unchecked, ...] = ()

    def left(self, outputs: Mapping[str, str]) -> dict[str, str]:
        """The outputs without those that cannot be compared."""
        gone = {*self.behind, *(each.blob for each in self.unchecked)}
        return {blob: new for blob, new in outputs.items() if blob not in gone}

    def notes(self, new: NetDefinition, outputs: Mapping[str, str]) -> list[str]:
        """What is said of outputs that are made of a score."""
        if not self.scores:
            return []
        return [
            f"{new.prototxt.path}: {outputs[blob]!r} is taken of each cell of a map whose mean is "
            "compared, so that it is not compared itself"
            for blob in self.behind
        ]


def plan_means(
    nets: tuple[NetDefinition, NetDefinition],
    inputs: Mapping[str, str],
    shapes: Mapping[str, Shape],
    outputs: Mapping[str, str],
) -> Means:
    """The outputs that are means of maps.

    inputs, outputs: those of the first net -> of the second; shapes: what both are compared at.
    Where it is the first net that has the maps, its outputs are not compared: the two would be
    taken for different functions.
    """
    sizes = shapes, {inputs[name]: shape for name, shape in shapes.items()}
    try:
        old, new = (
            _Side(net, at, infer(net, at).blobs) for net, at in zip(nets, sizes, strict=True)
        )
    except NetsurgeryError:
        return Means()
    means = _means(old, new, outputs)
    if means.scores or means.unchecked:
        return means
    return _turned(old, new, outputs)


class _Side(NamedTuple):
    """One of the two nets, its inputs and its blobs as they are compared."""

    net: NetDefinition
    inputs: Mapping[str, Shape]
    blobs: Mapping[str, Shape]


def _turned(first: _Side, second: _Side, outputs: Mapping[str, str]) -> Means:
    """What cannot be compared because the map's net is the first."""
    back = {new: old for old, new in outputs.items()}
    means = _means(second, first, back)
    scores = [*means.scores, *(each.blob for each in means.unchecked)]
    unchecked = tuple(
        Unchecked(
            back[score],
            score,
            f"it is the mean over the first net's map {back[score]!r}; to compare the two, give "
            f"{second.net.prototxt.path} first",
            "output",
        )
        for score in scores
    )
    return Means({}, tuple(back[blob] for blob in means.behind), unchecked)


def _means(old: _Side, new: _Side, outputs: Mapping[str, str]) -> Means:
    maps = {
        blob: new_blob
        for blob, new_blob in outputs.items()
        if _is_score(old.blobs.get(blob, ()), new.blobs.get(new_blob, ()))
    }
    means = _mean_fields(old.net, old.inputs) if maps else {}
    known = fields(new.net, new.inputs) if means else {}
    scores: dict[str, MeanCells] = {}
    unchecked = []
    for blob, new_blob in maps.items():
        if blob not in means:
            continue
        cells = _cells(*means[blob], known.get(new_blob), new.blobs[new_blob][2:])
        if isinstance(cells, str):
            unchecked.append(Unchecked(blob, new_blob, cells, "output"))
        else:
            scores[blob] = cells
    compared = {*scores, *(each.blob for each in unchecked)}
    behind = tuple(blob for blob in maps if blob not in means and _reads(old.net, blob, compared))
    return Means(scores, behind, tuple(unchecked))


def mean_over(values: Array, cells: MeanCells) -> Array:
    """The means over a map's cells, N x C, of N x C x H x W."""
    import numpy as np

    rows, columns = (
        slice(0, (count - 1) * step + 1, step)
        for count, step in zip(cells.size, cells.step, strict=True)
    )
    means: Array = values[:, :, rows, columns].mean((2, 3), dtype=np.float64).astype(np.float32)
    return means


def _is_score(before: Shape, after: Shape) -> bool:
    """Whether one is N x K numbers, and the other has a map of each."""
    return (
        len(after) == 4
        and before[:2] == after[:2]
        and before[2:] in ((), (1, 1))
        and after[2:] != (1, 1)
    )


def _mean_fields(
    net: NetDefinition, shapes: Mapping[str, Shape]
) -> dict[str, tuple[ReceptiveField | None, Shape]]:
    """The scores of a classifier that are means of a map: where its cells lie, and how many."""
    from netsurgery.surgery.convolution.activation_map import without_pooling
    from netsurgery.surgery.convolution.plan import plan_convolution
    from netsurgery.surgery.convolution.size import TargetSize

    try:
        plan = without_pooling(plan_convolution(net, before_pooling=True), TargetSize())
        sizes, known = infer(plan.new, shapes).blobs, fields(plan.new, shapes)
    except NetsurgeryError:
        return {}
    names = {blob: plan.renames.get(blob, blob) for blob in net.blob_names}
    return {
        blob: (known.get(name), sizes[name][2:])
        for blob, name in names.items()
        if name in plan.activation_maps and name in sizes
    }


def _cells(
    field: ReceptiveField | None, size: Shape, new: ReceptiveField | None, new_size: Shape
) -> MeanCells | str:
    """Which cells of the new map the pooling took the mean of, or why that is not known."""
    height, width = size
    if field is None or new is None:
        # Nobody knows where they lie, so only a map of the same cells is one of these.
        if new_size == size:
            return MeanCells((height, width))
        return "where the cells of its map lie is not known"
    if not all(new.stride):
        return "the cells of its map all look at the same place"
    steps = [Fraction(a) / b for a, b in zip(field.stride, new.stride, strict=True)]
    within = all(
        (count - 1) * step < most for count, step, most in zip(size, steps, new_size, strict=True)
    )
    whole = all(step.denominator == 1 and step >= 1 for step in steps)
    if not whole or not within or (field.offset, field.size) != (new.offset, new.size):
        return (
            f"its map of {shape_text(new_size)} has other cells than the {shape_text(size)} that "
            "the pooling takes the mean of"
        )
    return MeanCells((height, width), (int(steps[0]), int(steps[1])))


def _reads(net: NetDefinition, blob: str, scores: Collection[str]) -> bool:
    maker = net.last_writer(blob)
    return maker is not None and any(bottom in scores for bottom in maker.bottoms)
