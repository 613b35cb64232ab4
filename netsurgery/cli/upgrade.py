"""``netsurgery upgrade``: a net of an earlier Caffe brought up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from netsurgery.cli.command import Command
from netsurgery.cli.files import NET_OR_WEIGHTS
from netsurgery.cli.options import (
    check_printed,
    dry_run_option,
    force_option,
    json_option,
    output_option,
    quiet_option,
)
from netsurgery.cli.printing import echo, echo_diff, echo_json
from netsurgery.cli.progress import bytes_written
from netsurgery.formats.line_diff import text_diff
from netsurgery.verbs.upgrade import Upgrade, planned_upgrade, write_upgrade

__all__ = ["command"]

FILE = click.Path(path_type=Path)


@click.command(cls=Command)
@click.argument("net", metavar="NET.prototxt|MODEL.caffemodel", type=NET_OR_WEIGHTS)
@output_option(
    "-o",
    "--output",
    metavar="FILE",
    type=FILE,
    help="New file; - is standard output, for a prototxt.",
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
    if output is None and not dry_run:
        raise click.UsageError("missing option -o/--output, or --dry-run")
    printed = str(output) == "-" and not dry_run
    check_printed(printed, as_json)
    with planned_upgrade(net) as plan:
        if output is not None and not dry_run:
            with bytes_written(quiet) as progress:
                write_upgrade(plan, output, force=force, progress=progress)
        record = to_json(plan, output, dry_run)
    if as_json:
        echo_json(record)
    elif not quiet:
        render(record, err=printed)


def to_json(plan: Upgrade, output: Path | None, dry_run: bool) -> dict[str, Any]:
    record = {
        "input": str(plan.path),
        "kind": plan.kind,
        "generation": plan.generation,
        "up_to_date": not plan.changes,
        "changes": [{"layer": change.layer, "what": change.what} for change in plan.changes],
        "output": None if output is None else str(output),
        "dry_run": dry_run,
    }
    if dry_run and plan.text is not None:
        name = str(output or "upgraded")
        record["diff"] = text_diff(plan.text.prototxt, plan.text.text, name)
    return record


def render(record: dict[str, Any], *, err: bool) -> None:
    """Print the facts for a person; on standard error where the net itself goes to output."""
    for change in record["changes"]:
        where = "" if change["layer"] is None else f"layer {change['layer']!r}: "
        echo(where + change["what"], err=err)
    if record["up_to_date"]:
        echo(f"{record['input']}: already up to date", err=err)
    if record["dry_run"]:
        if record["output"]:
            echo(f"would write {record['output']}")
        echo_diff(record.get("diff", ""))
    elif not err:
        echo(f"wrote {record['output']}")
