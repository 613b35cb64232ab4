"""``netsurgery check``: what can be known of a net without running it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from netsurgery.cli.command import Command
from netsurgery.cli.diff import trouble_is_two
from netsurgery.cli.inspect import told_apart
from netsurgery.cli.options import json_option, quiet_option, state_options, trust_option
from netsurgery.cli.printing import echo, echo_json
from netsurgery.net.net import Shape
from netsurgery.net.shapes import describe
from netsurgery.net.state import NetState
from netsurgery.verbs.check import Check, check

__all__ = ["command", "render", "to_json"]


@click.command(
    cls=Command,
    exit_codes={
        0: "No error; there may be warnings.",
        1: "At least one error.",
        2: "The check could not be done, or wrong usage.",
    },
)
@click.argument(
    "files",
    metavar="NET.prototxt [MODEL.caffemodel]",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
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
    """Check a net, and its weights, without running it.

    Reports, with their places: fields, values and layer types that Caffe 1.0 does not know, the
    nearest known name and the forks that have them; bottoms that nothing makes and tops that are
    made twice; shapes that contradict each other; params that the model lacks or has in other
    shapes; a mean, a channel order or labels in netsurgery.toml that do not fit; what is written
    as earlier Caffes had it; and which engines can run the net. Without MODEL, the weights that
    netsurgery.toml names for this net are checked.

    Errors are what no Caffe takes. Warnings are what only a fork takes and netsurgery does not
    understand, and shapes that cannot be known.

    \b
    Example:
      netsurgery check deploy.prototxt model.caffemodel
    """
    with trouble_is_two():
        prototxt, weights = told_apart(files)
        if prototxt is None:
            raise click.UsageError("expected a prototxt, and its caffemodel if you like")
        found = check(prototxt, weights, state, trust_config=trust_config)
    if as_json:
        echo_json(to_json(found))
    elif not quiet:
        render(found)
    raise click.exceptions.Exit(0 if found.ok else 1)


#: As many reasons are printed why an engine does not run a net; JSON has all.
_REASONS = 1

#: As many changes are printed that an upgrade would make.
_CHANGES = 3


def to_json(found: Check) -> dict[str, Any]:
    """Everything that was found, in plain values; None for what is not known."""
    return {
        "prototxt": found.prototxt,
        "weights": found.weights,
        "settings": found.settings,
        "generation": found.generation,
        "phase": found.state.phase,
        "level": found.state.level,
        "stages": list(found.state.stages),
        "ok": found.ok,
        "errors": found.count("error"),
        "warnings": found.count("warning"),
        "findings": [vars(finding) for finding in found.findings],
        "inputs": _shapes(found.inputs),
        "outputs": _shapes(found.outputs),
        "fits": found.fits,
        "engines": {
            name: {"runs": one.runs, "reasons": list(one.reasons)}
            for name, one in found.engines.items()
        },
    }


def _shapes(blobs: Mapping[str, Shape | None]) -> dict[str, list[int] | None]:
    return {name: None if shape is None else list(shape) for name, shape in blobs.items()}


def render(found: Check) -> None:
    """Print what was found for a person, the worst first."""
    old = [one for one in found.findings if one.kind == "deprecated" and one.line is None]
    shortened = {id(one) for one in old[_CHANGES:]} if len(old) > _CHANGES + 1 else set()
    for level in ("error", "warning", "note"):
        for finding in found.findings:
            if finding.level == level and id(finding) not in shortened:
                echo(f"{level}: {finding.message}")
    if shortened:
        echo(f"note: ... and {len(shortened)} more that `netsurgery upgrade` changes")
    for what, blobs in (("inputs", found.inputs), ("outputs", found.outputs)):
        if blobs:
            echo(f"{what}: {', '.join(_blob(*blob) for blob in blobs.items())}")
    if found.fits is not None:
        echo(f"{found.weights}: {'fits' if found.fits else 'does not fit'}")
    for name, one in found.engines.items():
        engine = f"{name} engine" if name == "embedded" else name
        if one.runs:
            echo(f"{engine}: can run it")
            continue
        more = len(one.reasons) - _REASONS
        others = f" (and {more} more)" if more > 0 else ""
        echo(f"{engine}: cannot run it: {'; '.join(one.reasons[:_REASONS])}{others}")
    echo(f"{found.prototxt}: {_total(found)}")


def _blob(name: str, shape: Shape | None) -> str:
    return f"{name} {'?' if shape is None else describe(shape)}"


def _total(found: Check) -> str:
    counts = [(level, found.count(level)) for level in ("error", "warning", "note")]
    parts = [f"{count} {level}{'s' * (count > 1)}" for level, count in counts if count]
    return ", ".join(parts) or "nothing to report"
