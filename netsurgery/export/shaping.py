"""Layers that join, cut, re-arrange, sum up, rank and look up, and sources."""

from __future__ import annotations

import numpy as np

from netsurgery.export.layer_context import Converter, LayerContext, only_caffe
from netsurgery.formats.textformat import Message
from netsurgery.io.wording import counted
from netsurgery.net.net import Layer
from netsurgery.net.types.axes import axis_of, cut_axis
from netsurgery.net.types.resampling import crop_offsets

__all__ = ["CONVERTERS"]


def _concat(ctx: LayerContext) -> list[str]:
    return [ctx.op("Concat", *ctx.bottoms, axis=cut_axis(ctx.layer, ctx.shape))]


def _slice(ctx: LayerContext) -> list[str]:
    axis = cut_axis(ctx.layer, ctx.shape)
    if len(ctx.tops) == 1:
        return [ctx.bottom]
    sizes = ctx.ints([top[axis] for top in ctx.tops])
    return ctx.several("Split", [ctx.bottom, sizes], len(ctx.tops), axis=axis)


def _flatten(ctx: LayerContext) -> list[str]:
    message, shape = ctx.layer.param("flatten_param"), ctx.shape
    start = axis_of(ctx.layer, message, shape, 1)
    end = axis_of(ctx.layer, message, shape, -1, "end_axis")
    # 0 keeps an axis, so that the same operation serves other heights and widths.
    return [ctx.reshape(ctx.bottom, (*[0] * start, -1, *shape[end + 1 :]))]


def _reshape(ctx: LayerContext) -> list[str]:
    dims = _dims(ctx)
    message = ctx.layer.param("reshape_param")
    start, unchanged = _unchanged_axes(ctx)
    if not ctx.dynamic or unchanged < 2 or 0 in ctx.tops[0]:
        return [ctx.reshape(ctx.bottom, dims)]
    # More axes than one follow that stay as they are: their sizes are asked for.
    asked = [d.as_int(-1) for d in (message.message("shape") or message).scalars("dim")]
    front = [0] * start + asked
    sizes = ctx.op("Shape", ctx.bottom, start=len(ctx.shape) - unchanged)
    return [ctx.op("Reshape", ctx.bottom, ctx.op("Concat", ctx.ints(front), sizes, axis=0))]


def _unchanged_axes(ctx: LayerContext) -> tuple[int, int]:
    """Where the axes begin that a Reshape changes, and how many follow that it does not."""
    message = ctx.layer.param("reshape_param")
    start = message.integer("axis", 0, -(2**31))
    start += len(ctx.shape) + 1 if start < 0 else 0
    axes = message.integer("num_axes", -1, -1)
    return start, 0 if axes == -1 else len(ctx.shape) - start - axes


def _dims(ctx: LayerContext) -> tuple[int, ...]:
    """The dims for ONNX's Reshape: leading axes that stay are 0, one that follows is -1."""
    top, shape = ctx.tops[0], ctx.shape
    message = ctx.layer.param("reshape_param")
    asked = [d.as_int(-1) for d in (message.message("shape") or message).scalars("dim")]
    start = message.integer("axis", 0, -(2**31))
    start += len(shape) + 1 if start < 0 else 0
    if 0 in top:
        return top
    # Caffe's 0 counts from `axis` as ONNX's does from the front: the same place.
    return (*[0] * start, *asked, *top[start + len(asked) :])


def _tile(ctx: LayerContext) -> list[str]:
    message = ctx.layer.param("tile_param")
    repeats = [1] * len(ctx.shape)
    repeats[axis_of(ctx.layer, message, ctx.shape, 1)] = message.integer("tiles", 0, 1)
    return [ctx.op("Tile", ctx.bottom, ctx.ints(repeats))]


def _crop(ctx: LayerContext) -> list[str]:
    """The part of the first bottom that is as large as the second from `axis` on."""
    shape, like = ctx.shape, ctx.shapes[1]
    axis = axis_of(ctx.layer, ctx.layer.param("crop_param"), shape, 2)
    axes = list(range(axis, len(shape)))
    starts = crop_offsets(ctx.layer, axis, len(shape))
    ends = [start + like[a] for start, a in zip(starts, axes, strict=True)]
    last = ctx.ints(ends)
    if ctx.dynamic:
        last = ctx.op("Add", ctx.op("Shape", ctx.bottoms[1], start=axis), ctx.ints(starts))
    return [ctx.op("Slice", ctx.bottom, ctx.ints(starts), last, ctx.ints(axes))]


def _eltwise(ctx: LayerContext) -> list[str]:
    message = ctx.layer.param("eltwise_param")
    operation = message.word("operation", "SUM")
    coefficients = [s.as_float() for s in message.scalars("coeff")]
    if operation in ("PROD", "0"):
        return [_folded(ctx, "Mul", ctx.bottoms)]
    if operation in ("MAX", "2"):
        return [ctx.op("Max", *ctx.bottoms)]
    terms = [
        ctx.scaled(bottom, factor)
        for bottom, factor in zip(
            ctx.bottoms, coefficients or [1.0] * len(ctx.bottoms), strict=True
        )
    ]
    return [_folded(ctx, "Add", terms)]


def _folded(ctx: LayerContext, kind: str, values: list[str]) -> str:
    result = values[0]
    for value in values[1:]:
        result = ctx.op(kind, result, value)
    return result


_REDUCTIONS = {
    "SUM": "ReduceSum",
    "ASUM": "ReduceL1",
    "SUMSQ": "ReduceSumSquare",
    "MEAN": "ReduceMean",
}
_FILLERS = "constant bilinear gaussian msra positive_unitball uniform xavier".split()
_REDUCTION_NUMBERS = {"1": "SUM", "2": "ASUM", "3": "SUMSQ", "4": "MEAN"}


def _reduction(ctx: LayerContext) -> list[str]:
    message = ctx.layer.param("reduction_param")
    axis = axis_of(ctx.layer, message, ctx.shape, 0)
    word = message.word("operation", "SUM")
    kind = _REDUCTIONS.get(_REDUCTION_NUMBERS.get(word, word))
    if kind is None:
        raise ctx.layer.error(f"operation {word}; expected one of {', '.join(_REDUCTIONS)}")
    axes = ctx.ints(range(axis, len(ctx.shape)))
    reduced = ctx.op(kind, ctx.bottom, axes, keepdims=0)
    return [ctx.scaled(reduced, message.number("coeff", 1.0))]


def _argmax(ctx: LayerContext) -> list[str]:
    """The places of the largest values; among equals Caffe takes the last, TopK the first."""
    message = ctx.layer.param("argmax_param")
    top_k, with_value = message.integer("top_k", 1, 1), message.boolean("out_max_val", False)
    by_axis = message.scalar("axis") is not None
    axis = axis_of(ctx.layer, message, ctx.shape, 0) if by_axis else 1
    value = ctx.bottom if by_axis else ctx.op("Flatten", ctx.bottom, axis=1)
    count = ctx.shape[axis] if by_axis else int(np.prod(ctx.shape[1:]))
    backwards = ctx.op("Gather", value, ctx.ints(range(count - 1, -1, -1)), axis=axis)
    best, places = ctx.several("TopK", [backwards, ctx.ints([top_k])], 2, axis=axis)
    forwards = ctx.op("Sub", ctx.ints(count - 1), places)
    index = ctx.op("Cast", forwards, to=1)
    if by_axis:
        return [best if with_value else index]
    both = ctx.op("Concat", index, best, axis=1) if with_value else index
    return [ctx.reshape(both, ctx.tops[0])]


def _embed(ctx: LayerContext) -> list[str]:
    rows = ctx.op("Gather", ctx.param(0), _rows(ctx, ctx.bottom), axis=0)
    return [ctx.op("Add", rows, ctx.param(1)) if len(ctx.params) > 1 else rows]


def _batch_reindex(ctx: LayerContext) -> list[str]:
    return [ctx.op("Gather", ctx.bottom, _rows(ctx, ctx.bottoms[1]), axis=0)]


def _rows(ctx: LayerContext, value: str) -> str:
    """Row numbers; one below 0, which ONNX counts from the end, becomes one that is not there."""
    rows = ctx.op("Cast", value, to=7)
    return ctx.op("Where", ctx.op("Less", rows, ctx.ints(0)), ctx.ints(2**62), rows)


def _parameter(ctx: LayerContext) -> list[str]:
    return [ctx.param(0)]


def _dummy_data(ctx: LayerContext) -> list[str]:
    message = ctx.layer.param("dummy_data_param")
    fillers = message.messages("data_filler")
    if len(fillers) not in (0, 1, len(ctx.tops)):
        raise ctx.layer.error(f"{len(fillers)} data_filler for {counted(len(ctx.tops), 'top')}")
    values = [_constant(ctx.layer, filler) for filler in fillers] or [0.0]
    values = values * len(ctx.tops) if len(values) == 1 else values
    return [ctx.floats(np.full(top, value)) for top, value in zip(ctx.tops, values, strict=True)]


def _constant(layer: Layer, filler: Message) -> float:
    kind = filler.string("type", "constant")
    if kind not in _FILLERS:
        raise layer.error(f"filler {kind!r}; Caffe has {', '.join(_FILLERS)}")
    if kind != "constant":
        raise layer.error(f"filler {kind!r}, expected constant; {only_caffe()}")
    return filler.number("value", 0.0)


CONVERTERS: dict[str, Converter] = {
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
