"""The command ``netsurgery init``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from netsurgery.cli.command import Command
from netsurgery.cli.files import FILE_PATH, PROTOTXT, WEIGHTS
from netsurgery.cli.options import (
    dry_run_option,
    force_option,
    is_printed,
    json_option,
    output_option,
    quiet_option,
    seed_option,
    state_options,
)
from netsurgery.cli.printing import echo, echo_json, echo_notes, echo_table
from netsurgery.cli.progress import bytes_written
from netsurgery.net.state import NetState

if TYPE_CHECKING:
    from netsurgery.verbs.init import Initialization

__all__ = ["command"]


@click.command("init", cls=Command)
@click.argument("prototxt", metavar="NET.prototxt", type=PROTOTXT)
@output_option(
    "-o",
    "--weights-out",
    type=FILE_PATH,
    metavar="FILE",
    required=True,
    help="New weights; HDF5 if the name ends in .h5; - is standard output.",
)
@click.option(
    "--missing",
    metavar="MODEL",
    type=WEIGHTS,
    help="Fill only the params that this model lacks; the others are copied byte for byte.",
)
@seed_option("The same seed gives the same params.")
@click.option(
    "--as-caffe",
    is_flag=True,
    help="Initialize BatchNorm statistics to zeros, as Caffe does before training.",
)
@state_options
@dry_run_option
@json_option
@quiet_option
@force_option
def command(
    prototxt: Path,
    weights_out: Path,
    missing: Path | None,
    seed: int,
    as_caffe: bool,
    state: NetState,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    force: bool,
) -> None:
    """Initialize a net's params with the fillers of its prototxt.

    Supports Caffe's fillers: constant (the default, 0), gaussian (also sparse), uniform, xavier,
    msra, positive_unitball, bilinear. Random numbers depend on the seed and the param's name
    alone, so the same seed gives the same file on every machine.

    BatchNorm starts with mean 0, variance 1 and factor 1, so that the net can be run. Caffe starts
    it with zeros, which multiply its input by about 300 until the net is trained: see --as-caffe.

    No engine converts or runs a model that lacks params of some layers; --missing fills them in.

    \b
    Example:
      netsurgery init deploy.prototxt -o fresh.caffemodel --seed 1
    """
    from netsurgery.verbs.init import init

    printed = is_printed(weights_out, as_json=as_json, dry_run=dry_run)
    with bytes_written(quiet) as progress:
        result = init(
            prototxt,
            weights_out,
            missing=missing,
            seed=seed,
            as_caffe=as_caffe,
            state=state,
            force=force,
            dry_run=dry_run,
            progress=progress,
        )
    if as_json:
        echo_json(result.to_json())
    elif not quiet:
        render(result, err=printed)


def render(result: Initialization, *, err: bool) -> None:
    """Print the result for a person; on standard error where the weights go to output."""
    if result.params:
        echo_table(result.table(), err=err)
    echo_notes(result.notes, err=err)
    if not err:
        echo(f"{'wrote' if result.written else 'would write'} {result.path}")
