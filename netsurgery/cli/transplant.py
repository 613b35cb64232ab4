"""``netsurgery transplant``: params of one net put into another."""

from __future__ import annotations

from pathlib import Path

import click

from netsurgery.cli.command import Command, of_net
from netsurgery.cli.files import PROTOTXT, WEIGHTS
from netsurgery.cli.options import (
    check_printed,
    dry_run_option,
    force_option,
    json_option,
    output_option,
    quiet_option,
    state_options,
)
from netsurgery.cli.printing import echo, echo_json, echo_notes, echo_table
from netsurgery.cli.progress import bytes_written
from netsurgery.io.targets import STDOUT
from netsurgery.net.net import NetDefinition
from netsurgery.net.state import NetState
from netsurgery.verbs.transplant import Transplantation, transplant

__all__ = ["command"]

FILE = click.Path(path_type=Path)


@click.command(cls=Command)
@click.argument("from_net", metavar="FROM.prototxt", type=PROTOTXT)
@click.argument("from_weights", metavar="FROM.caffemodel", type=WEIGHTS)
@click.argument("to_net", metavar="TO.prototxt", type=PROTOTXT)
@click.argument("to_weights", metavar="[TO.caffemodel]", type=WEIGHTS, required=False)
@output_option(
    "-o",
    "--weights-out",
    metavar="FILE",
    type=FILE,
    help="The new weights; HDF5 if the name ends in .h5; - prints them  [default: "
    "TO_transplanted.caffemodel in the current folder]",
)
@click.option(
    "--map",
    "pairs",
    metavar="LAYER=LAYER",
    multiple=True,
    shell_complete=of_net("complete_pair"),
    help="Where a layer's params go; LAYER= leaves them out. Repeatable.",
)
@click.option(
    "--suffix",
    default="",
    help="LAYER's params go to LAYER + SUFFIX, or to LAYER where the net has no such layer.",
)
@click.option("--prefix", default="", help="LAYER's params go to PREFIX + LAYER, and nowhere else.")
@click.option(
    "--slice", "cut", is_flag=True, help="Where sizes differ, copy the part that overlaps."
)
@click.option("--strict", is_flag=True, help="Refuse to leave a layer of TO without its params.")
@state_options
@dry_run_option
@json_option
@quiet_option
@force_option
def command(
    from_net: Path,
    from_weights: Path,
    to_net: Path,
    to_weights: Path | None,
    weights_out: Path | None,
    pairs: tuple[str, ...],
    suffix: str,
    prefix: str,
    cut: bool,
    strict: bool,
    state: NetState,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    force: bool,
) -> None:
    """Put the params of one net into another.

    Layers are matched by name. A param goes where it has the same shape, or the same numbers in
    another (an InnerProduct's weight in a Convolution over its whole window); one whose size
    differs is refused. An unmatched param of TO stays as TO.caffemodel has it or, without one,
    is left for Caffe to fill. Weights may be HDF5 everywhere.

    Two nets are joined by two transplants, with --prefix a/ and with --prefix b/, the second
    into the result of the first.

    \b
    Example:
      netsurgery transplant lenet.prototxt lenet.caffemodel lenet_full_conv.prototxt \\
        -o dense.caffemodel --suffix -conv
    """
    printed = str(weights_out) == STDOUT and not dry_run
    check_printed(printed, as_json)
    with transplant(
        (from_net, from_weights),
        (to_net, to_weights),
        names=_pairs(pairs, from_net, state),
        prefix=prefix,
        suffix=suffix,
        cut=cut,
        strict=strict,
        state=state,
    ) as result:
        with bytes_written(quiet) as progress:
            result.save(weights_out, force=force, dry_run=dry_run, progress=progress)
        if as_json:
            echo_json(result.to_json())
        elif not quiet:
            _render(result, err=printed)


def _pairs(words: tuple[str, ...], from_net: Path, state: NetState) -> dict[str, str]:
    """``LAYER=LAYER``, several of them, as a dict; of several = the one after a layer divides."""
    pairs: dict[str, str] = {}
    for pair in words:
        name, mark, goal = pair.partition("=")
        if "=" in goal:
            layers = {layer.name for layer in NetDefinition.read(from_net, state).layers}
            parts = pair.split("=")
            names = ["=".join(parts[:end]) for end in range(1, len(parts))]
            name = max((each for each in names if each in layers), key=len, default=name)
            goal = pair[len(name) + 1 :]
        if not mark or not name:
            raise click.UsageError(f"--map takes LAYER=LAYER, not {pair!r}")
        if name in pairs:
            raise click.UsageError(f"--map names {name!r} twice")
        pairs[name] = goal
    return pairs


def _render(result: Transplantation, *, err: bool) -> None:
    """Print the result for a person; on standard error where the weights are printed."""
    echo_table(result.table(), err=err)
    echo_notes(result.notes, err=err)
    echo(", ".join(f"{count} {word}" for word, count in result.counts.items() if count), err=err)
    if not err:
        echo(f"{'would write' if result.size is None else 'wrote'} {result.weights}")
