"""Which layer, and which blob, of one net is which of another.

See `compare` for the order of trust. Blobs go by matched layers and their new names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from netsurgery.net import types
from netsurgery.net.net import Layer, Net
from netsurgery.net.order import last_orders, lie_alike
from netsurgery.net.shapes import infer
from netsurgery.surgery.difference.records import LayerRecord

__all__ = ["Matching", "first_writers", "match_layers", "pair_blobs", "same_order"]

_CONVOLVED = {types.INNER_PRODUCT.name, types.CONVOLUTION.name}


def match_layers(old: Sequence[LayerRecord], new: Sequence[LayerRecord]) -> Matching:
    """Match the layers of two nets."""
    matching = Matching(old, new)
    matching.by_name()
    matching.by_bottoms()
    matching.by_params()
    matching.by_place()
    # Blobs behind layers that were matched late have had no name to follow.
    matching.follow_blobs()
    return matching


class Matching:
    """pairs: place in `old` -> place in `new`. blobs: a blob's name -> its new one."""

    def __init__(self, old: Sequence[LayerRecord], new: Sequence[LayerRecord]) -> None:
        self.old, self.new = old, new
        self._found: dict[int, int] = {}
        self.blobs: dict[str, str] = {}

    @property
    def pairs(self) -> dict[int, int]:
        """The pairs in the order of the old net."""
        return dict(sorted(self._found.items()))

    def _free(self) -> list[int]:
        """The places in `new` that nothing is matched with."""
        taken = set(self._found.values())
        return [j for j in range(len(self.new)) if j not in taken]

    def _open(self) -> list[int]:
        """The places in `old` that nothing is matched with."""
        return [i for i in range(len(self.old)) if i not in self._found]

    def by_name(self) -> None:
        """Match equal names; of several those with the same phase rules first."""
        for same_rules in (True, False):
            free: dict[tuple[str, str], list[int]] = {}
            for j in self._free():
                free.setdefault(_key(self.new[j], same_rules), []).append(j)
            for i in self._open():
                there = free.get(_key(self.old[i], same_rules))
                if there:
                    self._found[i] = there.pop(0)
        self._inputs()

    def _inputs(self) -> None:
        """The net's own inputs match an Input layer with the same tops."""
        for i in self._open():
            for j in self._free():
                one, other = self.old[i], self.new[j]
                inputs = one.type == other.type == types.INPUT.name and one.tops == other.tops
                if inputs and (one.declared or other.declared):
                    self._found[i] = j
                    break

    def by_bottoms(self) -> None:
        """Match layers of like type over the same bottoms, following blobs in file order."""
        free = self._free()
        through: dict[str, str] = {}
        for i, layer in enumerate(self.old):
            if i not in self._found:
                seen = tuple(through.get(b, self.blobs.get(b, b)) for b in layer.bottoms)
                there = _through([self.new[j] for j in free])
                chosen = self._best(i, [j for j in free if _over(layer, self.new[j], seen, there)])
                if chosen is None:
                    if _passes(layer):
                        through[layer.tops[0]] = seen[0]
                    continue
                self._found[i] = chosen
                free.remove(chosen)
            self._follow(layer.tops, self.new[self._found[i]].tops)

    def by_params(self) -> None:
        """Match layers whose params have the same counts as no other layer's."""
        here = Counter(layer.params for layer in self.old)
        there = Counter(layer.params for layer in self.new)
        places = {self.new[j].params: j for j in self._free()}
        for i in self._open():
            params = self.old[i].params
            if params and here[params] == there[params] == 1 and params in places:
                self._found[i] = places[params]

    def by_place(self) -> None:
        """Match the only layer of a type between two matched ones."""
        for kind in dict.fromkeys(self.old[i].type for i in self._open()):
            if not kind:  # a file that tells no types, or not this one
                continue
            gaps: dict[tuple[int, int], list[int]] = {}
            for i in self._open():
                if self.old[i].type == kind:
                    gaps.setdefault(self._gap(i), []).append(i)
            for (low, high), several in gaps.items():
                there = [j for j in self._free() if low < j < high and self.new[j].type == kind]
                if len(several) == len(there) == 1:
                    self._found[several[0]] = there[0]

    def _gap(self, place: int) -> tuple[int, int]:
        """Where in `new` a layer at `place` in `old` would be, both ends excluded."""
        before = [j for i, j in self._found.items() if i < place]
        after = [j for i, j in self._found.items() if i > place]
        return max(before, default=-1), min(after, default=len(self.new))

    def _best(self, i: int, candidates: Iterable[int]) -> int | None:
        """The candidate most like the old layer: its fields, its tops, the first of them."""
        one = self.old[i]

        def unlike(j: int) -> tuple[bool, bool, bool, int]:
            other = self.new[j]
            return one.type != other.type, one.fields != other.fields, one.tops != other.tops, j

        return min(candidates, key=unlike, default=None)

    def _follow(self, tops: tuple[str, ...], new_tops: tuple[str, ...]) -> None:
        """Note new names of blobs: one each, and none twice."""
        for top, new_top in zip(tops, new_tops, strict=False):
            if top not in self.blobs and new_top not in self.blobs.values():
                self.blobs[top] = new_top

    def follow_blobs(self) -> None:
        """Note the new names of all blobs, in the order of the old net.

        A name that some layer still reads as before is not taken for renamed.
        """
        self.blobs = {}
        kept = {
            bottom
            for i, j in self._found.items()
            for bottom, new_bottom in zip(self.old[i].bottoms, self.new[j].bottoms, strict=False)
            if bottom == new_bottom
        }
        for i, j in self.pairs.items():
            one, other = self.old[i].tops, self.new[j].tops
            for top, new_top in zip(one, other, strict=False):
                if top == new_top or top not in kept:
                    self._follow((top,), (new_top,))


def _key(layer: LayerRecord, with_rules: bool) -> tuple[str, str]:
    name = "" if layer.declared else f"layer {layer.name}"
    return name, layer.rules if with_rules else ""


def _passes(layer: LayerRecord) -> bool:
    """Whether the layer stands between one bottom and another top, and could be left out."""
    one = len(layer.bottoms) == len(layer.tops) == 1 and layer.bottoms != layer.tops
    return one and types.keeps_values(layer.type)


def _through(layers: Sequence[LayerRecord]) -> dict[str, str]:
    """Top -> bottom of the layers that could be left out, chains followed to their beginning."""
    found: dict[str, str] = {}
    for layer in layers:
        if _passes(layer):
            found[layer.tops[0]] = found.get(layer.bottoms[0], layer.bottoms[0])
    return found


def _over(
    old: LayerRecord, new: LayerRecord, bottoms: tuple[str, ...], through: dict[str, str]
) -> bool:
    """Whether the two could be one layer, judged by type and bottoms."""
    if old.type != new.type and {old.type, new.type} != _CONVOLVED:
        return False
    if (old.tops == old.bottoms) != (new.tops == new.bottoms):
        return False
    if new.bottoms != bottoms and tuple(through.get(b, b) for b in new.bottoms) != bottoms:
        return False
    return bool(bottoms) or (bool(old.tops) and old.tops == new.tops)


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
    """The pairs whose numbers are the same and lie in one order, as far as is known.

    A Permute that one net has before an InnerProduct, and the other not, lays them otherwise. A
    layer in place on what is flattened leaves the map alone; where the other net has no flattening
    it works on the map.
    """
    worked = {top for layer in old.layers if layer.in_place for top in layer.tops}
    spoiled = {other: blob for blob, other in pairs.items() if blob in worked}
    orders = [last_orders(net, infer(net)) for net in (old, new)]
    return {
        blob: other
        for blob, other in pairs.items()
        if spoiled.get(other, blob) == blob
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
