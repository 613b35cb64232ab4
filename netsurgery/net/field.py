"""What a cell of each blob sees of the net's input: the walk over the layers.

`net.geometry` has the arithmetic; the records of `net.types` say which of it each layer does.
"""

from __future__ import annotations

from collections.abc import Mapping

from netsurgery.net import types
from netsurgery.net.geometry import Field
from netsurgery.net.known_fields import unknown_fields
from netsurgery.net.net import Layer, Net, Shape
from netsurgery.net.shapes import Shapes, givable, infer
from netsurgery.net.shuffle import channel_shuffles
from netsurgery.net.types import POOLING
from netsurgery.net.types.record import Role
from netsurgery.net.types.seen import Seen

__all__ = ["Field", "fields"]


def fields(
    net: Net,
    inputs: Mapping[str, Shape] | None = None,
    *,
    of: str | None = None,
    shapes: Shapes | None = None,
) -> dict[str, Field]:
    """The field of every blob whose cells depend on one input by windows that move evenly.

    of: the input in which the fields lie, as if the others were constants; None for all of them.
    shapes: those at `inputs`, where they are known already. A blob that mixes positions in a way
    no window describes (Reshape, Permute, layers that are not understood), or that meets another
    of different stride, is left out.
    """
    shapes = infer(net, inputs) if shapes is None else shapes
    seen = Seen(shapes.blobs, net.state.phase == "TRAIN")
    for name in (*givable(net, shapes), *(inputs or {})):
        if len(shapes.blobs.get(name, ())) == 4 and of in (None, name):
            seen.known[name] = Field(name)
    shuffles = {layer: one for one in channel_shuffles(net, shapes) for layer in one.layers}
    before: dict[Layer, Field | None] = {}
    for layer in net.layers:
        shuffle = shuffles.get(layer)
        if shuffle is not None and layer is shuffle.layers[0]:
            before[shuffle.layers[2]] = seen.known.get(shuffle.bottom)
        if layer.bottoms:
            _step(layer, seen)
        shuffled = before.get(layer)
        if shuffled is not None:  # the three together move no cell
            seen.known[layer.tops[0]] = shuffled
            seen.lost.discard(layer.tops[0])
    return seen.known


def _step(layer: Layer, seen: Seen) -> None:
    """The fields of the layer's tops."""
    record = types.of(layer)
    reads = [
        blob
        for blob, role in zip(layer.bottoms, types.roles(layer), strict=True)
        if role is not Role.SIZE and seen.depends(blob)
    ]
    answered = all(blob in seen.shapes for blob in (*layer.bottoms, *layer.tops))
    rule = record.field if record and not unknown_fields(layer) else None
    made = rule(seen, layer) if reads and answered and rule else None
    several = made if isinstance(made, list) else [made] * len(layer.tops)
    for top, one in zip(layer.tops, several, strict=True):
        seen.known.pop(top, None)
        seen.lost.discard(top)
        seen.masks.pop(top, None)
        if one is not None:
            seen.known[top] = one
        elif reads:
            seen.lost.add(top)
    if record and record.window and len(layer.tops) > 1 and answered and types.is_a(layer, POOLING):
        size = seen.size(layer.bottoms[0])
        seen.masks[layer.tops[1]] = record.window(layer, size), size
