"""``netsurgery diff``: how one net differs from another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netsurgery.cli.colors import BAD, DOUBTFUL, GOOD
from netsurgery.cli.command import Command, useless
from netsurgery.cli.files import NET_OR_WEIGHTS, for_nets
from netsurgery.cli.options import (
    draw_option,
    force_option,
    json_option,
    quiet_option,
    state_options,
)
from netsurgery.cli.printing import echo, echo_diff, echo_json, echo_table
from netsurgery.errors import NetsurgeryError
from netsurgery.net.state import NetState

if TYPE_CHECKING:
    from netsurgery.verbs.diff_result import Comparison

__all__ = ["command", "trouble_is_two"]

PathPair = tuple[Path, Path]

#: For what cannot be compared, as diff uses it; 1 is for what differs.
TROUBLE = 2


@contextmanager
def trouble_is_two() -> Iterator[None]:
    """Have an error exit with 2: see `cli.run`."""
    try:
        yield
    except NetsurgeryError as error:
        error.__dict__["exit_code"] = TROUBLE
        raise


@click.command(
    cls=Command,
    exit_codes={
        0: "Nothing differs.",
        1: "Something differs.",
        2: "The comparison could not be done, or wrong usage.",
    },
)
@trouble_is_two()
@click.argument(
    "files",
    metavar="A.prototxt B.prototxt [A.caffemodel B.caffemodel]",
    nargs=-1,
    required=True,
    type=NET_OR_WEIGHTS,
)
@for_nets(
    click.option(
        "--text", "with_text", is_flag=True, help="Also show the unified diff of the prototxts."
    )
)
@for_nets(
    click.option(
        "--strict",
        is_flag=True,
        help="Compare fields as written: an explicit default counts as a difference.",
    )
)
@for_nets(draw_option("Draw B, with what differs: .svg, .png, .html, .mmd or .dot."))
@for_nets(state_options)
@json_option
@quiet_option
@useless("without --draw", lambda values: values["draw"] is None)(force_option)
def command(
    files: tuple[Path, ...],
    with_text: bool,
    strict: bool,
    draw: Path | None,
    state: NetState,
    as_json: bool,
    quiet: bool,
    force: bool,
) -> None:
    """Compare two nets: layers, fields, and the values of their params.

    Takes two prototxts, two caffemodels (or .caffemodel.h5), or two of each, in any order.
    Comments, layout and spelling do not count, nor, without --strict, an explicit default
    (stride: 1) or an axis counted from the end. Layers of all phases are compared; --phase and the
    like choose the state in which shapes are inferred, which axes depend on. Renamed layers are
    matched by type and bottoms, by their params, or by position. For a param that differs: the
    norm of the difference, the largest absolute difference, and its ratio to the largest absolute
    value in A.

    \b
    Example:
      netsurgery diff deploy.prototxt other.prototxt model.caffemodel other.caffemodel
    """
    from netsurgery.verbs.diff import diff

    prototxts, models = pairs_by_kind(files)
    old, new = zip(*(pair for pair in (prototxts, models) if pair), strict=True)
    result = diff(
        _one_or_two(old),
        _one_or_two(new),
        strict=strict,
        text=with_text,
        draw=draw,
        state=state,
        force=force,
    )
    if as_json:
        echo_json(result.to_json())
    elif not quiet:
        render(result)
    raise click.exceptions.Exit(0 if result.same else 1)


def pairs_by_kind(files: tuple[Path, ...]) -> tuple[PathPair | None, PathPair | None]:
    """The two prototxts and the two caffemodels among the files, either None for none.

    Raises UsageError for any other number of either.
    """
    from netsurgery.formats.prototxt import is_prototxt

    kinds = [(path, is_prototxt(path)) for path in files]
    prototxts = [path for path, text in kinds if text]
    models = [path for path, text in kinds if not text]
    if len(prototxts) not in (0, 2) or len(models) not in (0, 2):
        raise click.UsageError(
            "expected two prototxts, two caffemodels or two of each; found "
            f"{len(prototxts)} of the first and {len(models)} of the second"
        )
    return _pair(prototxts), _pair(models)


def _one_or_two(files: tuple[Path, ...]) -> Path | tuple[Path, Path]:
    return files[0] if len(files) == 1 else (files[0], files[1])


def _pair(paths: list[Path]) -> PathPair | None:
    return (paths[0], paths[1]) if paths else None


def render(result: Comparison) -> None:
    """Print the result for a person."""
    echo(str(result), color=GOOD if result.same else BAD)
    for line in result.lines():
        echo(line, color=_COLORS.get(line[:2]))
    table = result.params_table()
    if table.rows:
        echo_table(table, colors=[_COLORS.get(row[1]) for row in table.rows])
    if result.text:
        echo_diff(result.text)
    if result.drawing:
        echo(f"wrote {result.drawing}")


#: By the mark of a layer, or the status of a param.
_COLORS = {"- ": BAD, "+ ": GOOD, "removed": BAD, "added": GOOD, "different": DOUBTFUL}
