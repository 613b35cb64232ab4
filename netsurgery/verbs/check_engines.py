"""Which engines can run a net, and why not: by what is known of them, without starting one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from netsurgery.engines.model_file import lost_by_caffe
from netsurgery.errors import NetsurgeryError
from netsurgery.export.layers import check_type
from netsurgery.formats.caffemodel import FIELDS, Caffemodel
from netsurgery.formats.schema.descriptors import why_not_parsed
from netsurgery.formats.weights import is_hdf5_name
from netsurgery.io.memory import Claim
from netsurgery.io.wording import counted
from netsurgery.net import types
from netsurgery.net.inputs import declare_inputs
from netsurgery.net.net import NetDefinition
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.shapes import Shapes
from netsurgery.net.types.record import InputSource, ParamRole
from netsurgery.verbs.check_result import EngineReport, Finding

__all__ = ["embedded_report", "stock_report"]

#: Bytes of memory for each byte that protobuf parses.
_PARSED = 32
_NO_FIT = "the weights do not fit"


def embedded_report(net: NetDefinition, shapes: Shapes, fits: bool | None) -> EngineReport:
    """What the embedded engine makes of the net."""
    reasons: list[str] = []
    # Data layers of known shapes are run as inputs.
    inputs = {layer.name for layer in declare_inputs(net).layers if types.is_input(layer)}
    for layer in net.layers:
        if layer.name in inputs:
            continue
        try:
            check_type(net, layer)
        except NetsurgeryError as error:
            reasons.append(str(error))
    if not reasons:
        reasons += _unknown_outputs(net, shapes)
    return _report(reasons, fits)


def _unknown_outputs(net: NetDefinition, shapes: Shapes) -> Iterator[str]:
    """Why the shapes of outputs are not known, each reason once."""
    seen = set[str]()
    for blob in net.outputs:
        if shapes.unknown.get(blob, blob) in seen:
            continue
        seen.add(shapes.unknown.get(blob, blob))
        try:
            shapes.of(blob)
        except NetsurgeryError as error:
            yield str(error)


def stock_report(
    model: NetWithWeights, findings: Sequence[Finding], fits: bool | None
) -> EngineReport:
    """What Caffe 1.0 makes of the net; what is in layers of other phases counts, as it reads it."""
    schema = [finding.message for finding in findings if finding.kind == "schema"]
    wrong = [
        finding.message
        for finding in findings
        if finding.level == "error" and finding.kind in ("structure", "shapes")
    ]
    net = model.net
    in_place = map(str, net.refused_in_place())
    reasons = [*in_place, *_rates(net), *_surplus(net), *_sources(net), *_weights(model)]
    return _report([*schema, *wrong, *reasons], fits)


def _rates(net: NetDefinition) -> Iterator[str]:
    """BatchNorms of which Caffe would have to train the statistics.

    Where there are three rates it takes them for those of an old file, and for zeros.
    """
    for layer in net.layers:
        # The CHECK of BatchNormLayer::LayerSetUp; UpgradeNetBatchNorm goes by the number of rates.
        statistics = types.is_stock(layer) and any(
            param.role is ParamRole.FACTOR for param in types.params(layer) or ()
        )
        specs = layer.message.messages("param") if statistics else []
        if len(specs) != 3 and any(spec.number("lr_mult", 1.0) for spec in specs):
            yield str(layer.error("a lr_mult other than 0 for its statistics, which Caffe refuses"))


def _surplus(net: NetDefinition) -> Iterator[str]:
    """Layers with more ``param { }`` than params."""
    for layer in net.layers:
        # A CHECK in Net::Init (net.cpp). None: only Caffe knows the params of that type.
        specs, params = layer.message.all("param"), types.params(layer)
        if types.is_stock(layer) and params is not None and len(specs) > len(params):
            yield str(layer.error(f"{len(specs)} param for its {counted(len(params), 'param')}"))


def _sources(net: NetDefinition) -> Iterator[str]:
    """The files that data layers read, where there are none."""
    for layer in net.layers:
        own = types.message_of(layer)
        if own is None or types.source(layer) is not InputSource.DATA:
            continue
        source = layer.param(own).scalar("source")
        # Caffe, too, looks from the current folder, wherever the prototxt is.
        if source is not None and not os.path.exists(source.as_string()):
            yield str(layer.error(f"there is no {source.as_string()!r}, which it reads"))


def _weights(model: NetWithWeights) -> Iterator[str]:
    """What Caffe 1.0 does not read of the weights."""
    if not model.has_weights:
        return
    if isinstance(model.weights, Caffemodel):
        yield from _unread(model.weights)
        return
    if not is_hdf5_name(model.path):
        yield f"Caffe takes HDF5 only from a name that ends in .h5, and {model.path} does not"
    lost = lost_by_caffe(model)
    if lost:
        yield lost


def _unread(model: Caffemodel) -> Iterator[str]:
    """The first layer with raw numbers, and the first whose own fields Caffe 1.0 cannot parse."""
    raw = next((layer for layer in model.layers if any(blob.raw for blob in layer.blobs)), None)
    if raw is not None:
        yield (
            f"{model.path}: layer {raw.name!r} holds raw_data of NVIDIA's Caffe, which `netsurgery "
            "upgrade` writes as data"
        )
    message = "LayerParameter" if model.generation == "V2" else "V1LayerParameter"
    blobs = FIELDS[model.generation].blobs
    for layer in model.layers:
        # Without the blobs: parsing them would take the memory of all weights.
        fields = [each for each in layer.fields() if each.number != blobs]
        count = sum(each.end - each.start for each in fields)
        with Claim(_PARSED * count, f"{model.path}: parsing layer {layer.name!r}"):
            data = b"".join(layer.reader.read(each.start, each.end) for each in fields)
            why = why_not_parsed(message, data)
        if why:
            yield f"{model.path}: Caffe cannot parse layer {layer.name!r}: {why}"
            return


def _report(reasons: list[str], fits: bool | None) -> EngineReport:
    if fits is False:
        reasons.append(_NO_FIT)
    return EngineReport(not reasons, tuple(reasons))
