"""The command ``netsurgery edit``."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netsurgery.cli.command import Command, of_net
from netsurgery.cli.files import ARRAY, FILE_PATH, PROTOTXT, WEIGHTS
from netsurgery.cli.options import (
    dry_run_option,
    force_option,
    is_printed,
    json_option,
    output_option,
    quiet_option,
    state_options,
)
from netsurgery.cli.printing import echo, echo_diff, echo_json, echo_notes
from netsurgery.cli.progress import bytes_written
from netsurgery.io.targets import STDOUT
from netsurgery.net.state import NetState

if TYPE_CHECKING:
    from netsurgery.surgery.edit.operations.record import Operation
    from netsurgery.surgery.edit.values.record import Value
    from netsurgery.verbs.edit import Edit

__all__ = ["command"]

_INTRODUCTION = """\
Edit params, and the structure around them, in the author's own files.

Each operation is one word. They are done from left to right, all or none.

\b
LAYER[INDEX] is a param (conv1[0] the weights, conv1[1] the bias),
LAYER[INDEX][SLICES] a part of it, as in numpy: conv1[0][2],
conv1[0][:,0,1:-1,1:-1]. It is followed by one of:
  =NUMBER  +=NUMBER  -=NUMBER  *=NUMBER  /=NUMBER     NUMBER may be npy:FILE
  =VALUE                                              one of those below

{values}

A kernel fills each selected filter at the filter's own size; ,channels=0,2 (or
:channels=0,2 without other options) restricts it to these input channels.

Fillers are Caffe's. The default seed is 0; the same seed gives the same numbers on
every machine, and as in `netsurgery init --seed K`.

{operations}

(*) changes the prototxt too.

Everything that reads a layer's outputs is cut to match: the inputs of later layers,
the channels of BatchNorm, Scale, Bias and PReLU, depthwise convolutions, and all
layers that an Eltwise or Scale joins with it, through Concat, Slice, Flatten,
Permute and the like. The new net computes what the old one computes with zeros for
the weights that read a removed output. If a layer in between mixes all channels,
or its type is unknown, the operation is refused.

decimate drops weights too, and what it prints says which: the net computes something
else then, and is to be trained further.

`=`, fold and split-batch-norm can be repeated without effect. All others change
the net again; rgb-to-grey and grey-to-rgb are refused the second time.

\b
Example:
  netsurgery edit conv.prototxt conv.caffemodel -o new.caffemodel \\
      'conv[0][0]=gaussian:sigma=1' 'conv[1]+=1'
  netsurgery edit net.prototxt net.caffemodel fold
"""

#: Columns of the help: where the text begins, and where it ends.
_TEXT, _WIDTH = 30, 78


def _help() -> str:
    """The help, with every registered value and operation, each with an example."""
    from netsurgery.surgery.edit.operations import OPERATIONS
    from netsurgery.surgery.edit.values.registry import GROUPS

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


class EditCommand(Command):
    """Imports the registries when its help is read, not for every edit."""

    @property
    def help(self) -> str | None:
        """See `_help`."""
        return _help()

    @help.setter
    def help(self, text: str | None) -> None:
        """Click sets the docstring of the function."""


class OperationWord(click.types.StringParamType):
    """An operation as it was typed; the array of ``npy:-`` is standard input."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        # From the right: a layer's name may hold anything, and the file here is -.
        head, npy, file = str(value).rpartition("=npy:")
        if npy and file == "-":
            return f"{head}{npy}{ARRAY.convert(file, param, ctx)}"
        return super().convert(value, param, ctx)


@click.command("edit", cls=EditCommand)
@click.argument("prototxt", metavar="NET.prototxt", type=PROTOTXT)
@click.argument("weights", metavar="MODEL.caffemodel", type=WEIGHTS)
@click.argument(
    "operations",
    nargs=-1,
    required=True,
    type=OperationWord(),
    shell_complete=of_net("complete_operation"),
    metavar="OPERATION...",
)
@output_option(
    "-o",
    "--weights-out",
    type=FILE_PATH,
    metavar="FILE",
    help="New weights; HDF5 if the name ends in .h5; - is standard output  [default: "
    "WEIGHTS_edited.caffemodel in the current folder; none if all operations are save]",
)
@output_option(
    "--prototxt-out",
    type=FILE_PATH,
    metavar="FILE",
    help="New prototxt  [default: PROTOTXT_edited.prototxt beside the new weights, if the "
    "structure changes]",
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
    weights_out: Path | None,
    prototxt_out: Path | None,
    state: NetState,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    force: bool,
) -> None:
    """See _help."""
    from netsurgery.verbs.edit import edit

    printed = is_printed(weights_out, prototxt_out, as_json=as_json, dry_run=dry_run)
    with edit(prototxt, weights, operations, state=state) as result:
        if dry_run:
            result.plan_outputs(weights_out, prototxt_out)
        else:
            with bytes_written(quiet) as progress:
                result.save(weights_out, prototxt_out, force=force, progress=progress)
        if as_json:
            echo_json(result.to_json())
        elif not quiet:
            render(result, err=printed)


def render(result: Edit, *, err: bool) -> None:
    """Print the result for a person; on standard error where an output is printed."""
    for step in result.steps:
        for line in step.lines():
            echo(line, err=err)
    echo_notes(result.notes, err=err)
    record = result.to_json()
    files = [*filter(None, [record["weights"]]), *record["saved"]]
    files += filter(None, [record["prototxt"]])
    if record["dry_run"]:
        echo(f"would write {', '.join(files)}", err=err)
        echo_diff(f"\n{record['diff']}" if record["diff"] else "", err=err)
    else:
        for name in files:
            if name != STDOUT:
                echo(f"wrote {name}", err=err)
