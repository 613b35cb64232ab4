"""The command ``netsurgery init``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from netsurgery.cli.command import Command
from netsurgery.cli.files import PROTOTXT
from netsurgery.cli.options import (
    check_printed,
    dry_run_option,
    force_option,
    json_option,
    output_option,
    quiet_option,
    seed_option,
    state_options,
)
from netsurgery.cli.printing import echo, echo_json, echo_notes, echo_table
from netsurgery.cli.progress import bytes_written
from netsurgery.io.shape_text import shape_text
from netsurgery.io.targets import STDOUT
from netsurgery.net.net import NetDefinition
from netsurgery.net.state import NetState
from netsurgery.surgery.initial_params import InitialPlan, plan_initial_params
from netsurgery.verbs.init import initialize

__all__ = ["command"]


@click.command("init", cls=Command)
@click.argument("prototxt", metavar="NET.prototxt", type=PROTOTXT)
@output_option(
    "-o",
    "--weights-out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    required=True,
    help="Where the weights go; HDF5 if it ends in .h5; - prints them.",
)
@seed_option("The same seed gives the same params.")
@click.option(
    "--as-caffe",
    is_flag=True,
    help="BatchNorm's statistics as Caffe has them before training: zeros.",
)
@state_options
@dry_run_option
@json_option
@quiet_option
@force_option
def command(
    prototxt: Path,
    weights_out: Path,
    seed: int,
    as_caffe: bool,
    state: NetState,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    force: bool,
) -> None:
    """Give a net params from its prototxt's own fillers.

    The fillers are Caffe's: constant (which is zeros where none is given), gaussian (sparse too),
    uniform, xavier, msra, positive_unitball, bilinear. The random numbers are our own: each param
    has its own from the seed and its name, so a seed gives the same file on every machine.

    A BatchNorm begins with a mean of 0, a variance of 1 and a factor of 1, with which the net can
    be run. Caffe's own begin with zeros, which make every such layer multiply by some 300 until it
    has been trained: --as-caffe gives those.

    \b
    Example:
      netsurgery init deploy.prototxt -o fresh.caffemodel --seed 1
    """
    printed = str(weights_out) == STDOUT and not dry_run
    check_printed(printed, as_json)
    plan = plan_initial_params(NetDefinition.read(prototxt, state), as_caffe=as_caffe)
    size = None
    if not dry_run:
        with bytes_written(quiet) as progress:
            size = initialize(plan, weights_out, seed=seed, force=force, progress=progress)
    found = _facts(plan, weights_out, seed, size)
    if as_json:
        echo_json(found)
    elif not quiet:
        _show(found, err=printed)


def _facts(plan: InitialPlan, weights: Path, seed: int, size: int | None) -> dict[str, Any]:
    return {
        "params": [
            {
                "layer": param.layer,
                "blob": param.index,
                "shape": list(param.shape),
                "filler": param.filler.type,
            }
            for param in plan.params
        ],
        "seed": seed,
        "notes": list(plan.notes),
        "weights": str(weights),
        "bytes": size,
        "dry_run": size is None,
    }


def _show(found: dict[str, Any], *, err: bool) -> None:
    """Print the facts for a person; on standard error where the weights go to output."""
    rows = []
    for param in found["params"]:
        shape = shape_text(param["shape"])
        rows.append((f"{param['layer']}[{param['blob']}]", param["filler"], shape))
    echo_table(rows, err=err)
    echo_notes(found["notes"], err=err)
    if not err:
        echo(f"{'would write' if found['dry_run'] else 'wrote'} {found['weights']}")
