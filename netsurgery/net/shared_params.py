"""Which layers share a param: those that give it one name."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

from netsurgery.net.layer import Layer

__all__ = ["Param", "Sharing"]

#: A param: its layer's name and its number.
Param = tuple[str, int]


class Sharing:
    """The shared params of `layers`, which are in file order.

    owners: a param -> the one it shares, which is the first, in file order, of that name. Params
    without a name, and the first ones themselves, are not in it.
    """

    def __init__(self, layers: Iterable[Layer]) -> None:
        first: dict[str, Param] = {}
        self.owners: dict[Param, Param] = {}
        for layer in layers:
            for index, name in enumerate(layer.param_names):
                param = layer.name, index
                # net.cpp: a param without a name is nobody else's.
                if name and first.setdefault(name, param) != param:
                    self.owners[param] = first[name]
        self._groups: dict[Param, list[Param]] = {}
        for param, owner in self.owners.items():
            self._groups.setdefault(owner, [owner]).append(param)
        self._names = {
            owner: tuple(dict.fromkeys(name for name, _ in group))
            for owner, group in self._groups.items()
        }

    def owner(self, param: Param) -> Param:
        """The param that this one is: itself, or the first of its name."""
        return self.owners.get(param, param)

    def sharers(self, param: Param) -> Sequence[Param]:
        """All params that are one with this, itself included, in the net's order."""
        owner = self.owner(param)
        return self._groups.get(owner, (owner,))

    def other_layer(self, param: Param) -> str:
        """The first layer of another name that has the param too; "" for none."""
        names = self._names.get(self.owner(param), ())
        return next((name for name in names if name != param[0]), "")

    def stored_in(self, layers: Container[str]) -> set[Param]:
        """The owners that one of `layers` has, or shares."""
        # A caffemodel has a shared param with every sharer, HDF5 with its owner alone (net.cpp).
        return {owner for param, owner in self.owners.items() if param[0] in layers} | {
            owner for owner in self._groups if owner[0] in layers
        }
