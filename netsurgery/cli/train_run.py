"""``netsurgery train run``: a planned training, step by step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from netsurgery.cli.command import Command
from netsurgery.cli.engine_options import running_options
from netsurgery.cli.files import FOLDER_PATH
from netsurgery.cli.options import force_option, json_option, quiet_option
from netsurgery.cli.printing import echo, echo_json, echo_notes, echo_table
from netsurgery.cli.progress import LateProgress
from netsurgery.engines.contract import EngineOptions
from netsurgery.io.wording import counted

if TYPE_CHECKING:
    from netsurgery.training.run import TrainingProgress
    from netsurgery.verbs.train_result import Training

__all__ = ["run"]


@click.command(
    cls=Command, exit_codes={130: "Ctrl-C: the run was saved, and --resume goes on with it."}
)
@click.argument("folder", metavar="DIR", type=FOLDER_PATH)
@click.option("--resume", is_flag=True, help="Go on from the newest snapshot.")
@click.option(
    "--evaluate",
    type=click.IntRange(1, 2**31 - 1),
    metavar="N",
    help="Look at the held-out images every N steps  [default: a fifth of all]",
)
@click.option(
    "--snapshot",
    type=click.IntRange(1, 2**31 - 1),
    default=100,
    show_default=True,
    metavar="N",
    help="Save the run every N steps; the newest two are kept.",
)
@click.option(
    "--loss-map",
    is_flag=True,
    help="In the end draw which cells of the held-out images still hurt, into DIR/loss.",
)
@running_options
@json_option
@quiet_option
@force_option
def run(
    folder: Path,
    resume: bool,
    evaluate: int | None,
    snapshot: int,
    loss_map: bool,
    engine: EngineOptions,
    as_json: bool,
    quiet: bool,
    force: bool,
) -> None:
    """Run a planned training, by real Caffe's own solver.

    Writes into the plan's folder: log.jsonl, snapshots, and in the end the trained net:
    deploy.prototxt, model.caffemodel and netsurgery.toml. A run that was stopped or killed goes on
    with --resume, and with --threads 1 it ends bit for bit as one that was not.

    \b
    Example:
      netsurgery train run plan --threads 1
    """
    from netsurgery.verbs.train import train

    with LateProgress(quiet, goes_on=True) as bar:
        result = train(
            folder,
            resume=resume,
            evaluate=evaluate,
            snapshot=snapshot,
            loss_map=loss_map,
            engine=engine,
            force=force,
            progress=lambda now: bar.step_to(now.step, now.steps, _words(now)),
        )
    if as_json:
        echo_json(result.to_json())
    elif not quiet:
        _render(result)


def _words(progress: TrainingProgress) -> str:
    words = [] if progress.loss is None else [f"loss {progress.loss:.4g}"]
    if progress.cells_a_second is not None:
        words.append(f"{counted(round(progress.cells_a_second), 'cell')}/s")
    return ", ".join(words)


def _render(result: Training) -> None:
    if result.before is not None:
        echo_table(result.table())
    echo(str(result))
    echo(f"trained by {result.engine}")
    echo_notes(result.notes)
    for path in result.files:
        echo(f"wrote {path}")
    if result.next is not None:
        echo(f"next: {result.next}")
