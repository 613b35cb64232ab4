"""``netsurgery dense``: the maps of a fully convolutional net with a finer stride."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from netsurgery.cli.command import Command
from netsurgery.cli.files import FILE_PATH, PROTOTXT
from netsurgery.cli.options import (
    dry_run_option,
    force_option,
    is_printed,
    json_option,
    output_option,
    quiet_option,
    state_options,
)
from netsurgery.cli.printing import echo, echo_diff, echo_json, echo_notes, echo_table
from netsurgery.net.state import NetState

if TYPE_CHECKING:
    from netsurgery.verbs.dense import Densification

__all__ = ["command"]


@click.command(cls=Command)
@click.argument("net", metavar="NET.prototxt", type=PROTOTXT)
@click.option(
    "--stride",
    type=click.IntRange(min=1),
    required=True,
    metavar="N",
    help="Input pixels from one cell of the new map to the next; it divides those of the old map.",
)
@output_option(
    "-o", "--output", metavar="FILE", type=FILE_PATH, help="New prototxt; - is standard output."
)
@state_options
@dry_run_option
@json_option
@quiet_option
@force_option
def command(
    net: Path,
    stride: int,
    output: Path | None,
    state: NetState,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    force: bool,
) -> None:
    """Give the maps of a fully convolutional net a finer stride.

    Strides become 1 and the windows behind them dilated, so that the map has its old cells and
    those between them. The weights are not changed: the caffemodel of NET is that of the new net,
    too. What a prototxt cannot say is refused, with the layer and the reason; classify-map
    --stride gives such a net's finer map.

    \b
    Example:
      netsurgery dense lenet_full_conv.prototxt --stride 2 -o lenet_dense.prototxt
    """
    from netsurgery.verbs.dense import dense

    if output is None and not dry_run:
        raise click.UsageError("missing option -o/--output, or --dry-run")
    printed = is_printed(output, as_json=as_json, dry_run=dry_run)
    result = dense(net, output, stride=stride, state=state, force=force, dry_run=dry_run)
    if as_json:
        echo_json(result.to_json())
    elif not quiet:
        render(result, err=printed)


def render(result: Densification, *, err: bool) -> None:
    """Print the result for a person; on standard error where the net itself goes to output."""
    echo_table(result.table(), err=err)
    echo_notes(result.notes, err=err)
    if result.written and not err:
        echo(f"wrote {result.output}")
    elif not result.written:
        if result.output is not None:
            echo(f"would write {result.output}")
        echo_diff(f"\n{result.to_json()['diff']}")
