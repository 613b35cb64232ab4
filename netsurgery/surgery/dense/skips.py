"""Finer maps that are added to a map before it is interpolated to pixels, as in FCN-16s and FCN-8s.

Of each named layer a Convolution of 1 x 1 makes scores, of zeros until it is trained. The map is
interpolated to the cells of the coarsest of these layers and added to its scores, what comes of it
to those of the next; where cells lie is worked out from the fields.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from netsurgery.errors import SurgeryError
from netsurgery.io.shape_text import stride_text
from netsurgery.io.wording import argument
from netsurgery.net.field import ReceptiveField
from netsurgery.net.net import Layer, NetDefinition, Shape
from netsurgery.surgery.dense.crops import CropNames, layer_text
from netsurgery.surgery.dense.interpolation import GridPlacement, Upsampling, interpolated
from netsurgery.surgery.plan import Refusal, misnamed, refuse

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Fusion", "Skip", "SkipScores", "find_skips", "fused"]


@dataclass(frozen=True)
class SkipScores:
    """A Convolution of 1 x 1 that makes `channels` scores of the `inputs` channels of a blob."""

    layer: str
    channels: int
    inputs: int

    @property
    def params(self) -> tuple[NDArray[np.float32], ...]:
        """Its weight and its bias, of zeros."""
        import numpy as np

        shapes = (self.channels, self.inputs, 1, 1), (self.channels,)
        return tuple(np.zeros(shape, "<f4") for shape in shapes)


@dataclass(frozen=True)
class Skip:
    """A layer named for a skip: its blob, of what shape, and where its cells lie."""

    name: str
    blob: str
    shape: Shape
    field: ReceptiveField


@dataclass(frozen=True)
class Fusion:
    """A map interpolated to the cells of `skip` and added to its scores, which is `blob`.

    padded: whether cells of 0 are put around the map before.
    """

    skip: Skip
    scores: SkipScores
    upsampling: Upsampling
    blob: str
    padded: bool


def find_skips(
    net: NetDefinition,
    names: Sequence[str],
    writer: Layer,
    field: ReceptiveField,
    shapes: Mapping[str, Shape],
    known: Mapping[str, ReceptiveField],
) -> tuple[Skip, ...]:
    """The layers of these names, coarsest first, for a map of `field` that `writer` makes.

    Raises SurgeryError, naming each that cannot be added to the map and why.
    """
    path = net.prototxt.path
    if twice := [name for name in names if names.count(name) > 1]:
        raise SurgeryError(f"{argument(f'--skip {twice[0]}')} is named twice")
    skips, refusals = [], []
    for name in names:
        if wrong := misnamed(net, name):
            refusals.append(wrong)
            continue
        layer = net.layer(name)
        blob = layer.tops[0] if layer.tops else ""
        place = known.get(blob)
        if why := _why_not(layer, blob, place, writer, field):
            refusals.append(Refusal(name, why))
        elif place is not None:
            skips.append(Skip(name, blob, shapes[blob], place))
    refuse(path, refusals)
    skips.sort(key=lambda skip: skip.field.stride, reverse=True)
    _check_order(path, skips, field)
    return tuple(skips)


def _why_not(
    layer: Layer, blob: str, place: ReceptiveField | None, writer: Layer, field: ReceptiveField
) -> str:
    """Why the layer cannot be added to a map, whatever the other skips are; "" where it can."""
    if not blob:
        return f"it ({layer.type}) makes no blob"
    if layer.index >= writer.index:
        return f"it does not come before layer {writer.name!r}, which makes the map"
    if place is None or place.input != field.input:
        return f"where the cells of {blob!r} lie is not known"
    return ""


def _check_order(path: str, skips: Sequence[Skip], field: ReceptiveField) -> None:
    """Refuse skips whose cells do not divide those before them."""
    refusals, before, of = [], field, "the map"
    for skip in skips:
        steps = _steps(before, skip.field)
        if any(step.denominator != 1 or step < 1 for step in steps) or set(steps) == {1}:
            refusals.append(Refusal(
                skip.name,
                f"its total stride is {stride_text(skip.field.stride)}; expected a smaller one "
                f"that divides that of {of}, {stride_text(before.stride)}",
            ))  # fmt: skip
        elif any(middle.denominator > 2 for middle in _first(before, skip.field)):
            refusals.append(Refusal(
                skip.name, f"the cells of {of} lie neither on its cells nor halfway between"
            ))  # fmt: skip
        before, of = skip.field, repr(skip.name)
    refuse(path, refusals)


def _steps(coarse: ReceptiveField, fine: ReceptiveField) -> tuple[Fraction, Fraction]:
    """How many cells of the finer map a cell of the coarse one is, along each axis."""
    if not all(fine.stride):
        return Fraction(0), Fraction(0)
    down, across = (a / b for a, b in zip(coarse.stride, fine.stride, strict=True))
    return down, across


def _first(coarse: ReceptiveField, fine: ReceptiveField) -> tuple[Fraction, Fraction]:
    """The middle of the coarse map's first cell, in cells of the finer one, by that one's edge."""
    row, column = (
        (a - b) / stride + Fraction(1, 2)
        for a, b, stride in zip(coarse.middle, fine.middle, fine.stride, strict=True)
    )
    return row, column


def fused(
    skips: Sequence[Skip],
    blob: str,
    shape: Shape,
    field: ReceptiveField,
    names: CropNames,
    rules: Sequence[str],
) -> tuple[tuple[Fusion, ...], list[str]]:
    """The map `blob` with the scores of all skips added to it, and the layers' text.

    shape, field: of the map. rules: see `rules_beside`.
    """
    fusions: list[Fusion] = []
    written: list[str] = []
    for skip in skips:
        scores = SkipScores(names.new(f"score_{skip.name}"), shape[1], skip.shape[1])
        written.append(_scores(scores, skip.blob, rules))
        placement = GridPlacement.of(
            _steps(field, skip.field), _first(field, skip.field), shape[2:], skip.shape[2:]
        )
        to = f"upscore_{skip.name}", f"upscore_{skip.name}_cropped"
        upsampling, layers = interpolated(blob, scores.layer, to, shape[1], placement, names, rules)
        top = names.new(f"fuse_{skip.name}")
        bottoms = [upsampling.blob, scores.layer]
        joined = "eltwise_param { operation: SUM }"
        written += [*layers, layer_text(top, 'type: "Eltwise"', bottoms, [top], joined, rules)]
        fusions.append(Fusion(skip, scores, upsampling, top, any(placement.pad)))
        blob, shape, field = top, (*shape[:2], *skip.shape[2:]), skip.field
    return tuple(fusions), written


def _scores(scores: SkipScores, blob: str, rules: Sequence[str]) -> str:
    param = (
        "param { lr_mult: 1 decay_mult: 1 }\n  param { lr_mult: 2 decay_mult: 0 }\n"
        f"  convolution_param {{ num_output: {scores.channels} kernel_size: 1 "
        'weight_filler { type: "constant" value: 0 } }'
    )
    return layer_text(scores.layer, 'type: "Convolution"', [blob], [scores.layer], param, rules)
