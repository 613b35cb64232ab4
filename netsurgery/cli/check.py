"""``netsurgery check``: what can be known of a net without running it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from netsurgery.cli.colors import BAD, GOOD
from netsurgery.cli.command import Command
from netsurgery.cli.diff import trouble_is_two
from netsurgery.cli.files import NET_OR_WEIGHTS, is_stdin, net_and_weights
from netsurgery.cli.options import json_option, quiet_option, state_options, trust_option
from netsurgery.cli.printing import echo, echo_json, echo_labelled
from netsurgery.io.shape_text import shape_text
from netsurgery.net.state import NetState

if TYPE_CHECKING:
    from netsurgery.net.net import Shape
    from netsurgery.verbs.check_result import Check

__all__ = ["command"]


@click.command(
    cls=Command,
    exit_codes={
        0: "No error; there may be warnings.",
        1: "At least one error.",
        2: "The check could not be done, or wrong usage.",
    },
)
@trouble_is_two()
@click.argument(
    "files",
    metavar="NET.prototxt [MODEL.caffemodel]",
    nargs=-1,
    required=True,
    type=NET_OR_WEIGHTS,
)
@state_options
@trust_option
@json_option
@quiet_option
def command(
    files: tuple[Path, ...],
    state: NetState,
    trust_config: bool | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Check a net and its weights without running them.

    Reports, with line and column: unknown fields, values and layer types, with the nearest known
    name and the forks that have them; bottoms without a top, and tops that are made twice; shapes
    that contradict each other; params that the model lacks or has in other shapes; a mean, channel
    order or labels in netsurgery.toml that do not fit; syntax of earlier versions of Caffe; and
    which engines can run the net. Without MODEL, checks the weights that netsurgery.toml names for
    this net.

    An error is what no version of Caffe accepts. A warning is what only a fork accepts and
    netsurgery does not support, or a shape that cannot be inferred.

    \b
    Example:
      netsurgery check deploy.prototxt model.caffemodel
    """
    from netsurgery.verbs.check import check

    prototxt, weights = net_and_weights(files)
    if is_stdin(prototxt):  # which lies beside no netsurgery.toml
        trust_config = False
    result = check(prototxt, weights, state=state, trust_config=trust_config)
    if as_json:
        echo_json(result.to_json())
    elif not quiet:
        render(result)
    raise click.exceptions.Exit(0 if result.ok else 1)


#: As many reasons are printed why an engine does not run a net; JSON has all.
_REASONS = 1

#: As many findings of one level are printed about params.
_PARAMS = 6

#: As many changes are printed that an upgrade would make.
_CHANGES = 3


def render(result: Check) -> None:
    """Print the result for a person: the verdict, then the findings, the worst first."""
    from netsurgery.verbs.check_result import LEVELS

    echo(str(result), color=GOOD if result.ok else BAD)
    old = [each for each in result.findings if each.kind == "deprecated" and each.line is None]
    # Two at least: "and 1 more" takes the room of the line it stands for.
    shortened = {id(each) for each in old[_CHANGES:]} if len(old) > _CHANGES + 1 else set()
    for level in LEVELS:
        params = [each for each in result.findings if each.kind == "params" and each.level == level]
        hidden = {id(each) for each in params[_PARAMS:]} if len(params) > _PARAMS + 1 else set()
        for finding in result.findings:
            if finding.level == level and id(finding) not in (shortened | hidden):
                echo_labelled(level, finding.message)
        if hidden:
            echo_labelled(level, f"... and {len(hidden)} more of params")
    if shortened:
        echo_labelled("note", f"... and {len(shortened)} more that `netsurgery upgrade` changes")
    for what, blobs in (("inputs", result.inputs), ("outputs", result.outputs)):
        if blobs:
            echo(f"{what}: {', '.join(_blob(*blob) for blob in blobs.items())}")
    for name, report in result.engines.items():
        engine = f"{name} engine" if name == "embedded" else name
        if report.runs:
            echo(f"{engine}: can run it")
            continue
        more = len(report.reasons) - _REASONS
        others = f" (and {more} more)" if more > 0 else ""
        echo(f"{engine}: cannot run it: {'; '.join(report.reasons[:_REASONS])}{others}")


def _blob(name: str, shape: Shape | None) -> str:
    return f"{name} {'?' if shape is None else shape_text(shape)}"
