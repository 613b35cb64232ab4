"""``netsurgery diff``: how one net differs from another."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from netsurgery.cli.command import Command
from netsurgery.cli.options import json_option, quiet_option, state_options
from netsurgery.cli.printing import cell, echo, echo_json, echo_table, echo_text, text_diff
from netsurgery.errors import NetsurgeryError
from netsurgery.formats.prototxt import Prototxt, is_prototxt
from netsurgery.net.shapes import describe
from netsurgery.net.state import NetState
from netsurgery.surgery.difference.compare import LayerDifference, NetDifference
from netsurgery.surgery.difference.fields import FieldChange
from netsurgery.verbs.diff import Comparison, ParamDifference, compare_files

__all__ = ["command", "render", "to_json"]

Pair = tuple[Path, Path]

#: What cannot be compared is told apart from what differs, as diff does.
TROUBLE = 2


@click.command(
    cls=Command,
    exit_codes={
        0: "Nothing differs.",
        1: "Something differs.",
        2: "The comparison could not be done, or wrong usage.",
    },
)
@click.argument(
    "files",
    metavar="A.prototxt B.prototxt [A.caffemodel B.caffemodel]",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
)
@click.option("--text", "with_text", is_flag=True, help="Show the prototxts' unified diff, too.")
@click.option(
    "--strict",
    is_flag=True,
    help="Compare the fields as they are written: a default that is written out is a difference.",
)
@state_options
@json_option
@quiet_option
def command(
    files: tuple[Path, ...],
    with_text: bool,
    strict: bool,
    state: NetState,
    as_json: bool,
    quiet: bool,
) -> None:
    """Show how a net differs from another: layers, fields, and the numbers in their params.

    Takes two prototxts, two caffemodels (or .caffemodel.h5), or two of each; which is which is
    told by their content.
    Comments, layout and spelling are no differences, nor is a default that is written out
    (stride: 1) or an axis counted from the end, unless --strict is given. Layers of every phase are
    compared; --phase and the like say in which state shapes are known, by which axes are counted.
    Layers that were renamed are matched by type and bottoms, by their params, or by their place.
    Of a param whose numbers differ: the norm of the difference, the largest absolute difference,
    and this relative to the largest absolute value in A.

    \b
    Example:
      netsurgery diff deploy.prototxt other.prototxt model.caffemodel other.caffemodel
    """
    with trouble_is_two():
        prototxts, models = told_apart(files)
        if with_text and prototxts is None:
            raise click.UsageError("--text needs two prototxts")
        nets = (Prototxt.read(prototxts[0]), Prototxt.read(prototxts[1])) if prototxts else None
        found = compare_files(nets, models, strict, state)
        text = text_diff(nets[0], nets[1].text, nets[1].path) if with_text and nets else None
    if as_json:
        echo_json(to_json(found, files, text))
    elif not quiet:
        render(found, text)
    raise click.exceptions.Exit(0 if found.same else 1)


@contextmanager
def trouble_is_two() -> Iterator[None]:
    """Have an error exit with 2: see `cli.run`."""
    try:
        yield
    except NetsurgeryError as error:
        error.__dict__["exit_code"] = TROUBLE
        raise


def told_apart(files: tuple[Path, ...]) -> tuple[Pair | None, Pair | None]:
    """The two prototxts and the two caffemodels among the files, either None for none.

    Raises UsageError for any other number of either.
    """
    if [str(path) for path in files].count("-") > 1:
        raise click.UsageError("standard input can be one of the files only")
    kinds = [(path, is_prototxt(path)) for path in files]
    prototxts = [path for path, text in kinds if text]
    models = [path for path, text in kinds if not text]
    if len(prototxts) not in (0, 2) or len(models) not in (0, 2):
        raise click.UsageError(
            "expected two prototxts, two caffemodels or two of each; found "
            f"{len(prototxts)} of the first and {len(models)} of the second"
        )
    return _pair(prototxts), _pair(models)


def _pair(paths: list[Path]) -> Pair | None:
    return (paths[0], paths[1]) if paths else None


def to_json(found: Comparison, files: Sequence[Path], text: str | None) -> dict[str, Any]:
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


def _change(change: FieldChange) -> dict[str, Any]:
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


def render(found: Comparison, text: str | None = None) -> None:
    """Print the facts for a person."""
    for line in _lines(found.net):
        echo(cell(line))
    unequal = [param for param in found.params if param.status != "equal"]
    if unequal:
        echo_table([_HEAD, *map(_row, unequal)], "lllrrr")
    if text:
        echo_text(text)
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


def _field_line(change: FieldChange) -> str:
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
