"""`netsurgery job`: look at a job's folder, go on with it, and put its outputs in place."""

from __future__ import annotations

from pathlib import Path

import click

from netsurgery.cli.command import Group
from netsurgery.cli.engine_options import running_options
from netsurgery.cli.files import FilePathType
from netsurgery.cli.job_options import (
    JOB,
    crew_options,
    echo_errors,
    echo_records,
    resume_job,
)
from netsurgery.cli.options import force_option, is_printed, json_option, quiet_option
from netsurgery.cli.output_options import output_options
from netsurgery.cli.printing import NotePrinter, echo, echo_json
from netsurgery.engines.contract import EngineOptions

__all__ = ["command"]


@click.group(cls=Group)
def command() -> None:
    """Look at a job of `classify-map --job`, go on with it, and put its outputs in place.

    A job's folder has its plan (plan.json), and what is done of it. It belongs to no process: after
    a kill, `resume` goes on where it was, on several machines at once if they share the folder. It
    may be at a URL of any file system that fsspec knows, as s3://bucket/cats, which they share.

    \b
    Example:
      netsurgery classify-map cat.jpg --job cats
      netsurgery job status cats
    """


_job = click.argument("job", metavar="DIR", type=JOB)


@command.command()
@_job
@json_option
@quiet_option
def status(job: Path | str, as_json: bool, quiet: bool) -> None:
    """Show how many pictures of a job are done, which failed, and who is at it.

    \b
    Example:
      netsurgery classify-map cat.jpg --job cats
      netsurgery job status cats
    """
    from netsurgery.verbs.job import open_job

    result = open_job(job).status()
    if as_json:
        echo_json(result.to_json())
    elif not quiet:
        echo(str(result))
        echo_errors(result)


@command.command(exit_codes={1: "A picture could not be read, or an error."})
@_job
@crew_options
@click.option("--retry", is_flag=True, help="Try pictures again that failed.")
@running_options
@json_option
@quiet_option
def resume(
    job: Path | str,
    workers: int | None,
    on: str | None,
    retry: bool,
    engine: EngineOptions,
    as_json: bool,
    quiet: bool,
) -> None:
    """Go on with a job where it was, whatever ended it.

    The same may run on several machines that share the folder, and the folder that the job was
    planned in, under the same paths: no picture is done twice, but those of a worker that died.
    With a job at a URL they need the pictures alone, or nothing where those are at URLs too.

    \b
    Example:
      netsurgery classify-map cat.jpg --job cats
      netsurgery job resume cats --workers 2
    """
    from netsurgery.verbs.job import open_job

    opened = open_job(job)
    result = resume_job(opened, workers, on, engine, retry=retry, quiet=quiet)
    if as_json:
        echo_json(result.to_json())
    elif not quiet:
        echo(str(result))
    if not as_json:
        echo_errors(result)
    if result.failed:
        raise click.exceptions.Exit(1)


@command.command()
@_job
@output_options("of_map", dash=False)
@click.option(
    "--records",
    metavar="FILE.jsonl",
    type=FilePathType(".jsonl", as_typed=True, allow_dash=True),
    help="Write the record of every picture, a line each, as classify-map --json prints them; - "
    "for standard output.",
)
@force_option
@json_option
@quiet_option
def merge(
    job: Path | str,
    outputs: dict[str, str],
    records: str | None,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Put the outputs of a finished job in place, byte for byte as classify-map writes them.

    They go where the plan has them, or to other places for those that are named here.

    \b
    Example:
      netsurgery classify-map cat.jpg --job cats --npy cat.npy
      netsurgery job merge cats --npy copy.npy
    """
    from netsurgery.verbs.job import open_job

    opened = open_job(job)
    printed = is_printed(records, as_json=as_json)
    if printed:
        echo_records(opened)
    if outputs or not printed:
        result = opened.merge(outputs, records=None if printed else records, force=force)
        if as_json:
            echo_json(result.to_json())
        elif not quiet:
            echo(str(result), err=printed)
    NotePrinter(quiet, records=records is not None).say(opened.picture_notes())
