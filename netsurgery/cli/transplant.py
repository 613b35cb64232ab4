"""``netsurgery transplant``: params of one net put into another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from netsurgery.cli.command import Command, of_net
from netsurgery.cli.files import FILE_PATH, PROTOTXT, WEIGHTS
from netsurgery.cli.options import (
    dry_run_option,
    force_option,
    is_printed,
    json_option,
    output_option,
    quiet_option,
    state_options,
)
from netsurgery.cli.printing import echo, echo_json, echo_notes, echo_table
from netsurgery.cli.progress import bytes_written
from netsurgery.net.state import NetState

if TYPE_CHECKING:
    from netsurgery.verbs.transplant import Transplantation

__all__ = ["command"]


@click.command(cls=Command)
@click.argument("from_net", metavar="FROM.prototxt", type=PROTOTXT)
@click.argument("from_weights", metavar="FROM.caffemodel", type=WEIGHTS)
@click.argument("to_net", metavar="TO.prototxt", type=PROTOTXT)
@click.argument("to_weights", metavar="[TO.caffemodel]", type=WEIGHTS, required=False)
@output_option(
    "-o",
    "--weights-out",
    metavar="FILE",
    type=FILE_PATH,
    help="New weights; HDF5 if the name ends in .h5; - is standard output  [default: "
    "TO_transplanted.caffemodel in the current folder]",
)
@click.option(
    "--map",
    "pairs",
    metavar="LAYER=LAYER",
    multiple=True,
    shell_complete=of_net("complete_pair"),
    help="Copy a layer's params to this layer; LAYER= leaves them out. Repeatable.",
)
@click.option(
    "--suffix",
    default="",
    help="Copy LAYER's params to LAYER + SUFFIX, or to LAYER if the net has no such layer.",
)
@click.option("--prefix", default="", help="Copy LAYER's params to PREFIX + LAYER only.")
@click.option("--slice", "cut", is_flag=True, help="If sizes differ, copy the overlapping part.")
@click.option("--strict", is_flag=True, help="Fail if a layer of TO would be left without params.")
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
    """Copy params from one net into another.

    Layers are matched by name. A param is copied where the shape is the same, or the same values
    in another shape (an InnerProduct's weight in a Convolution over its whole window); a different
    size is an error. Params of TO without a match are kept from TO.caffemodel or, without one,
    left for Caffe to fill. All weights may be HDF5.

    To join two nets, transplant twice, with --prefix a/ and --prefix b/, the second time into the
    result of the first.

    \b
    Example:
      netsurgery transplant lenet.prototxt lenet.caffemodel lenet_full_conv.prototxt \\
        -o dense.caffemodel --suffix -conv
    """
    from netsurgery.verbs.transplant import transplant

    printed = is_printed(weights_out, as_json=as_json, dry_run=dry_run)
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
        if dry_run:
            result.plan_outputs(weights_out)
        else:
            with bytes_written(quiet) as progress:
                result.save(weights_out, force=force, progress=progress)
        if as_json:
            echo_json(result.to_json())
        elif not quiet:
            render(result, err=printed)


def _pairs(words: tuple[str, ...], from_net: Path, state: NetState) -> dict[str, str]:
    """``LAYER=LAYER``, several of them, as a dict; of several = the one after a layer divides."""
    pairs: dict[str, str] = {}
    for pair in words:
        name, mark, goal = pair.partition("=")
        if "=" in goal:
            from netsurgery.net.net import NetDefinition

            layers = {layer.name for layer in NetDefinition.read(from_net, state).layers}
            parts = pair.split("=")
            names = ["=".join(parts[:end]) for end in range(1, len(parts))]
            # The longest: of a=b=c both a and a=b may be layers.
            name = max((each for each in names if each in layers), key=len, default=name)
            goal = pair[len(name) + 1 :]
        if not mark or not name:
            raise click.UsageError(f"--map takes LAYER=LAYER, not {pair!r}")
        if name in pairs:
            raise click.UsageError(f"--map names {name!r} twice")
        pairs[name] = goal
    return pairs


def render(result: Transplantation, *, err: bool) -> None:
    """Print the result for a person; on standard error where the weights are printed."""
    echo_table(result.table(), err=err)
    echo_notes(result.notes, err=err)
    echo(", ".join(f"{count} {word}" for word, count in result.counts.items() if count), err=err)
    if not err:
        echo(f"{'would write' if result.size is None else 'wrote'} {result.weights}")
