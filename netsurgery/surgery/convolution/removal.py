"""Which layers that only flatten have to go, and what needs them to stay."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from netsurgery.net import types
from netsurgery.net.net import Layer, Net
from netsurgery.net.types.record import Values
from netsurgery.surgery.plan import Refusal

__all__ = ["Removal"]


class Removal:
    """The layers to be taken out of a net: Flatten, Reshape, Permute, and the Concat of a split.

    A Reduction among them is to be written as a Pooling instead.
    """

    def __init__(self, net: Net) -> None:
        self.net = net
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

    def settle(self) -> tuple[list[Layer], list[Layer], list[Refusal]]:
        """What goes, the Reductions to be written otherwise, and why something cannot go."""
        for group in self.wishes:
            if not any(layer in self.pinned or self.overwrites(layer) for layer in group):
                self.need(group)
        gone: list[Layer] = []
        averaged: list[Layer] = []
        refusals: list[Refusal] = []
        for layer in sorted(self.needed, key=lambda one: one.index):
            reduction = types.is_a(layer, types.REDUCTION)
            (averaged if reduction else gone).append(layer)
            if layer in self.pinned:
                refusals.append(self.pinned[layer])
            elif not reduction and self.overwrites(layer):
                refusals.append(Refusal(layer.name, self.overwrites(layer)))
        return gone, averaged, refusals

    def overwrites(self, flattening: Layer) -> str:
        """Why, what flattens gone, some layer in place would spoil its bottom; "" if none would."""
        made = {
            layer.tops[0]: layer
            for layer in self.needed | {flattening}
            if len(layer.bottoms) == 1 and not types.is_a(layer, types.REDUCTION)
        }

        def root(blob: str) -> str:
            return root(made[blob].bottoms[0]) if blob in made else blob

        one = root(flattening.tops[0])
        alike = {blob: layer.index for blob, layer in made.items() if root(blob) == one}
        alike[one] = min(alike.values(), default=flattening.index)
        inputs = {declared.name for declared in self.net.inputs}
        for writer in self.net.layers:
            mine = {blob for blob in writer.tops if blob in writer.bottoms and blob in alike}
            before = {blob for blob, index in alike.items() if index < writer.index} - mine
            later = (layer for layer in self.net.layers if layer.index > writer.index)
            read = {*self.net.outputs, *(bottom for layer in later for bottom in layer.bottoms)}
            if mine and not before.isdisjoint(read):
                what = f"{flattening.bottoms[0]!r} is read again behind it"
                return f"a layer works in place on what it flattens; {what}"
            if mine and one in inputs - mine and types.values(writer) is not Values.PASSED:
                return f"layer {writer.name!r} would work in place on the net's input {one!r}"
        return ""
