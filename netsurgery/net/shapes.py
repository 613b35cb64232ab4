"""The shape of every blob and param of a net, by Caffe 1.0's own arithmetic.

A layer type that is not known, and a field that its definition does not have, make the shapes
after it unknown, with the reason, and no more: what does not depend on it is still inferred. So
does a layer of a fork of Caffe that is not as the fork's definition has it: another fork may have
it so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import NamedTuple

from netsurgery.errors import NetError, PrototxtError
from netsurgery.io.argument_types import checks_arguments
from netsurgery.io.shape_text import shape_text
from netsurgery.io.size import as_shape
from netsurgery.io.terminal import joined
from netsurgery.io.wording import argument
from netsurgery.net import types
from netsurgery.net.known_fields import check_fields, unknown_fields
from netsurgery.net.layer import MAX_DIM, Layer, Shape
from netsurgery.net.net import NetDefinition
from netsurgery.net.smallest_size import TOO_SMALL
from netsurgery.net.types.record import NO_PARAMS, InputSource, Result, ShapeRule

__all__ = [
    "TOO_MANY",
    "Shapes",
    "ShapesAt",
    "UnknownShapes",
    "givable",
    "has_rule",
    "infer",
    "remedy",
    "unknown_shapes",
]

#: How what is wrong ends where a blob has more numbers than an int counts.
TOO_MANY = "more than Caffe counts"


@dataclass(frozen=True)
class Shapes:
    """What `infer` found.

    blobs: every blob's shape, in file order; a blob of unknown shape is not in it.
    params: for every layer with params, the shape of each; of several layers of one name those of
    the first, which is the one that Caffe loads params into.
    unknown: blob -> why its shape is unknown.
    faults: blob -> the error of the fork's layer on which that is.
    used: the blobs whose shapes were taken from those given to `infer`.
    origins: the blobs whose shapes are unknown themselves, not for that of another before them.

    >>> import netsurgery as ns
    >>> net = ns.Net("prototxt/digits_deploy.prototxt")
    >>> shapes = net.shapes({"data": (1, 1, 40, 40)})
    >>> conv1 = net.layers[1]
    >>> shapes.of("conv1"), shapes.params_of(conv1), shapes.why_no_params(conv1)
    ((1, 16, 36, 36), ((16, 1, 5, 5), (16,)), '')
    """

    blobs: dict[str, Shape] = field(default_factory=dict)
    params: dict[str, tuple[Shape, ...]] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)
    faults: dict[str, PrototxtError] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    origins: list[str] = field(default_factory=list)
    _opaque: dict[int, str] = field(default_factory=dict, repr=False)
    _own: dict[int, tuple[Shape, ...]] = field(default_factory=dict, repr=False)

    def params_of(self, layer: Layer) -> tuple[Shape, ...]:
        """The shapes of the layer's own params, () where it has none or they are not known."""
        return self._own.get(layer.index, ())

    def why_no_params(self, layer: Layer) -> str:
        """Why it is not known whether the layer has params; "" where it is."""
        return "" if types.params(layer) == NO_PARAMS else self._opaque.get(layer.index, "")

    def _begin(self, blob: str, what: str) -> None:
        self.unknown[blob] = f"{what}; {remedy(blob)}"
        self.origins.append(blob)

    @checks_arguments()
    def of(self, blob: str) -> Shape:
        """The blob's shape. Raises NetError with the reason where it is unknown.

        Where a fork's layer is at fault it raises that layer's PrototxtError.
        """
        if blob not in self.blobs:
            if blob in self.faults:
                raise self.faults[blob]
            why = self.unknown.get(blob, "the net has no such blob")
            raise NetError(f"the shape of blob {blob!r} is not known: {why}")
        return self.blobs[blob]


class UnknownShapes(NamedTuple):
    """Blobs whose shapes are not known, for one and the same reason."""

    reason: str
    blobs: tuple[str, ...]

    def __str__(self) -> str:
        return f"no shape of {joined([repr(blob) for blob in self.blobs])}: {self.reason}"


def unknown_shapes(shapes: Shapes) -> tuple[UnknownShapes, ...]:
    """Each reason once, with the blobs it holds for."""
    reasons: dict[str, list[str]] = {}
    for blob, reason in shapes.unknown.items():
        reasons.setdefault(reason, []).append(blob)
    return tuple(UnknownShapes(reason, tuple(blobs)) for reason, blobs in reasons.items())


def infer(net: NetDefinition, inputs: Mapping[str, Shape] | None = None) -> Shapes:
    """The shapes of `net` at the declared input shapes, or at those given in `inputs`.

    `inputs`, and the shapes of the net's state, may also give the tops of data layers, and tops
    whose shapes would be unknown. A layer of an unknown type in place keeps the shape of its blob,
    as every layer of Caffe does. Raises PrototxtError, naming the layer, where shapes contradict
    each other, and NetError for a shape in the net's state that fits no blob.
    """
    specified = dict(net.state.shapes)
    for name, each in (inputs or {}).items():
        specified[name] = as_shape(each, f"input {name!r}")
    for blob, shape in specified.items():
        if prod(shape) > MAX_DIM:
            raise NetError(f"input {blob!r} of {shape_text(shape)}: {TOO_MANY}")
    shapes = Shapes()
    for declared in net.inputs:
        if not _take_given(declared.name, shapes, specified):
            if declared.shape is None:
                shapes._begin(declared.name, "the prototxt declares no shape for this input")
            else:
                shapes.blobs[declared.name] = declared.shape
    for layer in net.layers:
        if types.is_input(layer):
            continue
        if types.source(layer) is InputSource.DATA:
            _infer_data(net, layer, shapes, specified)
        else:
            _infer_layer(layer, shapes, specified)
    for blob, _ in net.state.shapes:
        if blob not in shapes.used:
            names = ", ".join(map(repr, givable(net, shapes))) or "none"
            raise NetError(
                f"{net.prototxt.path}: a shape is given for {blob!r}, expected an input, the top "
                f"of a data layer or a blob whose shape is not known: {names}{net.stage_hint}"
            )
    return shapes


class ShapesAt:
    """The shapes of one net at several sizes of its inputs, each inferred once."""

    def __init__(self, net: NetDefinition) -> None:
        self.net = net
        self._inferred: dict[tuple[tuple[str, Shape], ...], Shapes] = {}

    def __call__(self, inputs: Mapping[str, Shape] | None = None) -> Shapes:
        """What `infer` finds; `inputs` may name blobs at the shapes they have anyway."""
        own = self._inferred.get(())
        if own is None:
            own = self._inferred[()] = infer(self.net)
        new = {
            blob: shape for blob, shape in (inputs or {}).items() if own.blobs.get(blob) != shape
        }
        # Without the shapes that change nothing: one inference serves all spellings of a size.
        key = tuple(sorted(new.items()))
        if key not in self._inferred:
            self._inferred[key] = infer(self.net, new)
        return self._inferred[key]


def givable(net: NetDefinition, shapes: Shapes) -> tuple[str, ...]:
    """The blobs whose shapes may be given: inputs, data layers' tops, and those not known."""
    tops = [
        top for layer in net.layers if types.source(layer) is InputSource.DATA for top in layer.tops
    ]
    specified = [blob for blob, _ in net.state.shapes if blob in shapes.used]
    return tuple(dict.fromkeys([*(i.name for i in net.inputs), *tops, *shapes.origins, *specified]))


def has_rule(layer: Layer) -> bool:
    """Whether the shapes of the layer's tops follow from those of its bottoms."""
    record = types.of(layer)
    return record is not None and record.shapes is not None


def remedy(blob: str) -> str:
    """How the shape of `blob` can be given: what every report of an unknown shape ends with."""
    return argument(f"--input-shape {blob}=NxCxHxW") + " gives it"


def _infer_data(
    net: NetDefinition, layer: Layer, result: Shapes, specified: Mapping[str, Shape]
) -> None:
    what = f"this is a training net, whose layer {layer.name!r} ({layer.type}) reads it from files"
    record = types.of(layer)
    shapes: Sequence[Shape | None] = (None,) * len(layer.tops)
    try:
        if record is not None and record.shapes is not None:
            shapes, _ = record.shapes(layer, [])
    except PrototxtError as error:  # who runs the net by its own data finds out
        what = error.what
    for top, shape in zip(layer.tops, shapes, strict=True):
        if _take_given(top, result, specified):
            continue
        if shape is None:
            result._begin(top, what + net.deploy_hint)
        else:
            _keep_top(layer, top, shape, result)


def _infer_layer(layer: Layer, shapes: Shapes, specified: Mapping[str, Shape]) -> None:
    missing = [bottom for bottom in layer.bottoms if bottom not in shapes.blobs]
    record = types.of(layer)
    rule = record.shapes if record else None
    if rule is not None and not missing:
        try:
            # Before the rule: a misspelled field would silently leave the default.
            check_fields(layer)
            bottoms = [shapes.blobs[bottom] for bottom in layer.bottoms]
            _keep(layer, *_ruled(rule, layer, bottoms), shapes, specified)
        except PrototxtError as error:
            # Only Caffe's own definition is certain; a fork's layer may be another fork's.
            if types.is_stock(layer) and not unknown_fields(layer):
                raise
            what = f"line {error.line}: {error.what}"
            _give_up(layer, layer.tops, shapes, specified, what, error)
        return
    # Here a rule lacks a bottom; without a rule a layer in place only hands on what it lacks.
    if rule is not None or (missing and layer.in_place):
        _pass_on(layer, missing[0], shapes, specified)
        return
    what = f"layer {layer.name!r} is of type {layer.type}, which Caffe 1.0 gives no fixed shape"
    _give_up(layer, layer.new_tops, shapes, specified, what)  # in place nothing is reshaped


def _give_up(
    layer: Layer,
    tops: Sequence[str],
    shapes: Shapes,
    specified: Mapping[str, Shape],
    what: str,
    fault: PrototxtError | None = None,
) -> None:
    """Note `what` makes the shapes of `tops`, and the layer's params, unknown."""
    shapes._opaque[layer.index] = what
    for top in tops:
        if not _take_given(top, shapes, specified):
            shapes._begin(top, what)
            if fault is not None:
                shapes.faults[top] = fault


def _pass_on(layer: Layer, missing: str, shapes: Shapes, specified: Mapping[str, Shape]) -> None:
    """Note that the shapes of the layer's tops are unknown for the reason that `missing` is."""
    why = shapes.unknown.get(missing, f"its source {missing!r} is not known")
    shapes._opaque[layer.index] = why
    for top in layer.tops:
        shapes.blobs.pop(top, None)
        if top in specified:
            shapes.blobs[top] = specified[top]
            continue
        shapes.unknown[top] = why
        if missing in shapes.faults:
            shapes.faults[top] = shapes.faults[missing]


def _take_given(top: str, shapes: Shapes, specified: Mapping[str, Shape]) -> bool:
    """Whether the shape of `top` is given; what was known of a blob of that name goes."""
    shapes.blobs.pop(top, None)
    if top in specified:
        shapes.used.add(top)
        shapes.blobs[top] = specified[top]
    return top in specified


def _ruled(rule: ShapeRule, layer: Layer, bottoms: list[Shape]) -> Result:
    try:
        return rule(layer, bottoms)
    except (IndexError, ValueError):  # the rule reached for a bottom or an axis that is not there
        shapes = ", ".join(map(shape_text, bottoms)) or "none"
        raise layer.error(f"found bottoms {shapes}; this layer takes more, or more axes") from None


def _keep(
    layer: Layer,
    tops: Sequence[Shape | None],
    params: list[Shape],
    shapes: Shapes,
    specified: Mapping[str, Shape],
) -> None:
    for top, shape in zip(layer.tops, tops, strict=False):
        if shape is not None:
            _keep_top(layer, top, shape, shapes)
        elif not _take_given(top, shapes, specified):
            what = f"layer {layer.name!r} is of type {layer.type}, and it depends on the numbers"
            shapes._begin(top, f"{what} that the layer reads")
    if params:
        shapes._own[layer.index] = tuple(params)
        # Caffe loads a name's params into the first layer of that name.
        shapes.params.setdefault(layer.name, tuple(params))


def _keep_top(layer: Layer, top: str, shape: Shape, shapes: Shapes) -> None:
    if any(dim < 0 for dim in shape):
        raise layer.error(f"its top {top!r} would be {shape_text(shape)}: {TOO_SMALL}")
    if prod(shape) > MAX_DIM:
        raise layer.error(f"its top {top!r} would be {shape_text(shape)}: {TOO_MANY}")
    shapes.blobs[top] = shape
