"""What ``netsurgery check`` prints, as JSON and as lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from netsurgery.cli.printing import echo
from netsurgery.jobs.check import Check
from netsurgery.net.net import Shape
from netsurgery.net.shapes import describe

__all__ = ["facts", "show"]

#: As many reasons are printed why an engine does not run a net; JSON has all.
_REASONS = 1

#: As many changes are printed that an upgrade would make.
_CHANGES = 3


def facts(found: Check) -> dict[str, Any]:
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


def show(found: Check) -> None:
    """Print what was found for a person, the worst first."""
    old = [one for one in found.findings if one.kind == "deprecated" and one.line is None]
    shortened = old[_CHANGES:] if len(old) > _CHANGES + 1 else []
    for level in ("error", "warning", "note"):
        for finding in found.findings:
            if finding.level == level and finding not in shortened:
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
