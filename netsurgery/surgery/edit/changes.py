"""What one operation of an edit changes: params, layers, and fields of the prototxt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

from netsurgery.io.shape_text import shape_text
from netsurgery.io.wording import counted
from netsurgery.net.net import Layer, NetDefinition, Shape
from netsurgery.surgery.difference.fields import FieldChange, field_changes, field_tree

__all__ = ["LayerEvent", "ParamChange", "SavedParam", "Step", "layer_events", "layer_fields"]

#: The fields at the top of a prototxt that hold layers.
_LAYERS = frozenset({"layer", "layers"})


@dataclass(frozen=True)
class ParamChange:
    """A param with new values.

    shape: as it was, None for a param that is new. new_shape: as it is. changed: how many of its
    values differ, None where the shapes do. what: what was done, "" where the numbers say it all.
    seed: of the random numbers in it, if any.
    """

    layer: str
    index: int
    shape: Shape | None
    new_shape: Shape
    changed: int | None
    what: str = ""
    seed: int | None = None

    def followed_by(self, later: ParamChange) -> ParamChange:
        """Both changes as one."""
        same = self.shape == later.new_shape and None not in (self.changed, later.changed)
        # Not a union: which values each of the two changed is not noted.
        changed = max(self.changed or 0, later.changed or 0) if same else None
        return ParamChange(
            self.layer,
            self.index,
            self.shape,
            later.new_shape,
            changed,
            "; ".join(dict.fromkeys(filter(None, (self.what, later.what)))),
            self.seed if later.seed is None else later.seed,
        )

    @property
    def row(self) -> tuple[str, str]:
        """The param, and how it changes."""
        if self.shape is None:
            change = f"added, {shape_text(self.new_shape)}"
        elif self.changed is None:
            change = f"{shape_text(self.shape)} -> {shape_text(self.new_shape)}"
        else:
            change = f"{self.changed} of {counted(prod(self.shape), 'value')} change"
        return f"{self.layer}[{self.index}]", f"{change}{f' ({self.what})' if self.what else ''}"

    def to_json(self) -> dict[str, Any]:
        """As a record."""
        return {
            "layer": self.layer,
            "index": self.index,
            "shape": None if self.shape is None else list(self.shape),
            "new_shape": list(self.new_shape),
            "changed": self.changed,
            "seed": self.seed,
            "what": self.what,
        }


class LayerEvent(NamedTuple):
    """A layer that is "removed" from the net, or "added" to it; what: why, or as what."""

    layer: str
    type: str
    change: str
    what: str = ""

    @property
    def row(self) -> tuple[str, str]:
        """The layer, and what becomes of it."""
        what = f", {self.what}" if self.what else ""
        return f"{self.layer} ({self.type})", f"{self.change}{what}"

    def to_json(self) -> dict[str, Any]:
        """As a record."""
        return {"layer": self.layer, "type": self.type, "change": self.change, "what": self.what}


@dataclass(frozen=True)
class SavedParam:
    """A param, or a part of it of `shape`, that is written to a file."""

    layer: str
    index: int
    shape: Shape
    file: str

    @property
    def row(self) -> tuple[str, str]:
        """The param, and where it goes."""
        values = f"{shape_text(self.shape)} values saved to {self.file}"
        return f"{self.layer}[{self.index}]", values

    def to_json(self) -> dict[str, Any]:
        """As a record."""
        return {
            "layer": self.layer,
            "index": self.index,
            "shape": list(self.shape),
            "file": self.file,
        }


class Step(NamedTuple):
    """One operation, as it was written, and what it changes.

    name: "fold", "outputs", ... or, of an assignment to a param, "=", "+=", ... fields: the layer
    (None for the net itself) and how a field of it changes.
    """

    operation: str
    name: str
    params: tuple[ParamChange, ...] = ()
    layers: tuple[LayerEvent, ...] = ()
    fields: tuple[tuple[str | None, FieldChange], ...] = ()
    saved: tuple[SavedParam, ...] = ()
    notes: tuple[str, ...] = ()

    def rows(self) -> list[tuple[str, str]]:
        """What changes, and how; one row at least."""
        rows = [param.row for param in self.params]
        rows += [(layer or "net", _field_change(field)) for layer, field in self.fields]
        rows += [event.row for event in self.layers]
        rows += [param.row for param in self.saved]
        return rows or [("", "no change")]

    def lines(self) -> Iterator[str]:
        """The operation, and below it a line for each thing that it changes."""
        yield self.operation
        yield from (f"  {': '.join(filter(None, row))}" for row in self.rows())

    def to_json(self) -> dict[str, Any]:
        """As a record; a field's values are as the prototxt has them, null where there is none."""
        return {
            "operation": self.operation,
            "name": self.name,
            "params": [param.to_json() for param in self.params],
            "layers": [layer.to_json() for layer in self.layers],
            "fields": [
                {"layer": layer, "path": field.path, "old": field.old, "new": field.new}
                for layer, field in self.fields
            ],
            "saved": [param.to_json() for param in self.saved],
            "notes": list(self.notes),
        }


def _field_change(field: FieldChange) -> str:
    old, new = ("(none)" if value is None else value for value in (field.old, field.new))
    return f"{field.path} {old} -> {new}"


def layer_events(old: NetDefinition, new: NetDefinition) -> Iterator[LayerEvent]:
    """The layers that `new` lacks, in the order of `old`, then those that it has more."""
    before, after = _layers(old), _layers(new)
    for key, layer in before.items():
        if key not in after:
            yield LayerEvent(layer.name, layer.type, "removed")
    for key, layer in after.items():
        if key not in before:
            yield LayerEvent(layer.name, layer.type, "added")


def layer_fields(
    old: NetDefinition, new: NetDefinition
) -> Iterator[tuple[str | None, FieldChange]]:
    """The fields that change of the net itself, and of layers that both nets have."""
    before, after = (field_tree(net.prototxt.root, _LAYERS) for net in (old, new))
    yield from ((None, change) for change in field_changes(before, after))
    layers = _layers(new)
    for key, layer in _layers(old).items():
        if key in layers:
            before, after = field_tree(layer.message), field_tree(layers[key].message)
            yield from ((layer.name, change) for change in field_changes(before, after))


def _layers(net: NetDefinition) -> dict[tuple[str, int], Layer]:
    """Name, and which of several layers of that name -> the layer."""
    layers: dict[tuple[str, int], Layer] = {}
    counts: Counter[str] = Counter()
    for layer in net.layers:
        # Several layers may bear one name; they are matched in file order.
        layers[layer.name, counts[layer.name]] = layer
        counts[layer.name] += 1
    return layers
