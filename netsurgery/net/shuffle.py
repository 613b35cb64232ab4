"""Channel shuffles that are written as Reshape, Permute, Reshape.

The channels are seen as groups x members, the two are exchanged, and seen as channels again; so
ShuffleNet is written where there is no ShuffleChannel. Each of the three layers moves numbers
from position to position, all three together do not.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from netsurgery.errors import PrototxtError
from netsurgery.formats.prototxt import Prototxt
from netsurgery.formats.textformat import Edits
from netsurgery.net import types
from netsurgery.net.net import Layer, NetDefinition, Shape
from netsurgery.net.shapes import Shapes

__all__ = ["Shuffle", "channel_shuffles", "of_any_size", "write_for_any_size"]


class Shuffle(NamedTuple):
    """One channel shuffle.

    layers: what groups the channels, what exchanges, and what joins them again. groups: how many,
    and of how many channels. free: whether it is written for a map and a batch of any size.
    """

    layers: tuple[Layer, Layer, Layer]
    groups: tuple[int, int]
    free: bool

    @property
    def bottom(self) -> str:
        """The map it reads."""
        return self.layers[0].bottoms[0]


def channel_shuffles(net: NetDefinition, shapes: Shapes) -> list[Shuffle]:
    """The channel shuffles of a net, in file order."""
    permutes = (layer for layer in net.layers if types.is_a(layer, types.PERMUTE))
    candidates = (_shuffle(net, layer, shapes) for layer in permutes)
    return [shuffle for shuffle in candidates if shuffle is not None]


def _shuffle(net: NetDefinition, permute: Layer, shapes: Shapes) -> Shuffle | None:
    """The shuffle in whose middle `permute` stands; None where it stands in none."""
    if not types.is_whole(permute):
        return None
    first = net.producer(permute, permute.bottoms[0]) if _alone(permute) else None
    readers = net.readers(permute, permute.tops[0])
    # Another reader of a blob in between would see its numbers in an order that no map has.
    if first is None or len(readers) != 1 or net.readers(first, permute.bottoms[0]) != (permute,):
        return None
    last = readers[0]
    if not all(_alone(layer) and types.reshapes(layer) for layer in (first, last)):
        return None
    bottom, grouped, top = (
        shapes.blobs.get(blob, ()) for blob in (first.bottoms[0], first.tops[0], last.tops[0])
    )
    # Height and width may be one axis between the two Reshapes (`dim: -1`), or two.
    if len(bottom) != 4 or len(grouped) < 4 or top != bottom or grouped[0] != bottom[0]:
        return None
    groups, members = grouped[1:3]
    straight = (0, 2, 1, *range(3, len(grouped)))
    if groups * members != bottom[1] or types.permutation(permute, len(grouped)) != straight:
        return None
    layers = (first, permute, last)
    return Shuffle(layers, (groups, members), _is_free(layers, bottom))


def _alone(layer: Layer) -> bool:
    """Whether it reads one blob and makes another."""
    return len(layer.bottoms) == len(layer.tops) == 1 and not layer.in_place


def _is_free(layers: tuple[Layer, Layer, Layer], shape: Shape) -> bool:
    """Whether the layers shuffle the channels of larger maps, and more of them, as well."""
    batch, channels, height, width = shape
    # Each axis grows by its own number, so that exchanged ones differ.
    larger = (batch + 1, channels, height + 3, width + 5)
    result: Shape | None = larger
    for number, layer in enumerate(layers):
        record = types.of(layer)
        if record is None or record.shapes is None or result is None:
            return False
        try:
            (result,), _ = record.shapes(layer, [result])
        except PrototxtError:
            return False
        straight = result is not None and prod(result[3:]) == prod(larger[2:])
        if number == 0 and (not straight or result is None or result[0] != larger[0]):
            return False
    return result == larger


def of_any_size(net: NetDefinition, shapes: Shapes) -> NetDefinition:
    """The net with its channel shuffles written for maps of any size."""
    bound = [shuffle for shuffle in channel_shuffles(net, shapes) if not shuffle.free]
    if not bound:
        return net
    edits = net.prototxt.edits()
    for shuffle in bound:
        write_for_any_size(edits, shuffle)
    return NetDefinition.of(Prototxt.parse(edits.apply(), net.prototxt.path), net.state)


def write_for_any_size(edits: Edits, shuffle: Shuffle) -> None:
    """Name the channels alone in both Reshapes: height and width stay axes of their own."""
    first, _, last = shuffle.layers
    groups, members = shuffle.groups
    dims = f"shape {{ dim: {groups} dim: {members} }}", f"shape {{ dim: {groups * members} }}"
    for layer, shape, axes in ((first, dims[0], 1), (last, dims[1], 2)):
        param = layer.message.single("reshape_param")
        if param is not None:
            text = f"reshape_param {{ {shape} axis: 1 num_axes: {axes} }}"
            edits.replace(param.start, param.end, text)
