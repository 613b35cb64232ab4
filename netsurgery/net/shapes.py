"""The shape of every blob and param of a net, by Caffe 1.0's own arithmetic.

A layer type that is not understood makes the shapes behind it unknown, with the reason, and no
more: what does not depend on it is still told. So does a layer of a fork of Caffe that is not as
the fork's definition has it: another fork may have it so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

from netsurgery.errors import NetError, PrototxtError
from netsurgery.net import fork_rules, shape_rules
from netsurgery.net.known_fields import suspect
from netsurgery.net.net import MAX_DIM, Layer, Net, Shape

__all__ = ["Shapes", "describe", "infer", "rule_of"]


@dataclass(frozen=True)
class Shapes:
    """What `infer` found.

    blobs: every blob's shape, in file order; a blob whose shape cannot be told is not in it.
    params: for every layer with params, the shape of each; of several layers of one name those of
    the first, which is the one that Caffe loads params into.
    unknown: blob -> why its shape cannot be told.
    faults: blob -> the error of the fork's layer on which that is.
    """

    blobs: dict[str, Shape] = field(default_factory=dict)
    params: dict[str, tuple[Shape, ...]] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)
    faults: dict[str, PrototxtError] = field(default_factory=dict)
    _own: dict[int, tuple[Shape, ...]] = field(default_factory=dict, repr=False)

    def params_of(self, layer: Layer) -> tuple[Shape, ...]:
        """The shapes of the layer's own params, () where it has none or they are not known."""
        return self._own.get(layer.index, ())

    def of(self, blob: str) -> Shape:
        """The blob's shape. Raises NetError with the reason where it cannot be told.

        Where a fork's layer is at fault it raises that layer's PrototxtError.
        """
        if blob not in self.blobs:
            if blob in self.faults:
                raise self.faults[blob]
            why = self.unknown.get(blob, "the net has no such blob")
            raise NetError(f"the shape of blob {blob!r} is not known: {why}")
        return self.blobs[blob]


def infer(net: Net, inputs: Mapping[str, Shape] | None = None) -> Shapes:
    """The shapes of `net` at the declared input shapes, or at those given in `inputs`.

    `inputs` may also give the tops of layers whose shapes no prototxt tells, such as a Data layer.
    Raises PrototxtError, naming the layer, where shapes contradict each other.
    """
    found = Shapes()
    for declared in net.inputs:
        shape = (inputs or {}).get(declared.name, declared.shape)
        if shape is None:
            found.unknown[declared.name] = "the prototxt declares no shape for this input"
        else:
            found.blobs[declared.name] = tuple(shape)
    for layer in net.layers:
        if layer.type != "Input":
            try:
                _infer_layer(layer, found, inputs or {})
            except PrototxtError as error:
                raise error.more(suspect(net, layer.name)) from None
    return found


def rule_of(kind: str) -> shape_rules.Rule | None:
    """The rule of a layer type, of Caffe 1.0's or a fork's; None for one that is not known."""
    return shape_rules.RULES.get(kind) or fork_rules.RULES.get(kind)


def _infer_layer(layer: Layer, found: Shapes, given: Mapping[str, Shape]) -> None:
    missing = [bottom for bottom in layer.bottoms if bottom not in found.blobs]
    rule = rule_of(layer.type)
    fault: PrototxtError | None = None
    if rule is None:
        why = f"layer {layer.name!r} is of type {layer.type}, which Caffe 1.0 gives no fixed shape"
    elif missing:
        why = found.unknown.get(missing[0], f"its source {missing[0]!r} is not known")
        fault = found.faults.get(missing[0])
    else:
        try:
            bottoms = [found.blobs[bottom] for bottom in layer.bottoms]
            _keep(layer, *_ruled(rule, layer, bottoms), found)
            return
        except PrototxtError as error:
            if layer.type in shape_rules.RULES:
                raise
            why, fault = error.what, error
    for top in layer.tops:
        found.blobs.pop(top, None)
        if top in given:
            found.blobs[top] = tuple(given[top])
            continue
        found.unknown[top] = why
        if fault is not None:
            found.faults[top] = fault


def _ruled(rule: shape_rules.Rule, layer: Layer, bottoms: list[Shape]) -> shape_rules.Result:
    try:
        return rule(layer, bottoms)
    except (IndexError, ValueError):  # the rule reached for a bottom or an axis that is not there
        shapes = ", ".join(map(describe, bottoms)) or "none"
        raise layer.error(f"found bottoms {shapes}; this layer takes more, or more axes") from None


def _keep(layer: Layer, tops: list[Shape], params: list[Shape], found: Shapes) -> None:
    for top, shape in zip(layer.tops, tops, strict=False):
        if any(dim < 0 for dim in shape):
            raise layer.error(f"its top {top!r} would be {describe(shape)}: the input is too small")
        if prod(shape) > MAX_DIM:
            raise layer.error(f"its top {top!r} would be {describe(shape)}: more than Caffe counts")
        found.blobs[top] = shape
    if params:
        found._own[layer.index] = tuple(params)
        found.params.setdefault(layer.name, tuple(params))


def describe(shape: Shape) -> str:
    """(1, 3, 227, 227) is "1x3x227x227"; a shape without axes is "a scalar"."""
    return "x".join(map(str, shape)) or "a scalar"
