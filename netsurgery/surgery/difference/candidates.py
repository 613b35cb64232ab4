"""The layers of a net that could be one of another's, looked up by type and bottoms.

A lookup takes the same time however many layers there are: every layer waits under all the keys
by which it can be asked for, from the closest likeness to the least.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence

from netsurgery.net import types
from netsurgery.surgery.difference.fields import Tree
from netsurgery.surgery.difference.records import LayerRecord

__all__ = ["Candidates", "RunningMost", "passes"]

#: What convert makes of an InnerProduct is the same layer still.
_CONVOLVED = {
    types.INNER_PRODUCT.name: types.CONVOLUTION.name,
    types.CONVOLUTION.name: types.INNER_PRODUCT.name,
}


class Candidates:
    """The layers of `new` at the places `free`; each is taken once."""

    def __init__(self, new: Sequence[LayerRecord], free: Iterable[int]) -> None:
        self._waiting: dict[Hashable, deque[int]] = {}
        self._taken: set[int] = set()
        places = list(free)
        self._sources = _sources([new[j] for j in places])
        for j in places:
            layer = new[j]
            for bottoms in self._ways(layer.bottoms):
                for key in _keys(layer, layer.type, bottoms):
                    self._waiting.setdefault(key, deque()).append(j)

    def take(self, layer: LayerRecord, bottoms: tuple[str, ...]) -> int | None:
        """The place of the layer most like `layer`, whose bottoms have these names in the new net.

        Over just these bottoms or, if there is none, over what they are without the layers that
        could be left out. Of several the one with its fields, with its tops, the first of them.
        """
        for way in self._ways(bottoms):
            for kind in filter(None, (layer.type, _CONVOLVED.get(layer.type))):
                for key in _keys(layer, kind, way):
                    place = self._first(key)
                    if place is not None:
                        self._taken.add(place)
                        return place
        return None

    def _ways(self, bottoms: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        """The bottoms as they are called, and as what they are made of is called."""
        # The first word keeps the two ways apart in the keys.
        yield ("as they are", *bottoms)
        yield ("made of", *(self._sources.get(blob, blob) for blob in bottoms))

    def _first(self, key: Hashable) -> int | None:
        waiting = self._waiting.get(key)
        while waiting and waiting[0] in self._taken:
            waiting.popleft()
        return waiting[0] if waiting else None


def _keys(layer: LayerRecord, kind: str, bottoms: tuple[str, ...]) -> Iterator[Hashable]:
    """What a layer of type `kind`, else like this one, is asked for by."""
    if not layer.bottoms and not layer.tops:
        return
    fields, tops = _frozen(layer.fields), layer.tops
    # In place or not is part of what a layer is; one without bottoms has only its tops to go by.
    own = kind, bottoms, tops == layer.bottoms, () if layer.bottoms else tops
    yield (*own, fields, tops)
    yield (*own, fields)
    yield (*own, "of any fields", tops)
    yield (*own, "of any fields")


def _frozen(fields: Tree) -> Hashable:
    """The fields as a key: equal where they are."""
    return tuple(
        (name, tuple(each if isinstance(each, str) else _frozen(each) for each in values))
        for name, values in sorted(fields.items())
    )


def passes(layer: LayerRecord) -> bool:
    """Whether the layer stands between one bottom and another top, and could be left out."""
    in_between = len(layer.bottoms) == len(layer.tops) == 1 and layer.bottoms != layer.tops
    return in_between and layer.keeps_values


def _sources(layers: Iterable[LayerRecord]) -> Mapping[str, str]:
    """Top -> bottom of the layers that could be left out, chains followed to their beginning."""
    sources: dict[str, str] = {}
    for layer in layers:
        if passes(layer):
            sources[layer.tops[0]] = sources.get(layer.bottoms[0], layer.bottoms[0])
    return sources


class RunningMost:
    """The largest number put anywhere before a place, as a Fenwick tree; -1 for none."""

    def __init__(self, count: int) -> None:
        self._most = [-1] * (count + 1)

    def put(self, place: int, number: int) -> None:
        """Put a number at a place."""
        at = place + 1
        while at < len(self._most):
            self._most[at] = max(self._most[at], number)
            at += at & -at

    def below(self, place: int) -> int:
        """The largest number before `place`."""
        most = -1
        while place:
            most = max(most, self._most[place])
            place -= place & -place
        return most
