"""``netsurgery transplant``: params of one net put into another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from netsurgery.cli.command import Command
from netsurgery.cli.files import PROTOTXT, WEIGHTS
from netsurgery.cli.options import (
    dry_run_option,
    force_option,
    json_option,
    output_option,
    quiet_option,
    state_options,
)
from netsurgery.cli.printing import echo, echo_json, echo_notes, echo_table
from netsurgery.cli.progress import bytes_written
from netsurgery.io.shape_text import shape_text
from netsurgery.net.net import NetDefinition
from netsurgery.net.state import NetState
from netsurgery.surgery.transplant.plan import NameRule, ParamKey, Transfer, TransplantPlan
from netsurgery.verbs.transplant import Transplantation, planned_transplant, write_transplant

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
    required=True,
    help="The new weights; HDF5 if the name ends in .h5.",
)
@click.option(
    "--map",
    "pairs",
    metavar="LAYER=LAYER",
    multiple=True,
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
    weights_out: Path,
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
    rule = NameRule(_pairs(pairs, from_net, state), prefix, suffix)
    with planned_transplant(
        (from_net, from_weights),
        (to_net, to_weights),
        rule,
        state=state,
        cut=cut,
        strict=strict,
    ) as plan:
        made = None
        if not dry_run:
            with bytes_written(quiet) as progress:
                made = write_transplant(plan, weights_out, force=force, progress=progress)
        found = _facts(plan, weights_out, made)
    if as_json:
        echo_json(found)
    elif not quiet:
        _show(found)


def _pairs(given: tuple[str, ...], from_net: Path, state: NetState) -> dict[str, str]:
    """``LAYER=LAYER``, several of them, as a dict; of several = the one behind a layer divides."""
    pairs: dict[str, str] = {}
    for pair in given:
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


def _facts(plan: TransplantPlan, weights: Path, made: Transplantation | None) -> dict[str, Any]:
    return {
        "params": [_param(transfer) for transfer in plan.transfers],
        "counts": plan.counts,
        "layers_without_params": list(plan.absent),
        "layers_kept_besides": list(plan.target.model.extra),
        "notes": list(plan.notes),
        "weights": str(weights),
        "dry_run": made is None,
        **({} if made is None else {"bytes": made.written, "seconds": round(made.seconds, 3)}),
    }


def _param(transfer: Transfer) -> dict[str, Any]:
    def key(param: ParamKey | None) -> dict[str, Any] | None:
        return None if param is None else {"layer": param[0], "index": param[1]}

    return {
        "outcome": transfer.outcome,
        "from": key(transfer.source),
        "to": key(transfer.target),
        "from_shape": None if transfer.old is None else list(transfer.old),
        "to_shape": None if transfer.new is None else list(transfer.new),
        "reason": transfer.reason,
    }


def _show(found: dict[str, Any]) -> None:
    """Print the facts for a person."""
    rows = [("from", "shape", "outcome", "to", "shape", "")]
    for param in found["params"]:
        source, target = (
            (_name(param[end]), _shape(param[f"{end}_shape"])) for end in ("from", "to")
        )
        rows.append((*source, param["outcome"], *target, param["reason"]))
    echo_table(rows)
    echo_notes(found["notes"])
    echo(", ".join(f"{count} {word}" for word, count in found["counts"].items() if count))
    echo(f"{'would write' if found['dry_run'] else 'wrote'} {found['weights']}")


def _name(param: dict[str, Any] | None) -> str:
    return "" if param is None else f"{param['layer']}[{param['index']}]"


def _shape(shape: list[int] | None) -> str:
    return "" if shape is None else shape_text(tuple(shape))
