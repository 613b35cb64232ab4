"""Which outputs of two nets are compared with each other, and which cannot be."""

from __future__ import annotations

from collections.abc import Mapping

from netsurgery.errors import NetError
from netsurgery.io.shape_text import shape_text
from netsurgery.net import types
from netsurgery.net.net import NetDefinition, Shape

__all__ = ["hidden_notes", "input_notes", "pair_outputs"]

Nets = tuple[NetDefinition, NetDefinition]


def pair_outputs(nets: Nets, pairs: Mapping[str, str]) -> dict[str, str]:
    """Each output of the first net, and what it may hide -> its partner in the second.

    By matched layers; those left over in file order, where both nets have as many. Raises NetError
    for an output without a partner.
    """
    partners = {blob: pairs[blob] for blob in nets[0].outputs if blob in pairs}
    rest = [blob for blob in nets[0].outputs if blob not in partners]
    taken = set(partners.values())
    free = [blob for blob in nets[1].outputs if blob not in taken]
    if rest and len(rest) == len(free):
        partners |= zip(rest, free, strict=True)
    elif rest:
        names = [", ".join(map(repr, net.outputs)) for net in nets]
        raise NetError(
            f"output {rest[0]!r} of {nets[0].prototxt.path} has no partner in "
            f"{nets[1].prototxt.path}: the outputs are {names[0]} and {names[1]}"
        )
    if not partners:
        raise NetError(f"{nets[0].prototxt.path}: the net has no output that could be compared")
    ordered: dict[str, str] = {}
    for blob in nets[0].outputs:
        ordered |= _hidden(nets, blob, partners[blob])
        ordered[blob] = partners[blob]
    return ordered


def _hidden(nets: Nets, blob: str, new_blob: str) -> dict[str, str]:
    """What goes into the layers that make two outputs, where these hide differences."""
    first, second = nets[0].last_writer(blob), nets[1].last_writer(new_blob)
    # In place, what went in is gone when the net has run: see `hidden_notes`.
    if first is None or second is None or first.in_place or second.in_place:
        return {}
    hiding = first.type == second.type and types.hides_values(first)
    return {first.bottoms[0]: second.bottoms[0]} if hiding else {}


def hidden_notes(nets: Nets, outputs: Mapping[str, str]) -> list[str]:
    """Notes on outputs made by a layer that hides differences, in place, so that none show."""
    notes = []
    for blob in nets[0].outputs:
        writers = nets[0].last_writer(blob), nets[1].last_writer(outputs[blob])
        for layer in writers:
            if layer is not None and layer.in_place and types.hides_values(layer):
                notes.append(
                    f"{layer.type} {layer.name!r} makes {layer.tops[0]!r} in place and may hide "
                    "differences: what goes into it was not compared"
                )
                # One note a blob, even if both nets write it in place.
                break
    return notes


def input_notes(
    nets: Nets,
    shapes: Mapping[str, Shape],
    inputs: Mapping[str, str],
    outputs: Mapping[str, str],
    maps: bool,
) -> list[str]:
    """Notes on how the nets were read, on outputs and inputs of which something is not compared.

    maps: whether maps of larger inputs are.
    """
    notes = [f"{net.prototxt.path}: {note}" for net in nets for note in net.notes]
    taken = set(outputs.values())
    for blob in nets[1].outputs:
        if blob not in taken:
            notes.append(f"{nets[1].prototxt.path} has one more output, {blob!r}")
    declared = {each.name: each.shape for each in nets[1].inputs}
    for name, shape in shapes.items():
        own = declared[inputs[name]]
        if own is not None and own[2:] != shape[2:] and not maps:
            notes.append(
                f"{nets[1].prototxt.path} declares {shape_text(own)}, but no output is known to be "
                "a map of which each cell is the first net's answer on one window"
            )
    for each in nets[0].inputs:
        smaller = shapes[each.name]
        if each.shape is not None and each.shape[2:] != smaller[2:] and not maps:
            notes.append(
                f"{nets[0].prototxt.path} declares {shape_text(each.shape)}, compared at "
                f"{shape_text(smaller)}: what it gives of a larger input is compared only where it "
                "is the second net"
            )
    return notes
