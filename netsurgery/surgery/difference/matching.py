"""Which layer, and which blob, of one net is which of another.

See `compare` for the order of trust. Blobs go by matched layers and their new names.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence

from netsurgery.net import types
from netsurgery.net.net import Layer, NetDefinition
from netsurgery.net.order import last_orders, lie_alike
from netsurgery.net.shapes import infer
from netsurgery.surgery.difference.candidates import Candidates, RunningMost, passes
from netsurgery.surgery.difference.records import LayerRecord

__all__ = ["Matching", "first_writers", "match_layers", "pair_blobs", "same_order"]


def match_layers(old: Sequence[LayerRecord], new: Sequence[LayerRecord]) -> Matching:
    """Match the layers of two nets."""
    matching = Matching(old, new)
    matching.by_name()
    matching.by_bottoms()
    matching.by_params()
    matching.by_place()
    # Blobs after layers that were matched late have had no name to follow.
    matching.follow_blobs()
    return matching


class Matching:
    """pairs: place in `old` -> place in `new`. blobs: a blob's name -> its new one."""

    def __init__(self, old: Sequence[LayerRecord], new: Sequence[LayerRecord]) -> None:
        self.old, self.new = old, new
        self._found: dict[int, int] = {}
        self.blobs: dict[str, str] = {}
        self._new_names: set[str] = set()

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
        # One name for TRAIN and one for TEST: each first seeks its own phase's.
        for same_rules in (True, False):
            free: dict[tuple[str, str], deque[int]] = {}
            for j in self._free():
                free.setdefault(_key(self.new[j], same_rules), deque()).append(j)
            for i in self._open():
                candidates = free.get(_key(self.old[i], same_rules))
                if candidates:
                    self._found[i] = candidates.popleft()
        self._inputs()

    def _inputs(self) -> None:
        """The net's own inputs match an Input layer with the same tops."""
        free: dict[tuple[tuple[str, ...], bool], deque[int]] = {}
        for j in self._free():
            if self.new[j].type == types.INPUT.name:
                free.setdefault((self.new[j].tops, self.new[j].declared), deque()).append(j)
        for i in self._open():
            layer = self.old[i]
            if layer.type == types.INPUT.name:
                candidates = free.get((layer.tops, True)) or free.get(
                    (layer.tops, not layer.declared)
                )
                if candidates:
                    self._found[i] = candidates.popleft()

    def by_bottoms(self) -> None:
        """Match layers of like type over the same bottoms, following blobs in file order."""
        candidates = Candidates(self.new, self._free())
        through: dict[str, str] = {}
        for i, layer in enumerate(self.old):
            if i not in self._found:
                seen = tuple(through.get(b, self.blobs.get(b, b)) for b in layer.bottoms)
                chosen = candidates.take(layer, seen)
                if chosen is None:
                    if passes(layer):
                        # A Flatten that the other net lacks: its readers read its bottom there.
                        through[layer.tops[0]] = seen[0]
                    continue
                self._found[i] = chosen
            self._follow(layer.tops, self.new[self._found[i]].tops)

    def by_params(self) -> None:
        """Match layers whose params have the same counts as no other layer's."""
        old_counts = Counter(layer.params for layer in self.old)
        new_counts = Counter(layer.params for layer in self.new)
        places = {self.new[j].params: j for j in self._free()}
        for i in self._open():
            params = self.old[i].params
            if params and old_counts[params] == new_counts[params] == 1 and params in places:
                self._found[i] = places[params]

    def by_place(self) -> None:
        """Match the only layer of a type between two matched ones."""
        before, after = RunningMost(len(self.old)), RunningMost(len(self.old))
        last = len(self.new)

        def put(i: int, j: int) -> None:
            self._found[i] = j
            before.put(i, j)
            # Mirrored, so that the nearest match behind is a largest number before, too.
            after.put(len(self.old) - 1 - i, last - 1 - j)

        for pair in tuple(self._found.items()):
            put(*pair)
        free = _by_type(self.new, self._free())
        for kind, places in _by_type(self.old, self._open()).items():
            candidates = free.get(kind, [])
            gaps: dict[tuple[int, int], list[int]] = {}
            for i in places:
                gap = before.below(i), last - 1 - after.below(len(self.old) - 1 - i)
                gaps.setdefault(gap, []).append(i)
            for (low, high), several in gaps.items():
                start, end = bisect_right(candidates, low), bisect_left(candidates, high)
                if len(several) == end - start == 1:
                    put(several[0], candidates.pop(start))

    def _follow(self, tops: tuple[str, ...], new_tops: tuple[str, ...]) -> None:
        """Note new names of blobs: one each, and none twice."""
        for top, new_top in zip(tops, new_tops, strict=False):
            if top not in self.blobs and new_top not in self._new_names:
                self.blobs[top] = new_top
                self._new_names.add(new_top)

    def follow_blobs(self) -> None:
        """Note the new names of all blobs, in the order of the old net.

        A name that some layer still reads as before is not taken for renamed.
        """
        self.blobs, self._new_names = {}, set()
        same_name = {
            bottom
            for i, j in self._found.items()
            for bottom, new_bottom in zip(self.old[i].bottoms, self.new[j].bottoms, strict=False)
            if bottom == new_bottom
        }
        for i, j in self.pairs.items():
            old_tops, new_tops = self.old[i].tops, self.new[j].tops
            for top, new_top in zip(old_tops, new_tops, strict=False):
                if top == new_top or top not in same_name:
                    self._follow((top,), (new_top,))


def _key(layer: LayerRecord, with_rules: bool) -> tuple[str, str]:
    name = "" if layer.declared else f"layer {layer.name}"
    return name, layer.rules if with_rules else ""


def _by_type(layers: Sequence[LayerRecord], places: Iterable[int]) -> dict[str, list[int]]:
    """The places by the types of their layers; not those that have none."""
    by_type: dict[str, list[int]] = {}
    for place in places:
        if layers[place].type:
            by_type.setdefault(layers[place].type, []).append(place)
    return by_type


def pair_blobs(
    old: NetDefinition, new: NetDefinition, renames: Mapping[str, str]
) -> dict[str, str]:
    """Each blob of `old` that `new` has too -> its name there, in the order of `old`.

    renames: old name -> new one, where they differ (`NetDifference.blobs`). The partner of
    what only a Flatten or a Reshape makes, where `new` lacks it, is that layer's bottom.
    """
    new_blobs, taken = set(new.blob_names), set(renames.values())
    pairs: dict[str, str] = {}
    writers = first_writers(old)
    for blob in old.blob_names:
        name = renames.get(blob, blob)
        writer = writers.get(blob)
        # A name that another blob bears now is not this one's, although it bore it.
        if name in new_blobs and (blob in renames or name not in taken):
            pairs[blob] = name
        elif writer is not None and types.keeps_values(writer) and writer.bottoms[0] in pairs:
            pairs[blob] = pairs[writer.bottoms[0]]
    return pairs


def same_order(old: NetDefinition, new: NetDefinition, pairs: Mapping[str, str]) -> dict[str, str]:
    """The pairs whose numbers are the same and lie in one order, as far as is known.

    A Permute that one net has before an InnerProduct, and the other not, lays them otherwise. A
    layer in place on what is flattened leaves the map alone; where the other net has no flattening
    it works on the map.
    """
    worked = {top for layer in old.layers if layer.in_place for top in layer.tops}
    spoiled = {partner: blob for blob, partner in pairs.items() if blob in worked}
    orders = [last_orders(net, infer(net)) for net in (old, new)]
    return {
        blob: partner
        for blob, partner in pairs.items()
        if spoiled.get(partner, blob) == blob
        if blob not in orders[0]
        or partner not in orders[1]
        or lie_alike(orders[0][blob], orders[1][partner])
    }


def first_writers(net: NetDefinition) -> dict[str, Layer]:
    """Blob -> the first layer that writes it, in file order."""
    writers: dict[str, Layer] = {}
    for layer in net.layers:
        for top in layer.tops:
            writers.setdefault(top, layer)
    return writers
