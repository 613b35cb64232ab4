"""Which engines can run a net, and why not: by what is known of them, without starting one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from netsurgery.errors import NetsurgeryError
from netsurgery.export.layers import check_types
from netsurgery.jobs.check_schema import Finding
from netsurgery.net.net import Net
from netsurgery.net.shapes import Shapes

__all__ = ["EngineReport", "embedded_report", "stock_report"]

_NO_FIT = "the weights do not fit"


@dataclass(frozen=True)
class EngineReport:
    """Whether an engine runs the net; reasons: why not, in order."""

    runs: bool
    reasons: tuple[str, ...] = ()


def embedded_report(net: Net, shapes: Shapes, fits: bool | None) -> EngineReport:
    """What the embedded engine makes of the net."""
    reasons: list[str] = []
    for layer in net.layers:
        try:
            check_types(replace(net, layers=(layer,)))
        except NetsurgeryError as error:
            reasons.append(str(error))
    if not reasons:
        for blob in net.outputs:
            try:
                shapes.of(blob)
            except NetsurgeryError as error:
                reasons.append(str(error))
    return _report(reasons, fits)


def stock_report(findings: Sequence[Finding], fits: bool | None) -> EngineReport:
    """What Caffe 1.0 makes of the net; what is in layers of other phases counts, as it reads it."""
    schema = [finding.message for finding in findings if finding.kind == "schema"]
    wrong = [
        finding.message
        for finding in findings
        if finding.level == "error" and finding.kind in ("structure", "shapes")
    ]
    return _report([*schema, *wrong], fits)


def _report(reasons: list[str], fits: bool | None) -> EngineReport:
    if fits is False:
        reasons.append(_NO_FIT)
    return EngineReport(not reasons, tuple(reasons))
