"""Which blob of one net is which of another, told by matched layers and their new names."""

from __future__ import annotations

from collections.abc import Mapping

from netsurgery.net import types
from netsurgery.net.net import Layer, Net
from netsurgery.net.order import last_orders, lie_alike
from netsurgery.net.shapes import infer

__all__ = ["first_writers", "pair_blobs", "same_order"]


def pair_blobs(old: Net, new: Net, renames: Mapping[str, str]) -> dict[str, str]:
    """Each blob of `old` that `new` has too -> its name there, in the order of `old`.

    renames: old name -> new one, where they differ (`NetDifference.blobs`). What only a Flatten
    or a Reshape made, and `new` has not, is what went into that layer.
    """
    here, taken = set(_blobs(new)), set(renames.values())
    pairs: dict[str, str] = {}
    writers = first_writers(old)
    for blob in _blobs(old):
        there = renames.get(blob, blob)
        writer = writers.get(blob)
        if there in here and (blob in renames or there not in taken):
            pairs[blob] = there
        elif writer is not None and types.keeps_values(writer.type) and writer.bottoms[0] in pairs:
            pairs[blob] = pairs[writer.bottoms[0]]
    return pairs


def same_order(old: Net, new: Net, pairs: Mapping[str, str]) -> dict[str, str]:
    """The pairs whose numbers lie in one order, as far as is known.

    A Permute that one net has before an InnerProduct, and the other not, lays them otherwise.
    """
    orders = [last_orders(net, infer(net)) for net in (old, new)]
    return {
        blob: other
        for blob, other in pairs.items()
        if blob not in orders[0]
        or other not in orders[1]
        or lie_alike(orders[0][blob], orders[1][other])
    }


def first_writers(net: Net) -> dict[str, Layer]:
    """Blob -> the first layer that writes it, in file order."""
    found: dict[str, Layer] = {}
    for layer in net.layers:
        for top in layer.tops:
            found.setdefault(top, layer)
    return found


def _blobs(net: Net) -> list[str]:
    """Every blob, in file order."""
    names = [one.name for one in net.inputs]
    names += [top for layer in net.layers for top in layer.tops]
    return list(dict.fromkeys(names))
