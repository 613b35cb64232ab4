"""Two nets compared layer by layer: added, removed, renamed, moved, changed field by field.

Layers are matched, in this order of trust:

1. by name;
2. by type and bottoms, blobs being followed through their new names; an InnerProduct and a
   Convolution match too, as do layers in front of which a Flatten went;
3. by the params they hold, where these are of equal counts and no other layer's are;
4. by type and place between matched layers, where there is only one such on either side.

What is matched by anything but its name counts as renamed. A generation's spelling does not
count: V1's types and learning rates are compared as today's, and inputs that the net itself
declares as the Input layer that Caffe makes of them. Layers of every phase are compared.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from netsurgery.formats.prototxt import Prototxt
from netsurgery.formats.upgrade.text import to_v1
from netsurgery.net.state import TEST, NetState
from netsurgery.surgery.difference.fields import (
    FieldChange,
    FieldValues,
    Tree,
    field_changes,
    field_tree,
)
from netsurgery.surgery.difference.matching import Matching, match_layers
from netsurgery.surgery.difference.meaning import NET, meaning, spelled
from netsurgery.surgery.difference.records import LayerRecord, layer_records

__all__ = ["LayerDifference", "NetDifference", "compare_nets", "compare_records"]

_NOT_NET_FIELDS = frozenset({"layer", "layers", "input", "input_dim", "input_shape"})


@dataclass(frozen=True)
class LayerDifference:
    """A layer that is in both nets, and differs.

    name, type: in the first net. new_name, new_type: in the second. moved: it comes elsewhere
    among the layers that are in both.
    """

    name: str
    new_name: str
    type: str
    new_type: str
    changes: tuple[FieldChange, ...]
    moved: bool = False

    @property
    def renamed(self) -> bool:
        """Whether the names differ."""
        return self.name != self.new_name


@dataclass(frozen=True)
class NetDifference:
    """How a second net differs from a first.

    fields: of the net itself. blobs: old name -> new name, where they differ. matched: (name,
    new name) of every layer that is in both.
    """

    fields: tuple[FieldChange, ...]
    added: tuple[LayerRecord, ...]
    removed: tuple[LayerRecord, ...]
    layers: tuple[LayerDifference, ...]
    blobs: dict[str, str]
    matched: tuple[tuple[str, str], ...]

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return not (self.fields or self.added or self.removed or self.layers or self.blobs)


def compare_nets(
    old: Prototxt,
    new: Prototxt,
    params: tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]] = ({}, {}),
    strict: bool = False,
    state: NetState = TEST,
) -> NetDifference:
    """How `new` differs from `old`.

    params: for either net the counts of each layer's params, where weights are known; they help
    to match layers. strict: a field that is written out at its default is a difference. state: in
    which shapes are worked out, by which an axis counted from the end is another's equal.

    Raises PrototxtError for a value that cannot be read, or a V0 net that cannot be brought up to
    date.
    """
    old, new = to_v1(old).result, to_v1(new).result
    before, after = (_net_fields(net, strict) for net in (old, new))
    fields = field_changes(before, after)
    first, second = (
        layer_records(net, counts, strict, state)
        for net, counts in zip((old, new), params, strict=True)
    )
    return compare_records(first, second, fields, strict)


def _net_fields(net: Prototxt, strict: bool) -> Tree:
    tree = spelled(field_tree(net.root, _NOT_NET_FIELDS), NET)
    return tree if strict else meaning(tree, NET)


def compare_records(
    old: Sequence[LayerRecord],
    new: Sequence[LayerRecord],
    fields: Sequence[FieldChange] = (),
    strict: bool = False,
) -> NetDifference:
    """How two lists of layers differ; `fields` are the changes of the nets themselves."""
    matching = match_layers(old, new)
    pairs = matching.pairs
    moved = _moved(list(pairs.values()))
    layers = [
        _layer_difference(old[i], new[j], matching, moved=j in moved, strict=strict)
        for i, j in pairs.items()
    ]
    taken = set(pairs.values())
    return NetDifference(
        fields=tuple(fields),
        added=tuple(layer for j, layer in enumerate(new) if j not in taken),
        removed=tuple(layer for i, layer in enumerate(old) if i not in pairs),
        layers=tuple(layer for layer in layers if layer.renamed or layer.moved or layer.changes),
        blobs={a: b for a, b in matching.blobs.items() if a != b},
        matched=tuple((old[i].name, new[j].name) for i, j in pairs.items()),
    )


def _moved(places: list[int]) -> set[int]:
    """The fewest of `places` (all different) without which the rest rises."""
    ends: list[int] = []  # ends[k]: the least end of a rising run of k + 1 places
    rank = {}
    for place in places:
        rank[place] = bisect_left(ends, place)
        ends[rank[place] : rank[place] + 1] = [place]
    # Read backwards, ranks give one longest rising run; what is not in it has moved.
    moved, length, above = set(), len(ends) - 1, max(places, default=0) + 1
    for place in reversed(places):
        if rank[place] == length and place < above:
            length, above = length - 1, place
        else:
            moved.add(place)
    return moved


def _layer_difference(
    old: LayerRecord, new: LayerRecord, matching: Matching, moved: bool, strict: bool
) -> LayerDifference:
    changes = []
    if old.type != new.type:
        changes.append(FieldChange("type", old.type, new.type))
    for path, old_blobs, new_blobs in (
        ("bottom", old.bottoms, new.bottoms),
        ("top", old.tops, new.tops),
    ):
        if tuple(matching.blobs.get(blob, blob) for blob in old_blobs) != new_blobs:
            changes.append(
                FieldChange(path, ", ".join(old_blobs) or None, ", ".join(new_blobs) or None)
            )
    changes += _fields(old.fields, new.fields, old.type == new.type, strict)
    # Inputs that the net itself declares have no name, so that none can have changed.
    name = new.name if old.declared else old.name
    new_name = old.name if new.declared else new.name
    return LayerDifference(name, new_name, old.type, new.type, tuple(changes), moved)


def _fields(old: Tree, new: Tree, same_type: bool, strict: bool) -> list[FieldChange]:
    """The changes of a layer's fields; those of another type's param are set side by side."""
    before, after = dict(old), dict(new)
    if not strict:
        specs = _filled(old.get("param", []), new.get("param", []))
        before["param"], after["param"] = specs
    mine = [key for key in before if key.endswith("_param") and key not in after]
    yours = [key for key in after if key.endswith("_param") and key not in before]
    if same_type or len(mine) != 1 or len(yours) != 1:
        return field_changes(before, after)
    # InnerProduct's and Convolution's: num_output, bias_term and the fillers are fields of both.
    before[yours[0]] = before.pop(mine[0])
    return [FieldChange(mine[0], None, None, yours[0]), *field_changes(before, after)]


def _filled(old: FieldValues, new: FieldValues) -> tuple[FieldValues, FieldValues]:
    """Both layers' ``param { }``: a param without one of its own is as one with an empty one."""
    both = [list(old), list(new)]
    for shorter, longer in (both, both[::-1]):
        while shorter and shorter[-1] == {}:
            shorter.pop()
        more = itertools.takewhile(lambda value: value == {}, longer[len(shorter) :])
        shorter.extend(more)
    return both[0], both[1]
