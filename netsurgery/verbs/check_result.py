"""What `check` returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from netsurgery.errors import NetsurgeryError, PrototxtError
from netsurgery.io.argument_types import checks_arguments
from netsurgery.io.short_repr import ShortRepr
from netsurgery.io.table import Column, Table
from netsurgery.io.wording import counted
from netsurgery.net.net import Shape
from netsurgery.net.state import NetState

__all__ = ["LEVELS", "Check", "EngineReport", "Finding"]

#: The levels of findings, the worst first.
LEVELS = ("error", "warning", "note")


@dataclass(frozen=True)
class EngineReport:
    """Whether an engine runs the net; reasons: why not, in order."""

    runs: bool
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """One thing to say of a net.

    kind: "schema", "structure", "shapes", "params", "settings", "effects" or "deprecated". level:
    "error", "warning" or "note". message: the whole line, its place in front. layer: its name,
    where it is of one. line, column: from 1, in the prototxt; None where it is of no place there.
    """

    kind: str
    level: str
    message: str
    layer: str | None = None
    line: int | None = None
    column: int | None = None

    @classmethod
    def of(cls, kind: str, level: str, error: NetsurgeryError, layer: str | None = None) -> Finding:
        """The finding that an error is."""
        if isinstance(error, PrototxtError) and error.line:
            return cls(kind, level, str(error), layer, error.line, error.column)
        return cls(kind, level, str(error), layer)


@dataclass(frozen=True, repr=False)
class Check(ShortRepr):
    """What `check` found.

    weights, settings: the files that the net was held against, None for none. inputs, outputs:
    blob -> shape, None where it is not known. fits: whether Caffe would load the weights; None
    where there are none, or the shapes are not known. engines: name -> whether it runs the net.

    >>> import netsurgery as ns
    >>> result = ns.check("prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel")
    >>> result.count("error")
    0
    """

    prototxt: str
    weights: str | None
    settings: str | None
    generation: str
    state: NetState
    findings: tuple[Finding, ...]
    inputs: Mapping[str, Shape | None] = field(default_factory=dict)
    outputs: Mapping[str, Shape | None] = field(default_factory=dict)
    fits: bool | None = None
    engines: Mapping[str, EngineReport] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong: no finding is an error."""
        return self.count("error") == 0

    @checks_arguments()
    def count(self, level: str) -> int:
        """How many findings are of a level: "error", "warning" or "note"."""
        return sum(finding.level == level for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """What `check --json` prints; None for what is not known."""
        return {
            "prototxt": self.prototxt,
            "weights": self.weights,
            "settings": self.settings,
            "generation": self.generation,
            "phase": self.state.phase,
            "level": self.state.level,
            "stages": list(self.state.stages),
            "ok": self.ok,
            "errors": self.count("error"),
            "warnings": self.count("warning"),
            "findings": [dict(vars(finding)) for finding in self.findings],
            "inputs": _shapes(self.inputs),
            "outputs": _shapes(self.outputs),
            "fits": self.fits,
            "engines": {
                name: {"runs": report.runs, "reasons": list(report.reasons)}
                for name, report in self.engines.items()
            },
        }

    def __str__(self) -> str:
        counts = [(level, self.count(level)) for level in LEVELS]
        parts = [counted(count, level) for level, count in counts if count]
        if self.ok:
            parts.insert(0, "no error")
        fits = {None: "", True: "; the weights fit", False: "; the weights do not fit"}
        return f"{self.prototxt}: {', '.join(parts)}{fits[self.fits]}"

    def _repr_html_(self) -> str:
        import html

        table = Table((Column("level"), Column("kind"), Column("message")))
        for finding in sorted(self.findings, key=lambda each: LEVELS.index(each.level)):
            table.add(finding.level, finding.kind, finding.message)
        return f"<p>{html.escape(str(self))}</p>\n{table.html() if table.rows else ''}"


def _shapes(blobs: Mapping[str, Shape | None]) -> dict[str, list[int] | None]:
    return {name: None if shape is None else list(shape) for name, shape in blobs.items()}
