"""Where a net can be cut in two, and its part between two cuts as a net of its own.

A cut is a blob through which all that comes after it depends on the input. The layers behind it can
then be run by themselves, over the map of that blob: its cells are their pixels, and padding,
rounded-up poolings and normalization lie as they lie within the net.

A chain of layers in place is cut at its end, and no cut lies before a layer that works cell by cell
(a ReLU, a Scale): engines join such a layer to the one before it, and then round otherwise. Nor
does one lie before a layer that adds the cut, or what is pooled of it, to another map, as at the
end of a residual block: ONNX Runtime joins it to a Convolution that made the other map, but only
where a Convolution made this one too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import accumulate

from netsurgery.formats.prototxt import quoted
from netsurgery.net import types
from netsurgery.net.field import fields
from netsurgery.net.layer import Layer, Shape
from netsurgery.net.needed import INPUT_FIELDS, needed, only_needed, without
from netsurgery.net.net import NetDefinition
from netsurgery.net.shapes import Shapes
from netsurgery.net.types.record import Space, Values

__all__ = ["find_cuts", "part_between"]


def find_cuts(net: NetDefinition, shapes: Shapes, blobs: Sequence[str]) -> tuple[str, ...]:
    """The cuts behind which the cells of the maps lie further apart than at any cut before.

    Behind its strides a net has fewer cells to keep, and what its layers see beyond them is less.
    net: no more than `blobs` need; shapes: its own. blobs: what is wanted; all that is behind a cut
    depends on it alone.

    >>> from netsurgery.net.shapes import infer
    >>> net = NetDefinition.read("prototxt/digits_deploy.prototxt")
    >>> find_cuts(net, infer(net), ["prob"])
    ('pool1', 'pool2', 'pool3')
    """
    layers, _ = needed(net, blobs)
    if len(layers) < sum(not types.is_input(layer) for layer in net.layers):
        return ()  # some are there for the params that others share with them
    known = fields(net, shapes=shapes)
    barriers = _Barriers.of(layers)
    cuts: list[str] = []
    spacing = Fraction(1)
    for number, blob in _narrow_places(net, layers):
        field = known.get(blob)
        # Where nothing is left to be computed there is nothing to gain.
        if field is None or number + 1 == len(layers) or barriers.between(number, blob):
            continue
        if field.stride[0] * field.stride[1] > spacing:
            cuts.append(blob)
            spacing = field.stride[0] * field.stride[1]
    return tuple(cuts)


def _narrow_places(net: NetDefinition, layers: Sequence[Layer]) -> Iterator[tuple[int, str]]:
    """(number of a layer, blob) where of all made so far the later layers read that blob alone.

    Blobs that do not depend on an input can be made again, and do not count.
    """
    last = {blob: number for number, layer in enumerate(layers) for blob in layer.bottoms}
    # Those that depend on an input and are read later: all that a later layer can ask for.
    pending = {source.name for source in net.inputs}.intersection(last)
    for number, layer in enumerate(layers):
        if pending.intersection(layer.bottoms):
            pending.update(top for top in layer.tops if top in last)
        else:
            pending.difference_update(layer.tops)
        done = [blob for blob in (*layer.bottoms, *layer.tops) if last.get(blob, -1) <= number]
        pending.difference_update(done)
        if len(pending) == 1 and not pending.isdisjoint(layer.tops):
            yield number, next(iter(pending))


@dataclass(frozen=True)
class _Barriers:
    """What keeps the layers up to a number and those after it from being run apart.

    pointwise: blob -> the last layer that works on it cell by cell; written: blob -> the last that
    writes it; added: blob -> the last that adds it, or what layers without weights make of it;
    held: for each layer, the last that has a name of it or of one before, by which layers find
    their params, and share them.
    """

    pointwise: Mapping[str, int]
    written: Mapping[str, int]
    added: Mapping[str, int]
    held: Sequence[int]

    @classmethod
    def of(cls, layers: Sequence[Layer]) -> _Barriers:
        """Those of all places, from one look at each layer."""
        pointwise: dict[str, int] = {}
        written: dict[str, int] = {}
        holders: dict[str, int] = {}
        names = [{layer.name, *layer.param_names} - {""} for layer in layers]
        for number, layer in enumerate(layers):
            written.update(dict.fromkeys(layer.tops, number))
            holders.update(dict.fromkeys(names[number], number))
            if types.space(layer) is Space.POINTWISE:
                pointwise.update(dict.fromkeys(layer.bottoms, number))
        last = (max((holders[name] for name in each), default=-1) for each in names)
        return cls(pointwise, written, _added(layers), tuple(accumulate(last, max)))

    def between(self, number: int, blob: str) -> bool:
        """Whether one lies between the layer of that number, which gives `blob`, and the next."""
        of_blob = (self.pointwise, self.written, self.added)
        return max(self.held[number], *(each.get(blob, -1) for each in of_blob)) > number


def _added(layers: Sequence[Layer]) -> dict[str, int]:
    """`_Barriers.added`, in one pass from the end."""
    added: dict[str, int] = {}
    for number in reversed(range(len(layers))):
        layer = layers[number]
        if types.space(layer) is Space.JOINING and types.values(layer) is not Values.MOVED:
            last = number
        elif types.layout(layer) is None:
            last = max((added.get(top, -1) for top in layer.tops), default=-1)
        else:
            last = -1
        for bottom in layer.bottoms:
            added[bottom] = max(last, added.get(bottom, -1))
    return added


def part_between(
    net: NetDefinition, cut: str | None, shape: Shape, blobs: Sequence[str]
) -> NetDefinition:
    """The part of the net that gives `blobs` from the blob `cut`, its one input, of `shape`.

    cut: None for the net's own input; the part is the net itself where all of it is needed. Its
    text has blanks for what is left out, so that places are those of the file.

    >>> net = NetDefinition.read("prototxt/digits_deploy.prototxt")
    >>> part = part_between(net, "pool3", (1, 48, 2, 2), ["prob"])
    >>> [layer.name for layer in part.layers], part.inputs[0].shape
    (['ip1', 'relu4', 'drop1', 'ip2', 'prob'], (1, 48, 2, 2))
    """
    if cut is None:
        return only_needed(net, blobs)
    indices = {layer.index for layer in needed(net, blobs, cut)[0]}
    root = net.prototxt.root
    declared = [field.value for name in INPUT_FIELDS for field in root.all(name)]
    dropped = [layer.message for layer in net.layers if layer.index not in indices]
    dims = " ".join(f"dim: {dim}" for dim in shape)
    declaration = f"\ninput: {quoted(cut)} input_shape {{ {dims} }}\n"
    prototxt = without(net.prototxt, [*dropped, *declared], declaration)
    return NetDefinition.of(prototxt, replace(net.state, shapes=()))
