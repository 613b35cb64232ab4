"""Layers that join, cut, re-arrange, sum up, rank and look up, and sources."""

from __future__ import annotations

import numpy as np

from netsurgery.export.layer_context import Converter, LayerContext, only_caffe
from netsurgery.formats.textformat import Message
from netsurgery.net.net import Layer
from netsurgery.net.types.axes import axis_of, cut_axis
from netsurgery.net.types.resampling import crop_offsets

__all__ = ["EMITTERS"]


def _concat(site: LayerContext) -> list[str]:
    return [site.op("Concat", *site.bottoms, axis=cut_axis(site.layer, site.shape))]


def _slice(site: LayerContext) -> list[str]:
    axis = cut_axis(site.layer, site.shape)
    if len(site.tops) == 1:
        return [site.bottom]
    sizes = site.ints([top[axis] for top in site.tops])
    return site.several("Split", [site.bottom, sizes], len(site.tops), axis=axis)


def _flatten(site: LayerContext) -> list[str]:
    message, shape = site.layer.param("flatten_param"), site.shape
    start = axis_of(site.layer, message, shape, 1)
    end = axis_of(site.layer, message, shape, -1, "end_axis")
    # 0 keeps an axis, so that the same operation serves other heights and widths.
    return [site.reshape(site.bottom, (*[0] * start, -1, *shape[end + 1 :]))]


def _reshape(site: LayerContext) -> list[str]:
    dims = _dims(site)
    message = site.layer.param("reshape_param")
    start, kept = _kept(site)
    if not site.dynamic or kept < 2 or 0 in site.tops[0]:
        return [site.reshape(site.bottom, dims)]
    # More axes than one follow that stay as they are: their sizes are asked for.
    asked = [d.as_int(-1) for d in (message.message("shape") or message).scalars("dim")]
    front = [0] * start + asked
    sizes = site.op("Shape", site.bottom, start=len(site.shape) - kept)
    return [site.op("Reshape", site.bottom, site.op("Concat", site.ints(front), sizes, axis=0))]


def _kept(site: LayerContext) -> tuple[int, int]:
    """Where the axes begin that a Reshape changes, and how many follow that it does not."""
    message = site.layer.param("reshape_param")
    start = message.integer("axis", 0, -(2**31))
    start += len(site.shape) + 1 if start < 0 else 0
    axes = message.integer("num_axes", -1, -1)
    return start, 0 if axes == -1 else len(site.shape) - start - axes


def _dims(site: LayerContext) -> tuple[int, ...]:
    """The dims for ONNX's Reshape: leading axes that stay are 0, one that follows is -1."""
    top, shape = site.tops[0], site.shape
    message = site.layer.param("reshape_param")
    asked = [d.as_int(-1) for d in (message.message("shape") or message).scalars("dim")]
    start = message.integer("axis", 0, -(2**31))
    start += len(shape) + 1 if start < 0 else 0
    if 0 in top:
        return top
    # Caffe's 0 counts from `axis` as ONNX's does from the front: the same place.
    return (*[0] * start, *asked, *top[start + len(asked) :])


def _tile(site: LayerContext) -> list[str]:
    message = site.layer.param("tile_param")
    repeats = [1] * len(site.shape)
    repeats[axis_of(site.layer, message, site.shape, 1)] = message.integer("tiles", 0, 1)
    return [site.op("Tile", site.bottom, site.ints(repeats))]


def _crop(site: LayerContext) -> list[str]:
    """The part of the first bottom that is as large as the second from `axis` on."""
    shape, like = site.shape, site.shapes[1]
    axis = axis_of(site.layer, site.layer.param("crop_param"), shape, 2)
    axes = list(range(axis, len(shape)))
    starts = crop_offsets(site.layer, axis, len(shape))
    ends = [start + like[a] for start, a in zip(starts, axes, strict=True)]
    last = site.ints(ends)
    if site.dynamic:
        last = site.op("Add", site.op("Shape", site.bottoms[1], start=axis), site.ints(starts))
    return [site.op("Slice", site.bottom, site.ints(starts), last, site.ints(axes))]


def _eltwise(site: LayerContext) -> list[str]:
    message = site.layer.param("eltwise_param")
    operation = message.word("operation", "SUM")
    coefficients = [s.as_float() for s in message.scalars("coeff")]
    if coefficients and len(coefficients) != len(site.bottoms):
        raise site.layer.error(f"{len(coefficients)} coeff for {len(site.bottoms)} bottoms")
    if operation in ("PROD", "0"):
        if coefficients:
            raise site.layer.error("coeff is for SUM only")
        return [_folded(site, "Mul", site.bottoms)]
    if operation in ("MAX", "2"):
        return [site.op("Max", *site.bottoms)]
    terms = [
        site.scaled(bottom, factor)
        for bottom, factor in zip(
            site.bottoms, coefficients or [1.0] * len(site.bottoms), strict=True
        )
    ]
    return [_folded(site, "Add", terms)]


def _folded(site: LayerContext, kind: str, values: list[str]) -> str:
    made = values[0]
    for value in values[1:]:
        made = site.op(kind, made, value)
    return made


_REDUCTIONS = {
    "SUM": "ReduceSum",
    "ASUM": "ReduceL1",
    "SUMSQ": "ReduceSumSquare",
    "MEAN": "ReduceMean",
}
_FILLERS = "constant bilinear gaussian msra positive_unitball uniform xavier".split()
_REDUCTION_NUMBERS = {"1": "SUM", "2": "ASUM", "3": "SUMSQ", "4": "MEAN"}


def _reduction(site: LayerContext) -> list[str]:
    message = site.layer.param("reduction_param")
    axis = axis_of(site.layer, message, site.shape, 0)
    word = message.word("operation", "SUM")
    kind = _REDUCTIONS.get(_REDUCTION_NUMBERS.get(word, word))
    if kind is None:
        raise site.layer.error(f"operation {word}; expected one of {', '.join(_REDUCTIONS)}")
    axes = site.ints(range(axis, len(site.shape)))
    made = site.op(kind, site.bottom, axes, keepdims=0)
    return [site.scaled(made, message.number("coeff", 1.0))]


def _argmax(site: LayerContext) -> list[str]:
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


def _embed(site: LayerContext) -> list[str]:
    made = site.op("Gather", site.param(0), _rows(site, site.bottom), axis=0)
    return [site.op("Add", made, site.param(1)) if len(site.params) > 1 else made]


def _batch_reindex(site: LayerContext) -> list[str]:
    return [site.op("Gather", site.bottom, _rows(site, site.bottoms[1]), axis=0)]


def _rows(site: LayerContext, value: str) -> str:
    """Row numbers; one below 0, which ONNX counts from the end, becomes one that is not there."""
    rows = site.op("Cast", value, to=7)
    return site.op("Where", site.op("Less", rows, site.ints(0)), site.ints(2**62), rows)


def _parameter(site: LayerContext) -> list[str]:
    return [site.param(0)]


def _dummy_data(site: LayerContext) -> list[str]:
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


EMITTERS: dict[str, Converter] = {
    "ArgMax": _argmax,
    "BatchReindex": _batch_reindex,
    "Concat": _concat,
    "Crop": _crop,
    "DummyData": _dummy_data,
    "Eltwise": _eltwise,
    "Embed": _embed,
    "Flatten": _flatten,
    "Parameter": _parameter,
    "Reduction": _reduction,
    "Reshape": _reshape,
    "Slice": _slice,
    "Tile": _tile,
}
