"""Layers that sum up, rank and look up: Reduction, ArgMax, Embed, BatchReindex, and sources."""

from __future__ import annotations

import numpy as np

from netsurgery.export.site import Emitter, Site, only_caffe
from netsurgery.formats.textformat import Message
from netsurgery.net.net import Layer
from netsurgery.net.types.axes import axis_of

__all__ = ["EMITTERS"]

_REDUCTIONS = {
    "SUM": "ReduceSum",
    "ASUM": "ReduceL1",
    "SUMSQ": "ReduceSumSquare",
    "MEAN": "ReduceMean",
}
_FILLERS = "constant bilinear gaussian msra positive_unitball uniform xavier".split()
_REDUCTION_NUMBERS = {"1": "SUM", "2": "ASUM", "3": "SUMSQ", "4": "MEAN"}


def _reduction(site: Site) -> list[str]:
    message = site.layer.param("reduction_param")
    axis = axis_of(site.layer, message, site.shape, 0)
    word = message.word("operation", "SUM")
    kind = _REDUCTIONS.get(_REDUCTION_NUMBERS.get(word, word))
    if kind is None:
        raise site.layer.error(f"operation {word}; expected one of {', '.join(_REDUCTIONS)}")
    axes = site.ints(range(axis, len(site.shape)))
    made = site.op(kind, site.bottom, axes, keepdims=0)
    return [site.scaled(made, message.number("coeff", 1.0))]


def _argmax(site: Site) -> list[str]:
    """The places of the largest values; among equals Caffe takes the last, TopK the first."""
    message = site.layer.param("argmax_param")
    top_k, with_value = message.integer("top_k", 1, 1), message.boolean("out_max_val", False)
    by_axis = message.scalar("axis") is not None
    axis = axis_of(site.layer, message, site.shape, 0) if by_axis else 1
    value = site.bottom if by_axis else site.op("Flatten", site.bottom, axis=1)
    count = site.shape[axis] if by_axis else int(np.prod(site.shape[1:]))
    if top_k > count:
        raise site.layer.error(f"top_k {top_k} of {count} elements")
    backwards = site.op("Gather", value, site.ints(range(count - 1, -1, -1)), axis=axis)
    best, places = site.several("TopK", [backwards, site.ints([top_k])], 2, axis=axis)
    forwards = site.op("Sub", site.ints(count - 1), places)
    index = site.op("Cast", forwards, to=1)
    if by_axis:
        return [best if with_value else index]
    both = site.op("Concat", index, best, axis=1) if with_value else index
    return [site.reshape(both, site.tops[0])]


def _embed(site: Site) -> list[str]:
    made = site.op("Gather", site.param(0), _rows(site, site.bottom), axis=0)
    return [site.op("Add", made, site.param(1)) if len(site.params) > 1 else made]


def _batch_reindex(site: Site) -> list[str]:
    return [site.op("Gather", site.bottom, _rows(site, site.bottoms[1]), axis=0)]


def _rows(site: Site, value: str) -> str:
    """Row numbers; one below 0, which ONNX counts from the end, becomes one that is not there."""
    rows = site.op("Cast", value, to=7)
    return site.op("Where", site.op("Less", rows, site.ints(0)), site.ints(2**62), rows)


def _parameter(site: Site) -> list[str]:
    return [site.param(0)]


def _dummy_data(site: Site) -> list[str]:
    message = site.layer.param("dummy_data_param")
    fillers = message.messages("data_filler")
    if len(fillers) not in (0, 1, len(site.tops)):
        raise site.layer.error(f"{len(fillers)} data_filler for {len(site.tops)} tops")
    values = [_constant(site.layer, filler) for filler in fillers] or [0.0]
    values = values * len(site.tops) if len(values) == 1 else values
    return [site.floats(np.full(top, value)) for top, value in zip(site.tops, values, strict=True)]


def _constant(layer: Layer, filler: Message) -> float:
    kind = filler.string("type", "constant")
    if kind not in _FILLERS:
        raise layer.error(f"filler {kind!r}; Caffe has {', '.join(_FILLERS)}")
    if kind != "constant":
        raise layer.error(f"filler {kind!r}, expected constant; {only_caffe('takes others')}")
    return filler.number("value", 0.0)


EMITTERS: dict[str, Emitter] = {
    "ArgMax": _argmax,
    "BatchReindex": _batch_reindex,
    "DummyData": _dummy_data,
    "Embed": _embed,
    "Parameter": _parameter,
    "Reduction": _reduction,
}
