"""Jobs on the command line: the options by which they are run, and what is printed of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from netsurgery.cli.command import LARGE, WordType, headed, useless
from netsurgery.cli.files import FolderPathType
from netsurgery.cli.printing import NotePrinter, echo, echo_json_text, echo_labelled
from netsurgery.cli.progress import Progress
from netsurgery.io.unreadable import as_url
from netsurgery.io.wording import counted

if TYPE_CHECKING:
    from netsurgery.engines.contract import EngineOptions
    from netsurgery.verbs.job_result import Job, JobStatus

__all__ = [
    "JOB",
    "crew_options",
    "echo_errors",
    "echo_records",
    "job_options",
    "resume_job",
    "run_job",
]

F = TypeVar("F", bound=Callable[..., Any])


class _JobType(FolderPathType):
    """Where a job is: a folder's path, or a URL, whose text is kept."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return as_url(value) or super().convert(value, param, ctx)


JOB = _JobType(file_okay=False)

#: Errors that are printed; `job status --json` has all.
_ERRORS = 20


def _engine(text: str) -> str:
    if text != "ray" and not text.startswith("ray://"):
        raise ValueError(f"found {text[:60]!r}, expected ray or ray://HOST:PORT")
    return text


@headed(LARGE)
def crew_options(command: F) -> F:
    """--workers and --on; the command gets `workers` and `on`."""
    workers = click.option(
        "--workers",
        type=click.IntRange(1, 4096),
        metavar="N",
        envvar="NETSURGERY_WORKERS",
        help="Worker processes (default: one a core; of a Ray cluster one a CPU).",
    )
    on = click.option(
        "--on",
        type=WordType("ray|ray://HOST:PORT", _engine, ("ray",)),
        help="Have the workers of a Ray cluster do it: a local one, or one whose address is given.",
    )
    return workers(on(command))


@headed(LARGE)
def job_options(command: F) -> F:
    """--job, --workers and --on of a command that plans jobs; it gets values of these names."""
    job = click.option(
        "--job",
        type=JOB,
        metavar="DIR|URL",
        help="Do it as a job: a folder that keeps what is done, for many workers and machines, and "
        "for `netsurgery job` to go on with; or a URL, as s3://BUCKET/NAME (with "
        "netsurgery[fsspec]).",
    )
    for_jobs = useless("without --job", lambda values: values["job"] is None)

    return job(for_jobs(crew_options)(command))


def resume_job(
    job: Job,
    workers: int | None,
    on: str | None,
    engine: EngineOptions,
    *,
    retry: bool,
    quiet: bool,
    records: bool = False,
) -> JobStatus:
    """Go on with a job, with a bar on a terminal: pictures a second, and the time left.

    Then print the notes on its pictures; records: whether theirs are to be printed.
    """
    status = job.status()
    begun, before = time.monotonic(), status.pictures - status.left
    progress = Progress(status.pictures, quiet, before=before, show_pos=True)

    def show(over: int, count: int) -> None:
        seconds = time.monotonic() - begun
        speed = f"{(over - before) / seconds:.1f}/s" if over > before else ""
        progress.step_to(over, speed)

    try:
        status = job.resume(workers=workers, on=on, engine=engine, retry=retry, progress=show)
    finally:
        progress.clear()
    NotePrinter(quiet, records=records).say(job.picture_notes())
    return status


def run_job(
    job: Job,
    workers: int | None,
    on: str | None,
    engine: EngineOptions,
    *,
    as_json: bool,
    quiet: bool,
    force: bool,
) -> None:
    """Do all of a job, and put its outputs in place. Exits with 1 where a picture failed."""
    status = resume_job(job, workers, on, engine, retry=False, quiet=quiet, records=as_json)
    written = job.merge(force=force) if job.has_outputs else None
    if as_json:
        echo_records(job)
    elif not quiet:
        echo(str(written or status))
    echo_errors(status)
    if status.failed:
        raise click.exceptions.Exit(1)


def echo_records(job: Job) -> None:
    """The record of every picture on standard output, a line each."""
    for record in job.records():
        echo_json_text(record.removesuffix("\n"))


def echo_errors(status: JobStatus) -> None:
    """The pictures that failed, on standard error: the first of them, and how many there are."""
    for error in status.errors[:_ERRORS]:
        text, image = error["error"], error["image"]
        named = text if text.startswith(f"{image}:") else f"{image}: {text}"
        echo_labelled("error", named, err=True)
    if status.failed > _ERRORS:
        echo(f"and {status.failed - _ERRORS} more", err=True)
    if status.failed and status.pictures > 1:
        echo(f"{status.failed} of {counted(status.pictures, 'image')} failed", err=True)
