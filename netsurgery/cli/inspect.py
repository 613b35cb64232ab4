"""``netsurgery inspect``: what is in a net and its weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from netsurgery.cli.command import Command, WordType, of_net, useless
from netsurgery.cli.files import (
    FILE_PATH,
    NET_OR_WEIGHTS,
    for_nets,
    for_weights,
    prototxt_and_weights,
)
from netsurgery.cli.options import (
    force_option,
    is_printed,
    json_option,
    output_option,
    quiet_option,
    state_options,
    whole_numbers,
)
from netsurgery.cli.printing import (
    echo,
    echo_json,
    echo_labelled,
    echo_notes,
    echo_table,
    echo_text,
    terminal_width,
)
from netsurgery.io.targets import STDOUT
from netsurgery.net.state import NetState

if TYPE_CHECKING:
    from netsurgery.verbs.inspect import NewInputSize
    from netsurgery.verbs.inspect_param import ParamInspection
    from netsurgery.verbs.inspect_result import Inspection

__all__ = ["command"]

#: Caffe's blobs have no more.
_AXES = 32


def input_size(text: str) -> NewInputSize:
    """``"227x227"`` is (227, 227); ``"data=1x3x64x64"`` the whole shape of one input.

    Raises ValueError.
    """
    from netsurgery.net.net import MAX_DIM
    from netsurgery.verbs.inspect import NewInputSize

    name, _, size = text.rpartition("=")
    dims = whole_numbers(size.lower(), "x", MAX_DIM)
    if not dims or 0 in dims or len(dims) > _AXES:
        raise ValueError(f"{size!r} is not HEIGHTxWIDTH, nor a whole shape like 1x3x227x227")
    return NewInputSize(name or None, dims)


_for_whole_nets = useless("with --param", lambda values: values["param"] is not None)
_for_params = useless("without --param", lambda values: values["param"] is None)


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
    type=NET_OR_WEIGHTS,
)
@_for_whole_nets(
    for_nets(
        click.option(
            "--size",
            "sizes",
            type=WordType("[INPUT=]HxW", input_size),
            multiple=True,
            help="Use this input size, or this whole shape NxCxHxW; INPUT= names one of several "
            "inputs.",
        )
    )
)
@for_nets(state_options)
@_for_whole_nets(
    for_nets(
        click.option(
            "--field",
            "with_fields",
            is_flag=True,
            help="Show the receptive field of each top (size, stride and offset in input pixels), "
            "and what a large input costs in tiles.",
        )
    )
)
@_for_whole_nets(
    for_weights(
        click.option(
            "--stats",
            "with_statistics",
            is_flag=True,
            help="Show statistics of each param: min, max, mean, deviation, zeros, NaN, Inf.",
        )
    )
)
@for_weights(
    click.option(
        "--param",
        metavar="LAYER[INDEX]",
        shell_complete=of_net("complete_param"),
        help="Show one param, or a part of it as in conv1[0][:4], instead of the net.",
    )
)
@_for_params(
    output_option(
        "--npy",
        metavar="FILE",
        type=FILE_PATH,
        help="Write the param's values as float32; - is standard output.",
    )
)
@_for_params(
    output_option(
        "--picture",
        metavar="FILE",
        type=FILE_PATH,
        help="Draw the param, as .png, .jpg, .webp or .svg: filters as tiles, blue for negative, "
        "red for positive values; those over three channels in their colors.",
    )
)
@useless("without --npy or --picture", lambda values: not (values["npy"] or values["picture"]))(
    force_option
)
@json_option
@quiet_option
def command(
    files: tuple[Path, ...],
    sizes: tuple[NewInputSize, ...],
    state: NetState,
    with_fields: bool,
    with_statistics: bool,
    param: str | None,
    npy: Path | None,
    picture: Path | None,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Show the layers, shapes, params and costs of a net, and whether its weights fit.

    Takes a prototxt, a caffemodel (or .caffemodel.h5), or both, in any order. Sizes are height x
    width. Multiply-adds count products with weights: top count x kernel volume x channels / group
    for Convolution, bottom count x kernel volume x outputs / group for Deconvolution, top count x
    inputs for InnerProduct, and likewise for LSTM and RNN; biases and layers without weights are
    not counted. Memory is that of the tops in float32 at the net's own batch size, counted once
    for in-place layers; gradients would need as much again.

    \b
    Example:
      netsurgery inspect deploy.prototxt model.caffemodel --field
      netsurgery inspect model.caffemodel --param conv1[0] --picture filters.png
    """
    from netsurgery.verbs.inspect import inspect

    prototxt, weights = prototxt_and_weights(files)
    first, *rest = (path for path in (prototxt, weights) if path)
    if param is not None:
        from netsurgery.verbs.inspect_param import inspect_param

        printed = is_printed(npy, picture, as_json=as_json)
        shown = inspect_param(first, param, *rest, state=state)
        outputs = [path for path in (npy, picture) if path is not None]
        if outputs:
            shown.save(npy, picture, inputs=files, force=force)
        if as_json:
            echo_json(shown.to_json())
        elif not quiet:
            render_param(shown, outputs, err=printed)
        return
    result = inspect(
        first,
        *rest,
        sizes=sizes,
        state=state,
        fields=with_fields,
        statistics=with_statistics,
    )
    if as_json:
        echo_json(result.to_json())
    elif not quiet:
        render(result)
    if result.fits is False:
        raise click.exceptions.Exit(1)


def render(result: Inspection) -> None:
    """Print the result for a person."""
    if result.another_net:
        echo_labelled("warning", result.another_net)
    echo_table(result.table())
    if result.tiles is not None:
        echo("")
        echo(str(result.tiles))
        costs = result.tiles.table()
        if costs is not None:
            echo_table(costs)
        echo("")
    statistics = result.statistics_table()
    if statistics is not None:
        echo("")
        echo_table(statistics)
        echo("")
    echo_notes(result.remarks())
    echo(f"total: {result.totals}")


def render_param(result: ParamInspection, outputs: list[Path], *, err: bool) -> None:
    """Print one param for a person; on standard error where an output is printed."""
    echo(result.headline, err=err)
    echo_text("" if outputs else result.numbers(terminal_width()), err=err)
    for path in outputs:
        if str(path) != STDOUT:
            echo(f"wrote {path}", err=err)
