"""``netsurgery diff``: how one net differs from another."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from netsurgery.cli import diff_report as report
from netsurgery.cli.options import json_option, quiet_option
from netsurgery.cli.text_diff import text_diff
from netsurgery.errors import NetsurgeryError
from netsurgery.formats.prototxt import Prototxt
from netsurgery.jobs.diff import compare_files
from netsurgery.jobs.kinds import is_prototxt

__all__ = ["command"]

Pair = tuple[Path, Path]

#: What cannot be compared is told apart from what differs, as diff does.
TROUBLE = 2


@click.command()
@click.argument(
    "files",
    metavar="A.prototxt B.prototxt [A.caffemodel B.caffemodel]",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
)
@click.option("--text", "with_text", is_flag=True, help="Show the prototxts' unified diff, too.")
@click.option(
    "--strict",
    is_flag=True,
    help="Compare the fields as they are written: a default that is written out is a difference.",
)
@json_option
@quiet_option
def command(
    files: tuple[Path, ...], with_text: bool, strict: bool, as_json: bool, quiet: bool
) -> None:
    """Show how a net differs from another: layers, fields, and the numbers in their params.

    Takes two prototxts, two caffemodels (or .caffemodel.h5), or two of each; which is which is
    told by their content.
    Comments, layout and spelling are no differences, nor is a default that is written out
    (stride: 1) or an axis counted from the end, unless --strict is given.
    Layers that were renamed are matched by type and bottoms, by their params, or by their place.
    Of a param whose numbers differ: the norm of the difference, the largest absolute difference,
    and this relative to the largest absolute value in A.

    Exits with 0 if nothing differs, 1 if anything does, 2 in case of trouble.

    \b
    Example:
      netsurgery diff deploy.prototxt other.prototxt model.caffemodel other.caffemodel
    """
    with trouble_is_two():
        prototxts, models = told_apart(files)
        if with_text and prototxts is None:
            raise click.UsageError("--text needs two prototxts")
        nets = (Prototxt.read(prototxts[0]), Prototxt.read(prototxts[1])) if prototxts else None
        found = compare_files(nets, models, strict)
        text = text_diff(nets[0], nets[1].text, nets[1].path) if with_text and nets else None
    if as_json:
        click.echo(json.dumps(report.facts(found, files, text), indent=2, allow_nan=False))
    elif not quiet:
        report.show(found, text)
    raise click.exceptions.Exit(0 if found.same else 1)


@contextmanager
def trouble_is_two() -> Iterator[None]:
    """Have an error exit with 2: see `cli.run`."""
    try:
        yield
    except NetsurgeryError as error:
        error.__dict__["exit_code"] = TROUBLE
        raise


def told_apart(files: tuple[Path, ...]) -> tuple[Pair | None, Pair | None]:
    """The two prototxts and the two caffemodels among the files, either None for none.

    Raises UsageError for any other number of either.
    """
    if [str(path) for path in files].count("-") > 1:
        raise click.UsageError("standard input can be one of the files only")
    kinds = [(path, is_prototxt(path)) for path in files]
    prototxts = [path for path, text in kinds if text]
    models = [path for path, text in kinds if not text]
    if len(prototxts) not in (0, 2) or len(models) not in (0, 2):
        raise click.UsageError(
            "expected two prototxts, two caffemodels or two of each; found "
            f"{len(prototxts)} of the first and {len(models)} of the second"
        )
    return _pair(prototxts), _pair(models)


def _pair(paths: list[Path]) -> Pair | None:
    return (paths[0], paths[1]) if paths else None
