"""Which layers that only flatten have to go, and what needs them to stay."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from math import inf

from netsurgery.net import types
from netsurgery.net.net import Layer, NetDefinition
from netsurgery.net.types.record import Values
from netsurgery.surgery.plan import Refusal

__all__ = ["Removal"]


class Removal:
    """The layers to be taken out of a net: Flatten, Reshape, Permute, and the Concat of a split.

    A Reduction among them is to be written as a Pooling instead.
    """

    def __init__(self, net: NetDefinition) -> None:
        self.uses = _Uses(net)
        self.needed: set[Layer] = set()
        #: layer -> the first layer that needs it to stay.
        self.pinned: dict[Layer, Refusal] = {}
        #: groups that go where nothing needs one of them to stay.
        self.wishes: list[Collection[Layer]] = []

    def need(self, layers: Iterable[Layer]) -> None:
        """These have to go; each only if nothing needs it to stay."""
        self.needed.update(layers)

    def pin(self, layers: Iterable[Layer], refusal: Refusal) -> None:
        """These have to stay, for the layer and the reason that the refusal names."""
        for layer in layers:
            self.pinned.setdefault(layer, refusal)

    def finish(self) -> tuple[list[Layer], list[Layer], list[Refusal]]:
        """What goes, the Reductions to be written otherwise, and why something cannot go."""
        # A wish is given up where it would spoil a bottom; what is needed would be refused.
        wishes = [group for group in self.wishes if self.pinned.keys().isdisjoint(group)]
        overwritten = self._overwritten(
            {*self.needed, *(each for group in wishes for each in group)}
        )
        for group in wishes:
            if overwritten.keys().isdisjoint(group):
                self.need(group)
        gone: list[Layer] = []
        averaged: list[Layer] = []
        refusals: list[Refusal] = []
        # Once more over all of them together: two removals can be in each other's way.
        overwritten = self._overwritten(self.needed)
        for layer in sorted(self.needed, key=lambda candidate: candidate.index):
            reduction = types.is_a(layer, types.REDUCTION)
            (averaged if reduction else gone).append(layer)
            if layer in self.pinned:
                refusals.append(self.pinned[layer])
            elif not reduction and layer in overwritten:
                refusals.append(Refusal(layer.name, overwritten[layer]))
        return gone, averaged, refusals

    def _overwritten(self, layers: Collection[Layer]) -> dict[Layer, str]:
        """Why, these gone, some layer in place would spoil the bottom of one; others are not in it.

        Blobs that are one when they are gone, what a layer flattens and what it makes of that,
        are looked at together.
        """
        roots: dict[str, str] = {}
        alike: dict[str, dict[str, int]] = {}
        inside = sorted(layers, key=lambda layer: layer.index)
        for layer in inside:
            top = layer.tops[0]
            if len(layer.bottoms) == 1 and not types.is_a(layer, types.REDUCTION):
                roots[top] = roots.get(layer.bottoms[0], layer.bottoms[0])
            root = roots.get(top, top)
            alike.setdefault(root, {root: layer.index}).setdefault(top, layer.index)
        why = {root: _spoiling(root, blobs, self.uses) for root, blobs in alike.items()}
        reasons = {layer: why[roots.get(layer.tops[0], layer.tops[0])] for layer in inside}
        return {layer: reason(layer) for layer, reason in reasons.items() if reason is not None}


class _Uses:
    """Where the blobs of a net are read for the last time, and written in place."""

    def __init__(self, net: NetDefinition) -> None:
        self.inputs = {declared.name for declared in net.inputs}
        self.last: dict[str, float] = {}
        self.writers: dict[str, list[Layer]] = {}
        for layer in net.layers:
            self.last.update(dict.fromkeys(layer.bottoms, layer.index))
            for blob in set(layer.bottoms).intersection(layer.tops):
                self.writers.setdefault(blob, []).append(layer)
        # Outputs are read by the caller, after every layer.
        self.last.update(dict.fromkeys(net.outputs, inf))


def _spoiling(root: str, blobs: Mapping[str, int], uses: _Uses) -> Callable[[Layer], str] | None:
    """Why the blobs, which begin at these layers, cannot be one, as a layer says it that goes."""
    begin = sorted((start, blob) for blob, start in blobs.items())
    end = sorted((uses.last.get(blob, -1), blob) for blob in blobs)
    written: dict[Layer, set[str]] = {}
    for blob in blobs:
        for writer in uses.writers.get(blob, ()):
            written.setdefault(writer, set()).add(blob)
    read: set[str] = set()  # blobs that have begun, and are read after the writer
    begun = ended = 0
    for writer in sorted(written, key=lambda layer: layer.index):
        while begun < len(begin) and begin[begun][0] < writer.index:
            read.add(begin[begun][1])
            begun += 1
        # <=: what reads it last may be the writer itself, before it writes.
        while ended < len(end) and end[ended][0] <= writer.index:
            read.discard(end[ended][1])
            ended += 1
        # Something still reads the old values of a blob that would now be the same memory.
        if not read <= written[writer]:
            return _is_read_again
        # The next forward would start from other numbers; but a Dropout writes, in TEST, what it
        # reads.
        if root in uses.inputs - written[writer] and types.values(writer) is not Values.PASSED:
            what = f"layer {writer.name!r} would work in place on the net's input {root!r}"
            return lambda _: what
    return None


def _is_read_again(layer: Layer) -> str:
    what = f"{layer.bottoms[0]!r} is read again after it"
    does = "pools" if types.is_a(layer, types.POOLING) else "flattens"
    return f"a layer works in place on what it {does}; {what}"
