"""The command ``netsurgery edit``."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from netsurgery.cli.command import Command
from netsurgery.cli.options import (
    dry_run_option,
    force_option,
    json_option,
    output_option,
    quiet_option,
    state_options,
)
from netsurgery.cli.printing import echo, echo_json, echo_notes, echo_text
from netsurgery.cli.progress import bytes_written
from netsurgery.formats.line_diff import text_diff
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.state import NetState
from netsurgery.surgery.edit.operations import OPERATIONS, Operation
from netsurgery.surgery.edit.plan import EditPlan, plan_edit
from netsurgery.surgery.edit.values import GROUPS, Value
from netsurgery.surgery.edit.write import EditPaths, check_edit_paths, write_edit

__all__ = ["command"]

_INTRODUCTION = """\
Change params, and the structure around them, on the author's own files.

An operation is one word. All are done from left to right, or none is.

\b
LAYER[INDEX] is a param (conv1[0] the weights, conv1[1] the bias),
LAYER[INDEX][SLICES] a part of it, as in numpy: conv1[0][2],
conv1[0][:,0,1:-1,1:-1]. Behind it comes one of:
  =NUMBER  +=NUMBER  -=NUMBER  *=NUMBER  /=NUMBER     NUMBER may be npy:FILE
  =VALUE                                              one of those below

{values}

Kernels fill each filter selected at its own size; with ,channels=0,2 (alone:
:channels=0,2) these input channels only.

Fillers are Caffe's. Without seed=K the seed is 0; the same seed gives the same
numbers on every machine, those of `netsurgery init --seed K`.

{operations}

(*) changes the prototxt too: give --prototxt-out.

Whatever reads a layer's outputs is cut to match: the inputs of the layers behind,
the channels of BatchNorm, Scale, Bias and PReLU, depthwise convolutions, and all
layers that an Eltwise or Scale joins with it, through Concat, Slice, Flatten,
Permute and the like. The new net gives what the old one gives with zeros in place
of the weights that read a removed output. Where a layer between computes with all
channels, or is not known, the operation is refused.

`=`, fold and split-batch-norm change nothing when they are repeated on their own
result. All others do; rgb-to-grey and grey-to-rgb are refused then.

\b
Example:
  netsurgery edit conv.prototxt conv.caffemodel -o new.caffemodel \\
      'conv[0][0]=gaussian:sigma=1' 'conv[1]+=1'
  netsurgery edit net.prototxt net.caffemodel -o folded.caffemodel \\
      --prototxt-out folded.prototxt fold
"""

#: Columns of the help: where the text begins, and where it ends.
_TEXT, _WIDTH = 30, 78


def _help() -> str:
    """The help, with every registered value and operation, each with an example."""
    values = [
        _section(heading, [_entry(value, "=", "conv1[0]=") for value in group])
        for heading, group in GROUPS.items()
    ]
    entries = [_entry(each, "", "", each.structural) for each in OPERATIONS.values()]
    return _INTRODUCTION.format(
        values="\n\n".join(values), operations=_section("Operations", entries)
    )


def _section(heading: str, entries: Sequence[str]) -> str:
    return "\n".join(["\b", f"{heading}:", *entries])


def _entry(registered: Operation | Value, mark: str, target: str, structural: bool = False) -> str:
    lines: list[str] = []
    for form in registered.forms:
        text = f"{form.help} (*)" if structural else form.help
        lines += _columns(f"{mark}{form.syntax}", text)
    lines.append(f"{'':{_TEXT}}e.g. {target}{registered.example}")
    return "\n".join(lines)


def _columns(left: str, right: str) -> Iterator[str]:
    """Two columns, the left one alone on its line where it is too long."""
    left = f"  {left}"
    if len(left) > _TEXT - 2:
        yield left
        left = ""
    for line in textwrap.wrap(right, _WIDTH - _TEXT):
        yield f"{left:{_TEXT}}{line}"
        left = ""


@click.command("edit", cls=Command, help=_help())
@click.argument("prototxt", type=click.Path(path_type=Path))
@click.argument("weights", type=click.Path(path_type=Path))
@click.argument("operations", nargs=-1, required=True, metavar="OPERATION...")
@output_option(
    "-o",
    "--weights-out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    required=True,
    help="Where the new weights go; HDF5 if it ends in .h5.",
)
@output_option(
    "--prototxt-out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where the new prototxt goes, needed where the structure changes.",
)
@state_options
@dry_run_option
@json_option
@quiet_option
@force_option
def command(
    prototxt: Path,
    weights: Path,
    operations: tuple[str, ...],
    weights_out: Path,
    prototxt_out: Path | None,
    state: NetState,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    force: bool,
) -> None:
    """See _help."""
    paths = EditPaths(weights_out, prototxt_out)
    with NetWithWeights.open(prototxt, weights, state) as model:
        plan = plan_edit(model, operations)
        check_edit_paths(plan, paths)
        written: tuple[str, ...] = ()
        if not dry_run:
            with bytes_written(quiet) as progress:
                written = write_edit(plan, model, paths, force=force, progress=progress)
    record = _to_json(plan, paths, written)
    if as_json:
        echo_json(record)
    elif not quiet:
        _render(plan, record)


def _to_json(plan: EditPlan, paths: EditPaths, written: tuple[str, ...]) -> dict[str, Any]:
    record: dict[str, Any] = {
        "operations": [step.to_json() for step in plan.steps],
        "notes": list(plan.notes),
        "weights": str(paths.weights),
        "prototxt": None if paths.prototxt is None else str(paths.prototxt),
        "saved": list(plan.saved),
        "dry_run": not written,
    }
    if not written:
        text = plan.new.prototxt.text
        record["diff"] = text_diff(plan.net.prototxt, text, str(paths.prototxt))
    return record


def _render(plan: EditPlan, record: dict[str, Any]) -> None:
    for line in plan.lines():
        echo(line)
    echo_notes(plan.notes)
    files = [record["weights"], *record["saved"], *filter(None, [record["prototxt"]])]
    if record["dry_run"]:
        echo(f"would write {', '.join(files)}")
        echo_text(f"\n{record['diff']}" if record["diff"] else "")
        return
    for name in files:
        echo(f"wrote {name}")
