"""``netsurgery train report``: how a training run went."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from netsurgery.cli.command import Command
from netsurgery.cli.files import FOLDER_PATH, FilePathType
from netsurgery.cli.options import force_option, json_option, quiet_option
from netsurgery.cli.printing import echo, echo_json, echo_table

if TYPE_CHECKING:
    from netsurgery.verbs.train_report_result import TrainingReport

__all__ = ["report"]


@click.command(cls=Command)
@click.argument("folder", metavar="DIR", type=FOLDER_PATH)
@click.option(
    "--curves",
    metavar="FILE.svg",
    type=FilePathType(".svg", as_typed=True),
    help="Draw the losses and the accuracy by step.",
)
@json_option
@quiet_option
@force_option
def report(folder: Path, curves: str | None, as_json: bool, quiet: bool, force: bool) -> None:
    """Show how a training run went, and what it is still wrong about.

    Of the held-out images: the loss and the accuracy by step, the classes that are taken for
    another, and the images with the largest loss. The run may still be going on.

    \b
    Example:
      netsurgery train report plan --curves curves.svg
    """
    from netsurgery.verbs.train_report import train_report

    result = train_report(folder, curves, force=force)
    if as_json:
        echo_json(result.to_json())
    elif not quiet:
        _render(result)


def _render(result: TrainingReport) -> None:
    if result.last is not None:
        echo_table(result.table())
    echo(str(result))
    for truth, answer, cells in result.confused:
        echo(f"{truth} is taken for {answer}: cells: {cells}")
    for name, loss in result.worst:
        echo(f"largest loss: {name} ({loss:.4g})")
    for path in result.files:
        echo(f"wrote {path}")
