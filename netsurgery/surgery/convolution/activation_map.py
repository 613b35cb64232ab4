"""A conversion whose net gives the map that a global pooling took the mean of.

A mean and the layers of a classifier behind it are linear, so they may change places: of the map
in front of the pooling each cell gets the classifier's scores, and the mean of these over the map
is the score that the classifier gave. Such a map is called a class activation map. The pooling is
removed; no param changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import ceil

from netsurgery.errors import PrototxtError, SurgeryError
from netsurgery.formats.prototxt import Prototxt
from netsurgery.io.shape_text import shape_text
from netsurgery.io.terminal import joined
from netsurgery.io.wording import argument
from netsurgery.net import types
from netsurgery.net.field import fields
from netsurgery.net.net import Layer, NetDefinition, Shape
from netsurgery.net.shapes import Shapes, ShapesAt, infer
from netsurgery.net.types.record import Values
from netsurgery.surgery.convolution.map_size import MapOf, size_for_cells
from netsurgery.surgery.convolution.plan import ConvolutionPlan, with_inputs
from netsurgery.surgery.convolution.positions import compares_with_labels, is_pointwise
from netsurgery.surgery.convolution.removal import Removal
from netsurgery.surgery.convolution.size import (
    Resize,
    TargetSize,
    check_target,
    compared_with_labels,
)
from netsurgery.surgery.convolution.text import without_layers
from netsurgery.surgery.plan import Refusal, refuse

__all__ = ["without_pooling"]

_WITHOUT = "without {} it becomes a window that slides"


def without_pooling(plan: ConvolutionPlan, target: TargetSize) -> ConvolutionPlan:
    """The conversion, made with `before_pooling`, without the net's global poolings.

    target: of the new input, which else keeps its old size. Raises SurgeryError naming each layer
    that stands in the way and why.
    """
    path = plan.net.prototxt.path
    old = with_inputs(plan.new, {each.name: (1, *each.old[1:]) for each in plan.inputs})
    shapes = infer(old)
    gone = [old.layer(name) for name in plan.windows]
    if not gone:
        refuse(path, [_no_pooling(plan)])
    scores = _MeanBlobs(old, shapes, gone, {move.target: move.layer for move in plan.moves})
    removal = Removal(old)
    removal.need(gone)
    refuse(path, [*scores.refusals, *removal.finish()[2]])
    text, renames = without_layers(old.prototxt, gone)
    new = NetDefinition.of(Prototxt.parse(text, path), old.state)
    after = _new_shapes(path, new, shapes, gone)
    maps = tuple(dict.fromkeys(renames.get(blob, blob) for blob in scores.blobs))
    inputs = _inputs(plan, new, after, maps[-1], target)
    new = with_inputs(new, {each.name: each.new for each in inputs})
    after = _new_shapes(path, new, shapes, gone)
    return replace(
        plan,
        new=new,
        windows={},
        removed=(*plan.removed, *(layer.name for layer in gone)),
        inputs=tuple(inputs),
        maps={blob: after.blobs[blob] for blob in new.outputs if after.blobs.get(blob)},
        renames={blob: renames.get(name, name) for blob, name in plan.renames.items()} | renames,
        notes=(*plan.notes, *_notes(plan, new, maps)),
        activation_maps=maps,
    )


def _no_pooling(plan: ConvolutionPlan) -> Refusal:
    """Why there is no map in front of a global pooling: what looks at the last map instead."""
    move = next((move for move in plan.moves if move.new[0][2:] != (1, 1)), plan.moves[0])
    kernel = shape_text(move.new[0][2:])
    return Refusal(
        move.layer,
        f"it looks at a map of {kernel} with weights for each place, and no global pooling takes "
        "its mean: there is no map before one",
        f"convert without {argument('--before-pooling')}",
    )


def _new_shapes(path: str, net: NetDefinition, before: Shapes, gone: list[Layer]) -> Shapes:
    """The shapes of the new net, whose params are those of `before`."""
    names = joined([repr(layer.name) for layer in gone])
    try:
        after = infer(net)
    except PrototxtError as error:
        raise SurgeryError(f"{path}: without {names}: {error.what}") from None
    refuse(path, [
        Refusal(layer, f"without {names} its params would change their shape")
        for layer, params in before.params.items()
        if after.params.get(layer) != params
    ])  # fmt: skip
    return after


@dataclass
class _MeanBlobs:
    """Which blobs of a net are linear in what its global poolings give, and so are means over maps.

    means: all of them, in the net's order. refusals: what stands in the way.
    """

    net: NetDefinition
    shapes: Shapes
    gone: list[Layer]
    #: a converted layer's name -> that of the author.
    names: Mapping[str, str]
    means: dict[str, None] = field(default_factory=dict, init=False)
    #: those that go on into a later one.
    passed: set[str] = field(default_factory=set, init=False)
    refusals: list[Refusal] = field(default_factory=list, init=False)
    #: blob -> the first layer before it that is not linear.
    past: dict[str, Layer] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        for layer in self.net.layers:
            self._step(layer)

    @property
    def blobs(self) -> list[str]:
        """The last of the means, which the classifier's scores are."""
        return [blob for blob in self.means if blob not in self.passed]

    def _step(self, layer: Layer) -> None:
        reads = [bottom for bottom in layer.bottoms if bottom in self.means]
        spoiled = next((self.past[bottom] for bottom in layer.bottoms if bottom in self.past), None)
        linear = spoiled is None and bool(reads) and _is_linear(layer, self.shapes, reads)
        if layer in self.gone:
            linear = self._pools_mean(layer)
        elif not linear and (reads or spoiled):
            self._refuse(layer, spoiled)
        for top in layer.tops:
            self.past.pop(top, None)
            if linear:
                self.means[top] = None
            elif (reads or spoiled) and layer not in self.gone:
                self.past[top] = spoiled or layer
        if linear:
            self.passed.update(reads)
            self.passed.difference_update(layer.tops)

    def _pools_mean(self, layer: Layer) -> bool:
        if types.pooled_by(layer) == "SUM":
            return True
        self.refusals.append(Refusal(
            layer.name,
            "it does not pool by AVE: the classifier's score is no mean over the map before it",
            _WITHOUT.format(argument("--before-pooling")),
        ))  # fmt: skip
        return False

    def _refuse(self, layer: Layer, spoiled: Layer | None) -> None:
        """A layer with weights may not read what is no longer a mean, nor take it over cells."""
        name = self.names.get(layer.name, layer.name)
        weighs = types.layout(layer) is not None
        if compares_with_labels(layer):
            self.refusals.append(compared_with_labels(layer))
        elif spoiled is None and weighs:
            why = f"{layer.type} sees more than one cell of the map that is no longer pooled"
            self.refusals.append(Refusal(name, why))
        elif spoiled is not None and weighs:
            why = (
                f"{spoiled.type} between the pooling and {name!r} is not linear: the score "
                "would be no mean over the map"
            )
            self.refusals.append(Refusal(spoiled.name, why))
        elif layer.in_place:
            why = f"{layer.type} works in place on the scores, and no blob would have them"
            self.refusals.append(Refusal(name, why))


def _is_linear(layer: Layer, shapes: Shapes, reads: list[str]) -> bool:
    """Whether the layer does the same at every cell, and to a mean what it does to each number.

    reads: those of its bottoms that are means.
    """
    record = types.of(layer)
    if record is None:
        return False
    if types.layout(layer) is not None:
        size = shapes.blobs.get(layer.bottoms[0], ())[2:]
        window = record.window(layer, size) if record.window and len(size) == 2 else None
        if window is None or len(layer.bottoms) != 1:
            return False
        return window.kernel == (1, 1) == window.stride and not any(window.pad)
    if record.affine is not None:
        return len(layer.bottoms) == len(reads) == 1
    if types.values(layer) in (Values.KEPT, Values.PASSED, Values.MOVED):
        return True
    if types.is_a(layer, types.SCALING_DROPOUT):  # one factor for all
        return True
    return types.is_a(layer, types.ELTWISE) and types.adds(layer) and is_pointwise(layer)


def _inputs(
    plan: ConvolutionPlan, new: NetDefinition, after: Shapes, blob: str, target: TargetSize
) -> list[Resize]:
    """The inputs at the size asked for, or at their old one, and what a cell of `blob` sees."""
    if target != TargetSize():
        check_target(plan.net, [each.name for each in plan.inputs], target)
    return [_input(each, new, after, blob, target) for each in plan.inputs]


def _input(
    each: Resize, new: NetDefinition, after: Shapes, blob: str, target: TargetSize
) -> Resize:
    known = fields(new, of=each.name, shapes=after).get(blob)
    size, stride = target.input_size or each.size, None if known is None else known.stride
    if target.map_size is not None:
        if stride is None:
            raise SurgeryError(
                f"{new.prototxt.path}: the total stride of {blob!r} is not known, so no input size "
                f"follows from {argument('--map-size')}; give {argument('--input-size')}"
            )
        sources: Mapping[str, Shape] = {
            declared.name: after.blobs[declared.name] for declared in new.inputs
        }
        of = MapOf(ShapesAt(new), each.name, blob, sources)
        size = size_for_cells(of, each.size, stride, target.map_size)
    sees = None if known is None else (ceil(known.size[0]), ceil(known.size[1]))
    return each._replace(new=(1, each.old[1], *size), stride=stride, field=sees)


def _notes(plan: ConvolutionPlan, new: NetDefinition, maps: tuple[str, ...]) -> list[str]:
    sizes = [
        f"global pooling {name!r}, of {shape_text(size)}, is removed: the map has a cell for each "
        "place that it pooled"
        for name, size in plan.windows.items()
    ]
    means = [
        f"the mean of {blob!r} over its cells is the classifier's score, at the old input size"
        for blob in maps
    ]
    behind = [
        f"{layer.type} {layer.name!r} is taken of each cell; {argument('--blob')} {blob} gives the "
        "scores"
        for layer in new.layers
        for blob in maps
        if blob in layer.bottoms and not layer.in_place and not types.is_a(layer, types.ARGMAX)
    ]
    return [*sizes, *means, *behind]
