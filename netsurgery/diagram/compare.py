"""The graph of a net with what differs from an earlier one: added, changed, and what is gone.

A layer that is gone stands where it stood: in the box of its chain, or in a box of its own between
the boxes that its neighbours are in now.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from netsurgery.diagram.graph import BoxRole, Changed, DrawnBox, DrawnLayer, Edge, Mark, NetGraph
from netsurgery.surgery.difference.compare import LayerDifference, NetDifference

__all__ = ["changes_of", "with_removed"]

_REMOVED = Changed(Mark.REMOVED)


def changes_of(
    difference: NetDifference, params: Mapping[str, Sequence[str]] | None = None
) -> dict[str, Changed]:
    """The new net's layers that differ, by name, each with its lines.

    params: layer -> what there is to say of its params.
    """
    lines = {layer.new_name: list(_lines(layer)) for layer in difference.layers}
    for layer, more in (params or {}).items():
        lines.setdefault(layer, []).extend(more)
    changed = {layer: Changed(Mark.CHANGED, tuple(several)) for layer, several in lines.items()}
    return {**changed, **{layer.name: Changed(Mark.ADDED) for layer in difference.added}}


def _lines(layer: LayerDifference) -> Iterator[str]:
    if layer.renamed:
        yield f"was {layer.name}"
    if layer.moved:
        yield "at another place"
    yield from map(str, layer.changes)


def with_removed(new: NetGraph, old: NetGraph, difference: NetDifference) -> NetGraph:
    """The new net's graph with the layers that only the old one has.

    old, new: the graphs of both nets, that of the new one by the `changes_of` the difference.
    """
    return _Merger(new, old, difference).merged()


class _Merger:
    def __init__(self, new: NetGraph, old: NetGraph, difference: NetDifference) -> None:
        self.old, self.new = old, new
        self.gone = {layer.name for layer in difference.removed}
        self.renamed = dict(difference.matched)
        self.boxes = list(new.boxes)
        self.edges = list(new.edges)
        #: The new net's layer -> the key of its box; and the same of inputs and outputs.
        self.place = {layer.name: box.key for box in new.boxes for layer in box.layers}
        self.blobs = {(box.role, box.name): box.key for box in new.boxes if not box.layers}
        self.blob_names: Mapping[str, str] = difference.blobs

    def merged(self) -> NetGraph:
        """The graph with everything in it."""
        ghosts = {}
        for box in self.old.boxes:
            gone = [layer for layer in box.layers if layer.name in self.gone]
            if not gone:
                continue
            host = self._present(box)
            # A chain that has lost its first layer begins elsewhere now.
            if host is None or box.layers[0].name in self.gone:
                ghosts[box.key] = self._ghost(gone)
            else:
                self._insert(box, host)
        for edge in self.old.edges:
            self._connect(edge, ghosts)
        return replace(self.new, boxes=tuple(self.boxes), edges=tuple(self.edges))

    def _present(self, box: DrawnBox) -> int | None:
        """Where the layers of an old box that are still there are now; None for nowhere."""
        keys = (self.place.get(self.renamed.get(layer.name, "")) for layer in box.layers)
        return next((key for key in keys if key is not None), None)

    def _ghost(self, layers: list[DrawnLayer]) -> int:
        key = len(self.boxes)
        removed = tuple(replace(layer, changed=_REMOVED) for layer in layers)
        self.boxes.append(DrawnBox(key, BoxRole.LAYERS, removed))
        return key

    def _insert(self, old: DrawnBox, host: int) -> None:
        """Put what is gone from an old box into the new one, after the layer that was before it."""
        layers = list(self.boxes[host].layers)
        names = [layer.name for layer in layers]
        at = 0
        for layer in old.layers:
            name = self.renamed.get(layer.name, "")
            if layer.name in self.gone:
                layers.insert(at, replace(layer, changed=_REMOVED))
                names.insert(at, "")
                at += 1
            elif name in names:
                at = names.index(name) + 1
        self.boxes[host] = replace(self.boxes[host], layers=tuple(layers))

    def _connect(self, edge: Edge, ghosts: Mapping[int, int]) -> None:
        """An edge of the old net that begins or ends at what is gone."""
        if edge.source not in ghosts and edge.target not in ghosts:
            return
        ends = [self._end(key, ghosts) for key in (edge.source, edge.target)]
        if ends[0] is not None and ends[1] is not None and ends[0] != ends[1]:
            self.edges.append(Edge(ends[0], ends[1], edge.blob, edge.shape, Mark.REMOVED))

    def _end(self, key: int, ghosts: Mapping[int, int]) -> int | None:
        if key in ghosts:
            return ghosts[key]
        box = self.old.boxes[key]
        if box.layers:
            return self._present(box)
        return self.blobs.get((box.role, self.blob_names.get(box.name, box.name)))
