"""``netsurgery upgrade``: a net of an earlier Caffe brought up to date."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from netsurgery.cli.command import Command
from netsurgery.cli.files import FILE_PATH, NET_OR_WEIGHTS
from netsurgery.cli.options import (
    dry_run_option,
    force_option,
    is_printed,
    json_option,
    output_option,
    quiet_option,
)
from netsurgery.cli.printing import echo, echo_diff, echo_json
from netsurgery.cli.progress import bytes_written

if TYPE_CHECKING:
    from netsurgery.verbs.upgrade import Upgrade

__all__ = ["command"]


@click.command(cls=Command)
@click.argument("net", metavar="NET.prototxt|MODEL.caffemodel", type=NET_OR_WEIGHTS)
@output_option(
    "-o", "--output", metavar="FILE", type=FILE_PATH, help="New file; - is standard output."
)
@dry_run_option
@json_option
@quiet_option
@force_option
def command(
    net: Path, output: Path | None, dry_run: bool, as_json: bool, quiet: bool, force: bool
) -> None:
    """Upgrade a prototxt or caffemodel of an earlier Caffe to Caffe 1.0.

    Converts layers of 2013 (V0) and 2014 (V1), input fields, transformation parameters of data
    layers, and the learning rates of old BatchNorm layers, with the same result as Caffe's
    upgrade_net_proto_text and upgrade_net_proto_binary. Weights written by NVIDIA's Caffe
    (raw_data, also half precision) become data, which Caffe 1.0 reads. A prototxt keeps its
    comments, order and layout.

    \b
    Example:
      netsurgery upgrade lenet_v1.prototxt -o lenet.prototxt
    """
    from netsurgery.verbs.upgrade import upgrade

    if output is None and not dry_run:
        raise click.UsageError("missing option -o/--output, or --dry-run")
    printed = is_printed(output, as_json=as_json, dry_run=dry_run)
    with bytes_written(quiet) as progress:
        result = upgrade(net, output, force=force, dry_run=dry_run, progress=progress)
    if as_json:
        echo_json(result.to_json())
    elif not quiet:
        render(result, err=printed)


def render(result: Upgrade, *, err: bool) -> None:
    """Print the result for a person; on standard error where the net itself goes to output."""
    for step in result.steps:
        echo(str(step), err=err)
    if not result.steps:
        echo(f"{result.path}: already up to date", err=err)
    if result.written and not err:
        echo(f"wrote {result.output}")
    elif not result.written:
        if result.output is not None:
            echo(f"would write {result.output}")
        echo_diff(result.to_json()["diff"] or "")
