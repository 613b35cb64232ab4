"""``netsurgery check``: what can be known of a net without running it."""

from __future__ import annotations

import json
from pathlib import Path

import click

from netsurgery.cli import check_report as report
from netsurgery.cli.diff import trouble_is_two
from netsurgery.cli.inspect import told_apart
from netsurgery.cli.options import json_option, quiet_option, state_options
from netsurgery.jobs.check import check
from netsurgery.net.state import NetState

__all__ = ["command"]


@click.command()
@click.argument(
    "files",
    metavar="NET.prototxt [MODEL.caffemodel]",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
)
@state_options
@json_option
@quiet_option
def command(
    files: tuple[Path, ...],
    state: NetState,
    as_json: bool,
    quiet: bool,
) -> None:
    """Check a net, and its weights, without running it.

    Reports, with their places: fields, values and layer types that Caffe 1.0 does not know, the
    nearest known name and the forks that have them; bottoms that nothing makes and tops that are
    made twice; shapes that contradict each other; params that the model lacks or has in other
    shapes; a mean, a channel order or labels in netsurgery.toml that do not fit; what is written
    as earlier Caffes had it; and which engines can run the net. Without MODEL, the weights that
    netsurgery.toml names for this net are checked.

    Errors are what no Caffe takes. Warnings are what only a fork takes and netsurgery does not
    understand, and shapes that cannot be known.

    Exits with 0 if there is no error, 1 if there is one, 2 in case of trouble.

    \b
    Example:
      netsurgery check deploy.prototxt model.caffemodel
    """
    with trouble_is_two():
        prototxt, weights = told_apart(files)
        if prototxt is None:
            raise click.UsageError("expected a prototxt, and its caffemodel if you like")
        found = check(prototxt, weights, state)
    if as_json:
        click.echo(json.dumps(report.facts(found), indent=2, allow_nan=False))
    elif not quiet:
        report.show(found)
    raise click.exceptions.Exit(0 if found.ok else 1)
