"""What `diff` returns."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from netsurgery.formats.blob import Shape
from netsurgery.io.shape_text import shape_text
from netsurgery.io.short_repr import ShortRepr
from netsurgery.io.table import Column, Table
from netsurgery.io.wording import counted
from netsurgery.surgery.difference.compare import LayerDifference, NetDifference
from netsurgery.surgery.difference.fields import FieldChange

if TYPE_CHECKING:
    from netsurgery.verbs.blob_statistics import BlobDistance

__all__ = ["Comparison", "ParamDifference"]

_STATUSES = ("equal", "reshaped", "transposed", "different", "removed", "added")
_COLUMNS = (
    Column("param"),
    Column("", 1),
    Column("shape", 2),
    Column("max difference", 3, number=True),
    Column("relative", 1, number=True),
    Column("norm", 4, number=True),
)


@dataclass(frozen=True)
class ParamDifference:
    """One param of a layer, in two models.

    status: "equal"; "reshaped", the same numbers under another shape; "transposed", one of two
    InnerProducts of one weight stores it K x O, the other O x K; "different"; "removed" or "added",
    in one model only. shape, new_shape: None in the model that does not have it. distance: between
    the numbers as the layers compute with them, None where they are equal or not as many.
    """

    layer: str
    new_layer: str
    index: int
    status: str
    shape: Shape | None
    new_shape: Shape | None
    distance: BlobDistance | None = None

    def to_json(self) -> dict[str, Any]:
        """The param as plain values; None for what is infinite."""
        record: dict[str, Any] = {
            "layer": self.layer,
            "new_layer": self.new_layer,
            "index": self.index,
            "status": self.status,
            "shape": None if self.shape is None else list(self.shape),
            "new_shape": None if self.new_shape is None else list(self.new_shape),
        }
        for key, value in vars(self.distance).items() if self.distance else ():
            record[key] = value if math.isfinite(value) else None
        return record

    def _cells(self) -> Sequence[str]:
        name = f"{self.layer}[{self.index}]"
        if self.new_layer != self.layer:
            name += f" -> {self.new_layer}[{self.index}]"
        shapes = [shape_text(each) for each in (self.shape, self.new_shape) if each is not None]
        values = ["0" if self.status in ("reshaped", "transposed") else ""] * 3
        if self.distance is not None:
            numbers = (self.distance.max_abs, self.distance.relative, self.distance.norm)
            values = [f"{value:.3g}" for value in numbers]
        return name, self.status, " -> ".join(dict.fromkeys(shapes)), *values


@dataclass(frozen=True, repr=False)
class Comparison(ShortRepr):
    """How the second net and model differ from the first.

    net: by the prototxts; by the models' own layers where these are all there is. params: every
    param, those of the first model in its order, then those that are only in the second. text: the
    unified diff of the prototxts, and drawing: the file of their drawing, where that was asked for.

    >>> import netsurgery as ns
    >>> net = "prototxt/digits_deploy.prototxt"
    >>> result = ns.diff(net, net)
    >>> result.same, list(result.lines())
    (True, [])
    """

    files: tuple[str, ...]
    net: NetDifference
    params: tuple[ParamDifference, ...]
    text: str | None = None
    drawing: str | None = None

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return self.net.same and all(param.status == "equal" for param in self.params)

    def to_json(self) -> dict[str, Any]:
        """What `diff --json` prints; None for what is infinite."""
        net = self.net
        record: dict[str, Any] = {
            "files": list(self.files),
            "same": self.same,
            "fields": [_change(change) for change in net.fields],
            "added": [{"name": layer.name, "type": layer.type} for layer in net.added],
            "removed": [{"name": layer.name, "type": layer.type} for layer in net.removed],
            "layers": [
                {
                    "name": layer.name,
                    "new_name": layer.new_name,
                    "type": layer.type,
                    "new_type": layer.new_type,
                    "renamed": layer.renamed,
                    "moved": layer.moved,
                    "changes": [_change(change) for change in layer.changes],
                }
                for layer in net.layers
            ],
            "renamed_blobs": net.blobs,
            "params": [param.to_json() for param in self.params],
        }
        for key, asked in (("text", self.text), ("drawing", self.drawing)):
            if asked is not None:
                record[key] = asked
        return record

    def __str__(self) -> str:
        net = self.net
        if self.same:
            params = f"; {counted(len(self.params), 'param')} equal" if self.params else ""
            return f"no difference: {counted(len(net.matched), 'layer')}{params}"
        counts = {
            "added": len(net.added),
            "removed": len(net.removed),
            "renamed": sum(layer.renamed for layer in net.layers),
            "moved": sum(layer.moved for layer in net.layers),
            "changed": sum(bool(layer.changes) for layer in net.layers),
        }
        words = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
        parts = [f"layers: {words or f'all {len(net.matched)} alike'}"]
        if self.params:
            statuses = Counter(param.status for param in self.params)
            words = ", ".join(f"{statuses[word]} {word}" for word in _STATUSES if statuses[word])
            parts.append(f"params: {words}")
        return f"different; {'; '.join(parts)}"

    def _repr_html_(self) -> str:
        import html

        lines = "\n".join(map(html.escape, self.lines()))
        tables = [table.html() for table in [self.params_table()] if table.rows]
        return "\n".join(
            [f"<p>{html.escape(str(self))}</p>", *([f"<pre>{lines}</pre>"] * bool(lines)), *tables]
        )

    def lines(self) -> Iterator[str]:
        """A line for each difference of structure, fields indented below their layer."""
        net = self.net
        yield from map(str, net.fields)
        for record in net.removed:
            yield f"- layer {record.name} ({record.type})"
        for record in net.added:
            yield f"+ layer {record.name} ({record.type})"
        for layer in net.layers:
            yield f"layer {_title(layer)}"
            yield from (f"    {change}" for change in layer.changes)
        for old, new in net.blobs.items():
            yield f"blob {old} -> {new}"

    def params_table(self) -> Table:
        """The params that are not equal."""
        unequal = [param for param in self.params if param.status != "equal"]
        return Table(_COLUMNS, [param._cells() for param in unequal])


def _title(layer: LayerDifference) -> str:
    """The layer, and in which ways it differs."""
    name = f"{layer.name} -> {layer.new_name}" if layer.renamed else layer.name
    marks = ["renamed"] * layer.renamed + ["moved"] * layer.moved
    marks += ["changed"] * bool(layer.changes)
    kind = f" ({layer.new_type})" if layer.new_type else ""
    return f"{name}{kind}: {', '.join(marks)}"


def _change(change: FieldChange) -> dict[str, Any]:
    record = {"path": change.path, "old": change.old, "new": change.new}
    return {**record, "renamed_to": change.renamed_to} if change.renamed_to else record
