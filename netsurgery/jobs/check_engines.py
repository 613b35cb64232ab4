"""Which engines can run a net, and why not: by what is known of them, without starting one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from netsurgery.engines.model_file import lost_by_caffe
from netsurgery.errors import NetsurgeryError
from netsurgery.export.layers import check_types
from netsurgery.formats.weights import is_hdf5, is_hdf5_name
from netsurgery.jobs.check_schema import Finding
from netsurgery.net import types
from netsurgery.net.model import Model
from netsurgery.net.net import Net
from netsurgery.net.shapes import Shapes
from netsurgery.net.types.record import Source
from netsurgery.surgery.inputs import declare_inputs

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
    # Data layers of known shapes are run as inputs.
    inputs = {layer.name for layer in declare_inputs(net).layers if types.is_input(layer)}
    for layer in net.layers:
        if layer.name in inputs:
            continue
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


def stock_report(model: Model, findings: Sequence[Finding], fits: bool | None) -> EngineReport:
    """What Caffe 1.0 makes of the net; what is in layers of other phases counts, as it reads it."""
    schema = [finding.message for finding in findings if finding.kind == "schema"]
    wrong = [
        finding.message
        for finding in findings
        if finding.level == "error" and finding.kind in ("structure", "shapes")
    ]
    return _report([*schema, *wrong, *_sources(model.net), *_weights(model)], fits)


def _sources(net: Net) -> Iterator[str]:
    """The files that data layers read, where there are none."""
    for layer in net.layers:
        own = types.message_of(layer)
        if own is None or types.source(layer) is not Source.DATA:
            continue
        source = layer.param(own).scalar("source")
        if source is not None and not Path(source.as_string()).exists():
            yield str(layer.error(f"there is no {source.as_string()!r}, which it reads"))


def _weights(model: Model) -> Iterator[str]:
    """What Caffe 1.0 does not read of the weights."""
    if not model.has_weights or not is_hdf5(model.path):
        return
    if not is_hdf5_name(model.path):
        yield f"Caffe takes HDF5 only from a name that ends in .h5, and {model.path} does not"
    lost = lost_by_caffe(model)
    if lost:
        yield lost


def _report(reasons: list[str], fits: bool | None) -> EngineReport:
    if fits is False:
        reasons.append(_NO_FIT)
    return EngineReport(not reasons, tuple(reasons))
