"""Which layers treat every position of a map alike, so that they may stand after one.

After an InnerProduct there was one vector for each image; after the Convolution that takes its
place there is one for each cell. A layer may follow if it does to each cell what it did to the
one vector.
"""

from __future__ import annotations

from collections.abc import Collection

from netsurgery.formats.textformat import Scalar
from netsurgery.io.wording import with_article
from netsurgery.net import types
from netsurgery.net.known_fields import unknown_fields
from netsurgery.net.net import Layer, NetDefinition, Shape
from netsurgery.net.shapes import Shapes
from netsurgery.net.types.axes import axis_of
from netsurgery.net.types.record import Channels, Role, Space, Values

__all__ = [
    "compares_with_labels",
    "cuts_maps",
    "field_fault",
    "is_map",
    "is_pointwise",
    "mixes_positions",
    "whole_map_layers",
    "why_not_behind",
]


def mixes_positions(layer: Layer) -> bool:
    """Whether it moves numbers from position to position, or may.

    An unknown type in place keeps the shape of its blob, and is kept as it is; one without bottoms
    has nothing to move.
    """
    space, reads = types.space(layer), bool(layer.bottoms) and not layer.in_place
    return space is Space.MIXING or (space is Space.UNKNOWN and reads)


def cuts_maps(layer: Layer, shapes: Shapes) -> bool:
    """Whether it joins maps along height or width, or cuts them there into equal parts.

    Where its cells lie then changes with the size of the map; it does not at points that are given.
    """
    sizes = {
        shape[2:]
        for blob in (*layer.bottoms, *layer.tops)
        for shape in (shapes.blobs.get(blob, ()),)
        if len(shape) == 4
    }
    cuts = types.channels(layer) is Channels.ALONG and types.values(layer) is Values.MOVED
    points = layer.param(types.message_of(layer) or "").scalars("slice_point")
    return cuts and len(sizes) > 1 and not points


def _looks_at_all(layer: Layer, shapes: Shapes) -> bool:
    """Whether each cell depends on the whole map, or on its whole row or column."""
    if types.space(layer) is Space.WHOLE:
        return True
    shape = shapes.blobs.get(layer.bottoms[0], ()) if layer.bottoms else ()
    along = types.channels(layer) is Channels.ALONG and types.values(layer) is not Values.MOVED
    if len(shape) != 4 or not along or types.space(layer) is not Space.POINTWISE:
        return False
    return axis_of(layer, layer.param(types.message_of(layer) or ""), shape, 1) > 1


def compares_with_labels(layer: Layer) -> bool:
    """Whether it compares each cell of a map with a label of its own."""
    return types.space(layer) is Space.JOINING and Role.LABEL in types.roles(layer)


def is_pointwise(layer: Layer) -> bool:
    """Whether it does the same to every number, or to every pair, or puts in a row."""
    if _joins(layer):
        return True
    alike = types.channels(layer) is Channels.ALIKE
    return types.space(layer) is Space.POINTWISE and alike and not types.is_for_training(layer)


def _joins(layer: Layer) -> bool:
    """Whether its bottoms must all be maps of one size."""
    roles = set(types.roles(layer))
    return types.space(layer) is Space.JOINING and roles == {Role.VALUE}


def is_map(shape: Shape) -> bool:
    """Whether a blob of this shape is a map of several cells."""
    return len(shape) == 4 and shape[2:] != (1, 1)


def whole_map_layers(net: NetDefinition, changed: Collection[Layer], shapes: Shapes) -> list[Layer]:
    """The layers before those `changed` that keep a map, and look at all of it for each cell."""
    # Walked backwards, so that a blob is in `before` when the layer that writes it is reached.
    before = {bottom for layer in changed for bottom in layer.bottoms}
    layers = []
    for layer in reversed(net.layers):
        if layer in changed or before.isdisjoint(layer.tops):
            continue
        before.update(layer.bottoms)
        keeps = any(is_map(shapes.blobs.get(top, ())) for top in layer.tops)
        if keeps and _looks_at_all(layer, shapes):
            layers.append(layer)
    return layers[::-1]


def field_fault(layer: Layer) -> str:
    """A field of the layer's that nobody knows the meaning of, to follow its name; "" for none."""
    for field in unknown_fields(layer):
        line = layer.message.source.error("", field.start).line
        return f"has a field {field.name} (line {line}), which Caffe 1.0 does not know"
    return ""


def why_not_behind(layer: Layer, maps: Collection[str]) -> str:
    """Why `layer`, some of whose bottoms become maps, cannot follow; "" if it can."""
    if _joins(layer) and not set(layer.bottoms).issubset(maps):
        flat = next(bottom for bottom in layer.bottoms if bottom not in maps)
        return f"it joins a map with {flat!r}, which does not become one"
    roles = set(types.roles(layer))
    if Role.GATE in roles:
        return (
            f"{with_article(layer.type)} of two bottoms may not treat every position of a map alike"
        )
    space = types.space(layer)
    by_cell = space is Space.POINTWISE or _joins(layer) or compares_with_labels(layer)
    if by_cell and roles <= {Role.VALUE, Role.LABEL, Role.SIZE}:
        return _along_channels(layer) if types.channels(layer) is Channels.ALONG else ""
    if types.is_for_training(layer):
        return f"{with_article(layer.type)} is for training; give the deploy prototxt"
    if space is Space.WHOLE:
        return f"{with_article(layer.type)} looks at the whole map at once"
    return f"{with_article(layer.type)} may not treat every position of a map alike"


def _along_channels(layer: Layer) -> str:
    message = layer.param(types.message_of(layer) or "")
    if message.integer("num_axes", 1, -1) == 0:  # a Scale's or Bias's one number for all
        return ""
    # concat_dim and slice_dim are older names of the axis.
    axis_field = message.scalar("axis") or next(
        (field.value for field in message.fields if field.name.endswith("_dim")), None
    )
    if not isinstance(axis_field, Scalar):
        if message.boolean("out_max_val", False):
            # With an axis the top has the values alone, and no numbers (argmax_layer.cpp).
            return "out_max_val gives pairs of class and value, of which no map is made: remove it"
        return ""
    # The blob had two axes, so -1 was its channels too; the rewrite makes it 1.
    axis = axis_field.as_int()
    return "" if axis in (1, -1) else f"axis {axis}, expected 1, the channels"
