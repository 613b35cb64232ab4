"""``netsurgery inspect``: what is in a net and its weights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import click

from netsurgery.cli.command import Command, WordType
from netsurgery.cli.options import (
    json_option,
    quiet_option,
    state_options,
    whole_numbers,
)
from netsurgery.cli.printing import cell, echo, echo_json, echo_table, joined
from netsurgery.formats.prototxt import is_prototxt
from netsurgery.formats.weights import open_weights
from netsurgery.io.memory import size_text
from netsurgery.net.field import ReceptiveField
from netsurgery.net.net import MAX_DIM, Shape
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.shapes import describe
from netsurgery.net.state import TEST, NetState
from netsurgery.verbs.blob_statistics import BlobStatistics
from netsurgery.verbs.inspection import (
    InputSize,
    Inspection,
    LayerReport,
    inspect_net,
    inspect_weights,
)

__all__ = ["command", "render", "to_json"]

#: Caffe's blobs have no more.
_AXES = 32


def input_size(text: str) -> InputSize:
    """``"227x227"`` is (227, 227); ``"data=1x3x64x64"`` the whole shape of one input.

    Raises ValueError.
    """
    name, _, size = text.rpartition("=")
    dims = whole_numbers(size.lower(), "x", MAX_DIM)
    if not dims or 0 in dims or len(dims) > _AXES:
        raise ValueError(f"{size!r} is not HEIGHTxWIDTH, nor a whole shape like 1x3x227x227")
    return InputSize(name or None, dims)


@click.command(
    cls=Command,
    exit_codes={
        0: "Done.",
        1: "The weights do not fit the net, or an error.",
        2: "Wrong usage.",
    },
)
@click.argument(
    "files",
    metavar="[NET.prototxt] [MODEL.caffemodel]",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
)
@click.option(
    "--size",
    "sizes",
    type=WordType("[INPUT=]HxW", input_size),
    multiple=True,
    help="Another size of the input; INPUT= where there are several, all of NxCxHxW if need be.",
)
@state_options
@click.option(
    "--field",
    "with_fields",
    is_flag=True,
    help="Show what a cell of each top sees of the input: size, stride, offset in pixels.",
)
@click.option(
    "--stats",
    "with_statistics",
    is_flag=True,
    help="Sum up the numbers of each param: min, max, mean, deviation, zeros, NaN, Inf.",
)
@json_option
@quiet_option
def command(
    files: tuple[Path, ...],
    sizes: tuple[InputSize, ...],
    state: NetState,
    with_fields: bool,
    with_statistics: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Show a net: its layers, shapes, params and costs, and whether its weights fit.

    Takes a prototxt, a caffemodel (or .caffemodel.h5) or both; which is which is told by their
    content. Heights come before widths. Multiply-adds are products with weights: top count x
    kernel volume x channels / group of a Convolution, bottom count x kernel volume x outputs /
    group of a Deconvolution, top count x inputs of an InnerProduct, LSTM and RNN likewise; biases
    and layers without weights count nothing. Memory is that of the tops' numbers in float32 for
    the batch that the net declares, once where tops are in place; gradients would take as much
    again.

    \b
    Example:
      netsurgery inspect deploy.prototxt model.caffemodel --field
    """
    prototxt, weights = told_apart(files)
    if prototxt is None and (sizes or with_fields or state != TEST):
        raise click.UsageError(
            "--size, --input-shape, --phase, --stage, --level and --field need a prototxt"
        )
    if weights is None and with_statistics:
        raise click.UsageError("--stats needs a caffemodel")
    if prototxt is None:
        assert weights is not None
        with open_weights(weights) as alone:
            found = inspect_weights(alone, with_statistics)
    else:
        with NetWithWeights.open(prototxt, weights, state) as model:
            found = inspect_net(
                model,
                sizes=sizes,
                with_fields=with_fields,
                with_statistics=with_statistics,
            )
    if as_json:
        echo_json(to_json(found))
    elif not quiet:
        render(found, with_fields)
    if found.fits is False:
        raise click.exceptions.Exit(1)


def told_apart(files: tuple[Path, ...]) -> tuple[Path | None, Path | None]:
    """(prototxt, caffemodel) of one or two files; raises UsageError for two of a kind."""
    prototxts = [path for path in files if is_prototxt(path)]
    models = [path for path in files if path not in prototxts]
    if len(files) > 2 or len(prototxts) > 1 or len(models) > 1:
        raise click.UsageError(
            f"expected one prototxt, one caffemodel or one of each; found {len(prototxts)} "
            f"prototxts and {len(models)} caffemodels"
        )
    return next(iter(prototxts), None), next(iter(models), None)


def to_json(found: Inspection) -> dict[str, Any]:
    """Everything there is to tell, in plain values; None for what is not known, never NaN."""
    whole = found.total
    return {
        "prototxt": found.prototxt,
        "weights": found.weights,
        "name": found.name,
        "generation": found.generation,
        **_state(found.state),
        "inputs": {name: _listed(shape) for name, shape in found.inputs.items()},
        "outputs": list(found.outputs),
        "layers": [_layer(layer) for layer in found.layers],
        "unknown": [{"reason": one.reason, "blobs": list(one.blobs)} for one in found.unknown],
        "fits": found.fits,
        "layers_without_params": list(found.missing),
        "params_without_layer": list(found.extra),
        "differing": [
            {
                "layer": one.layer,
                "net": [None if shape is None else list(shape) for shape in one.net],
                "model": [list(shape) for shape in one.model],
            }
            for one in found.differing
        ],
        "notes": list(found.notes),
        "extra_statistics": {
            name: [_statistics(one) for one in several]
            for name, several in found.extra_statistics.items()
        },
        "total": {
            "layers": len(found.layers),
            "params": whole.params,
            "param_bytes": whole.param_memory,
            "multiply_adds": whole.multiply_adds if found.prototxt else None,
            "bytes": whole.memory if found.prototxt else None,
            "complete": whole.complete,
        },
    }


def _state(state: NetState | None) -> dict[str, Any]:
    """What decided which layers are listed; None for weights alone."""
    names = ("phase", "level", "stages")
    if state is None:
        return dict.fromkeys(names)
    return dict(zip(names, (state.phase, state.level, list(state.stages)), strict=True))


def _listed(shape: Shape | None) -> list[int] | None:
    return None if shape is None else list(shape)


def _layer(layer: LayerReport) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": layer.name,
        "type": layer.type,
        "bottoms": list(layer.bottoms),
        "tops": list(layer.tops),
        "shapes": [_listed(shape) for shape in layer.shapes],
        "params": None if layer.params is None else [list(shape) for shape in layer.params],
        "count": None if layer.params is None else layer.count,
        "multiply_adds": layer.multiply_adds,
        "bytes": layer.memory,
    }
    if layer.fields:
        made["fields"] = [_field(one) for one in layer.fields]
    if layer.statistics:
        made["statistics"] = [_statistics(one) for one in layer.statistics]
    return made


def _field(field: ReceptiveField | None) -> dict[str, Any] | None:
    if field is None:
        return None
    sizes = {key: list(map(float, getattr(field, key))) for key in ("size", "stride", "offset")}
    return {"input": field.input, **sizes, "whole": field.whole}


def _statistics(one: BlobStatistics) -> dict[str, Any]:
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in vars(one).items()
    }


def render(found: Inspection, with_fields: bool = False) -> None:
    """Print the facts for a person."""
    if found.prototxt is None:
        echo_table(_model_rows(found), "llllrr")
    else:
        echo_table(_net_rows(found, with_fields), "llllllrrrrrr")
    _show_statistics(found)
    for note in (*found.notes, *_notes(found)):
        echo(cell(f"note: {note}"))
    echo(cell(_total(found)))


def _net_rows(found: Inspection, with_fields: bool) -> Iterable[Sequence[str]]:
    fields = ["field", "stride", "offset"] if with_fields else []
    yield (*_HEAD[:6], "count", "multiply-adds", "memory", *fields)
    made = {top for layer in found.layers for top in layer.tops}
    for name, shape in found.inputs.items():
        if name not in made:  # declared by the net itself, no layer
            told = "?" if shape is None else describe(shape)
            yield (name, "(input)", "", name, told, "", "", "", "", *[""] * len(fields))
    for layer in found.layers:
        yield (
            *_names(layer),
            joined(["?" if shape is None else describe(shape) for shape in layer.shapes]),
            _params(layer),
            f"{layer.count:,}" if layer.params else "",
            _number(layer.multiply_adds),
            "?" if layer.memory is None else size_text(layer.memory) if layer.memory else "",
            *(_field_cells(layer) if with_fields else ()),
        )


_HEAD = ("layer", "type", "bottoms", "tops", "shapes", "params")


def _model_rows(found: Inspection) -> Iterable[Sequence[str]]:
    yield (*_HEAD[:4], "params", "count")
    for layer in found.layers:
        yield (*_names(layer), _params(layer), f"{layer.count:,}" if layer.params else "")


def _names(layer: LayerReport) -> tuple[str, str, str, str]:
    return layer.name, layer.type, joined(layer.bottoms), joined(layer.tops)


def _params(layer: LayerReport) -> str:
    return "?" if layer.params is None else joined([describe(shape) for shape in layer.params])


def _number(value: int | None) -> str:
    return "?" if value is None else f"{value:,}" if value else ""


def _field_cells(layer: LayerReport) -> tuple[str, str, str]:
    """Size, stride and offset of the first top's field; a layer's tops have the same."""
    field = layer.fields[0] if layer.fields else None
    if field is None:
        return "", "", ""
    whole = " whole" if field.whole else ""
    return _pair(field.size) + whole, _pair(field.stride), _pair(field.offset)


def _pair(pair: tuple[Fraction, Fraction]) -> str:
    return f"{pair[0]}x{pair[1]}"


def _show_statistics(found: Inspection) -> None:
    several = [(layer.name, layer.statistics) for layer in found.layers if layer.statistics]
    several += found.extra_statistics.items()
    if not several:
        return
    rows = [("param", "min", "max", "mean", "std", "zeros", "NaN", "Inf", "bytes")]
    for name, statistics in several:
        for index, one in enumerate(statistics):
            values = [_value(value) for value in (one.min, one.max, one.mean, one.std)]
            counts = [f"{count:,}" for count in (one.zeros, one.nans, one.infs, one.bytes)]
            rows.append((f"{name}[{index}]", *values, *counts))  # type: ignore[arg-type]
    echo("")
    echo_table(rows, "lrrrrrrrr")
    echo("")


def _value(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.5g}"


def _notes(found: Inspection) -> Iterable[str]:
    for one in found.unknown:
        yield f"no shape of {joined([repr(blob) for blob in one.blobs])}: {one.reason}"
    for name in found.missing:
        yield f"the model has no params for layer {name!r}"
    for name in found.extra:
        yield f"the model has params of a layer {name!r}, which the net has not"
    for difference in found.differing:
        net, model = (_shapes(side) for side in (difference.net, difference.model))
        yield f"params of layer {difference.layer!r}: {net} in the net, {model} in the model"


def _shapes(shapes: Sequence[Shape | None]) -> str:
    return ", ".join("?" if of is None else describe(of) for of in shapes) or "none"


def _total(found: Inspection) -> str:
    whole = found.total
    some = any(layer.params is None for layer in found.layers)
    parts = [
        f"{len(found.layers)} layers",
        f"{'at least ' * some}{whole.params:,} params ({size_text(whole.param_memory)})",
    ]
    if found.prototxt is not None:
        least = "" if whole.complete else "at least "
        parts.append(f"{least}{whole.multiply_adds:,} multiply-adds")
        parts.append(f"{least}{size_text(whole.memory)} of blobs")
    return f"total: {', '.join(parts)}"
