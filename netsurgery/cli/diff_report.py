"""What ``netsurgery diff`` tells, as JSON and for people."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from netsurgery.cli.printing import echo
from netsurgery.cli.table import cell, echo_table
from netsurgery.jobs.diff import Comparison, ParamDifference
from netsurgery.net.shapes import describe
from netsurgery.surgery.difference.compare import LayerDifference, NetDifference
from netsurgery.surgery.difference.fields import Change

__all__ = ["facts", "show"]


def facts(found: Comparison, files: Sequence[Path], text: str | None) -> dict[str, Any]:
    """Everything there is to tell, in plain values; None for what is infinite."""
    net = found.net
    made: dict[str, Any] = {
        "files": [str(path) for path in files],
        "same": found.same,
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
        "params": [_param(param) for param in found.params],
    }
    return made if text is None else {**made, "text": text}


def _change(change: Change) -> dict[str, Any]:
    made = {"path": change.path, "old": change.old, "new": change.new}
    return {**made, "renamed_to": change.renamed_to} if change.renamed_to else made


def _param(param: ParamDifference) -> dict[str, Any]:
    made: dict[str, Any] = {
        "layer": param.layer,
        "new_layer": param.new_layer,
        "index": param.index,
        "status": param.status,
        "shape": None if param.shape is None else list(param.shape),
        "new_shape": None if param.new_shape is None else list(param.new_shape),
    }
    if param.distance is not None:
        for key, value in vars(param.distance).items():
            made[key] = value if math.isfinite(value) else None
    return made


def show(found: Comparison, text: str | None = None) -> None:
    """Print the facts for a person."""
    for line in _lines(found.net):
        echo(cell(line))
    unequal = [param for param in found.params if param.status != "equal"]
    if unequal:
        echo_table([_HEAD, *map(_row, unequal)], "lllrrr")
    if text:
        echo(text, nl=False)
    echo(_summary(found))


def _lines(net: NetDifference) -> Iterator[str]:
    """A line for each difference of structure, fields indented below their layer."""
    yield from map(_field_line, net.fields)
    for layer in net.removed:
        yield f"- layer {layer.name} ({layer.type})"
    for layer in net.added:
        yield f"+ layer {layer.name} ({layer.type})"
    for difference in net.layers:
        yield f"layer {_title(difference)}"
        yield from (f"    {_field_line(change)}" for change in difference.changes)
    for old, new in net.blobs.items():
        yield f"blob {old} -> {new}"


def _title(layer: LayerDifference) -> str:
    name = f"{layer.name} -> {layer.new_name}" if layer.renamed else layer.name
    marks = ["renamed"] * layer.renamed + ["moved"] * layer.moved
    marks += ["changed"] * bool(layer.changes)
    kind = f" ({layer.new_type})" if layer.new_type else ""
    return f"{name}{kind}: {', '.join(marks)}"


def _field_line(change: Change) -> str:
    if change.renamed_to:
        return f"{change.path} -> {change.renamed_to}"
    old, new = ("(none)" if value is None else value for value in (change.old, change.new))
    return f"{change.path}: {old} -> {new}"


_HEAD = ("param", "", "shape", "max difference", "relative", "norm")


def _row(param: ParamDifference) -> tuple[str, ...]:
    name = f"{param.layer}[{param.index}]"
    if param.new_layer != param.layer:
        name += f" -> {param.new_layer}[{param.index}]"
    shapes = [describe(s) for s in (param.shape, param.new_shape) if s is not None]
    apart = param.distance
    values = ["0" if param.status == "reshaped" else ""] * 3
    if apart is not None:
        values = [f"{value:.3g}" for value in (apart.max_abs, apart.relative, apart.norm)]
    return name, param.status, " -> ".join(dict.fromkeys(shapes)), *values


def _summary(found: Comparison) -> str:
    net = found.net
    if found.same:
        params = f"; {len(found.params)} params equal" if found.params else ""
        return f"no difference: {len(net.matched)} layers{params}"
    counts = {
        "added": len(net.added),
        "removed": len(net.removed),
        "renamed": sum(layer.renamed for layer in net.layers),
        "moved": sum(layer.moved for layer in net.layers),
        "changed": sum(bool(layer.changes) for layer in net.layers),
    }
    told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    parts = [f"layers: {told or f'all {len(net.matched)} alike'}"]
    if found.params:
        statuses = Counter(param.status for param in found.params)
        params = ", ".join(f"{statuses[word]} {word}" for word in _STATUSES if statuses[word])
        parts.append(f"params: {params}")
    return "; ".join(parts)


_STATUSES = ("equal", "reshaped", "different", "removed", "added")
