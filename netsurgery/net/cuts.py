"""Where a net can be cut in two, and its part between two cuts as a net of its own.

A cut is a blob through which all that comes after it depends on the input. The layers behind it can
then be run by themselves, over the map of that blob: its cells are their pixels, and padding,
rounded-up poolings and normalization lie as they lie within the net.

A chain of layers in place is cut at its end, and no cut lies before a layer that works cell by cell
(a ReLU, a Scale): engines join such a layer to the one before it, and then round otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from netsurgery.formats.prototxt import Prototxt, quoted
from netsurgery.net import types
from netsurgery.net.field import fields
from netsurgery.net.layer import Layer, Shape
from netsurgery.net.needed import needed, only_needed, without
from netsurgery.net.net import NetDefinition
from netsurgery.net.shapes import Shapes
from netsurgery.net.types.record import Space

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
    cuts: list[str] = []
    spacing = Fraction(1)
    for number, blob in _narrow_places(net, layers, blobs):
        field, ahead = known.get(blob), layers[number + 1 :]
        # Where nothing is left to be computed there is nothing to gain.
        if field is None or not ahead or field.stride[0] * field.stride[1] <= spacing:
            continue
        if _can_be_cut(blob, layers[: number + 1], ahead):
            cuts.append(blob)
            spacing = field.stride[0] * field.stride[1]
    return tuple(cuts)


def _narrow_places(
    net: NetDefinition, layers: Sequence[Layer], blobs: Sequence[str]
) -> list[tuple[int, str]]:
    """(number of a layer, blob) where of all made so far the later layers read that blob alone.

    Blobs that do not depend on an input can be made again, and do not count.
    """
    last = {blob: number for number, layer in enumerate(layers) for blob in layer.bottoms}
    dependent = {source.name for source in net.inputs}
    places = []
    for number, layer in enumerate(layers):
        if dependent.intersection(layer.bottoms):
            dependent.update(layer.tops)
        else:
            dependent.difference_update(layer.tops)
        read = [blob for blob in dependent if last.get(blob, -1) > number]
        if len(read) == 1 and read[0] in layer.tops:
            places.append((number, read[0]))
    return places


def _can_be_cut(blob: str, behind: Sequence[Layer], ahead: Sequence[Layer]) -> bool:
    """Whether the layers before a cut at `blob`, and those after it, can be run apart."""
    readers = [layer for layer in ahead if blob in layer.bottoms]
    if any(types.space(layer) is Space.POINTWISE for layer in readers):
        return False
    if any(blob in layer.tops for layer in ahead):
        return False
    return not _held(behind) & _held(ahead)


def _held(layers: Sequence[Layer]) -> set[str]:
    """The names by which layers find their params, and share them."""
    names = {layer.name for layer in layers} | {
        name for layer in layers for name in layer.param_names
    }
    return names - {""}


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
        part = only_needed(net, blobs)
        return part if part is net else replace(part, whole=net)
    pending, indices = set(blobs), set()
    for layer in reversed(net.layers):
        if (pending - {cut}).intersection(layer.tops):
            indices.add(layer.index)
            pending.difference_update(layer.tops)
            pending.update(layer.bottoms)
    root = net.prototxt.root
    declared = [value for name in _DECLARING for value in (f.value for f in root.all(name))]
    dropped = [layer.message for layer in net.layers if layer.index not in indices]
    blanked = without(net.prototxt, [*dropped, *declared])
    dims = " ".join(f"dim: {dim}" for dim in shape)
    text = f"{blanked.text}\ninput: {quoted(cut)} input_shape {{ {dims} }}\n"
    prototxt = replace(
        Prototxt.parse(text, blanked.path), bom=blanked.bom, original=blanked.original
    )
    return replace(NetDefinition.of(prototxt, replace(net.state, shapes=())), whole=net)


#: The fields of a net that declare inputs.
_DECLARING = ("input", "input_shape", "input_dim")
