"""Layers of common forks of Caffe, those of detectors too.

Their records in net/types say whose definitions they follow.
"""

from __future__ import annotations

from math import prod

import numpy as np

from netsurgery.export.convolution import CONVERTERS as CONVOLUTIONS
from netsurgery.export.layer_context import Converter, LayerContext
from netsurgery.io.wording import counted
from netsurgery.net.types.detection import regions
from netsurgery.net.types.fields import as_image
from netsurgery.net.types.prior_boxes import priors
from netsurgery.net.types.rearranging import (
    paddings,
    reorg,
    reversed_axes,
)
from netsurgery.net.types.resampling import interp_crop, upsample_factors
from netsurgery.net.types.shaping import permutation, transposition

__all__ = ["CONVERTERS"]


def _relu6(ctx: LayerContext) -> list[str]:
    return [ctx.op("Clip", ctx.bottom, ctx.floats(0.0), ctx.floats(6.0))]


def _permute(ctx: LayerContext) -> list[str]:
    order = permutation(ctx.layer, len(ctx.shape))
    return [ctx.op("Transpose", ctx.bottom, perm=order)]


def _normalize(ctx: LayerContext) -> list[str]:
    """x / sqrt(sum of x^2 + eps) over the blob of one picture, or over its channels only."""
    message, count = ctx.layer.param("norm_param"), len(ctx.shape)
    if not 2 <= count <= 4:
        raise ctx.layer.error(
            f"its bottom has {counted(count, 'axis')}; expected N x C, and at most H x W"
        )
    axes = range(1, count) if message.boolean("across_spatial", True) else [1]
    square = ctx.op("ReduceSumSquare", ctx.bottom, ctx.ints(axes))
    norm = ctx.op("Sqrt", ctx.op("Add", square, ctx.floats(message.number("eps", 1e-10))))
    scale = ctx.param(0, (prod(ctx.params[0].shape), *[1] * (count - 2)))
    return [ctx.op("Mul", ctx.op("Div", ctx.bottom, norm), scale)]


def _interp(ctx: LayerContext) -> list[str]:
    """Bilinear, corner on corner."""
    value, (before, behind) = ctx.bottom, interp_crop(ctx.layer)
    if before or behind:
        ends = [size - behind for size in ctx.shape[2:]]
        starts, axes = ctx.ints([before] * 2), ctx.ints([2, 3])
        value = ctx.op("Slice", value, starts, ctx.ints(ends), axes)
    attributes = {"coordinate_transformation_mode": "align_corners", "mode": "linear"}
    # no roi, no scales
    return [ctx.op("Resize", value, "", "", ctx.ints(ctx.tops[0]), **attributes)]


def _upsample(ctx: LayerContext) -> list[str]:
    """Each value repeated; or, with a mask, put where the mask says and zeros elsewhere."""
    if len(ctx.bottoms) == 1:
        scales = ctx.floats((1, 1, *upsample_factors(ctx.layer)))
        return [
            ctx.op(
                "Resize",
                ctx.bottom,
                "",
                scales,
                coordinate_transformation_mode="asymmetric",
                mode="nearest",
                nearest_mode="floor",
            )
        ]
    batch, channels, *size = ctx.tops[0]
    rows = batch * channels
    # A mask counts within each H x W map, so every map is a row of its own.
    values, mask = (ctx.reshape(bottom, (rows, -1)) for bottom in ctx.bottoms)
    zeros = ctx.floats(np.zeros((rows, prod(size))))
    places = ctx.op("Cast", mask, to=7)  # INT64
    scattered = ctx.op("ScatterElements", zeros, places, values, axis=1)
    return [ctx.reshape(scattered, ctx.tops[0])]


def _shuffle(ctx: LayerContext) -> list[str]:
    """Channels dealt out: the first of every group, then the second of every group, ..."""
    group = ctx.layer.param("shuffle_channel_param").integer("group", 1, 1)
    channels = ctx.shape[1]
    order = np.arange(channels).reshape(group, channels // group).T.ravel()
    return [ctx.op("Gather", ctx.bottom, ctx.ints(order), axis=1)]


def _axpy(ctx: LayerContext) -> list[str]:
    factor, x, y = ctx.bottoms
    each = ctx.reshape(factor, (0, 0, *[1] * (len(ctx.shapes[1]) - 2)))
    return [ctx.op("Add", ctx.op("Mul", each, x), y)]


def _roi_pooling(ctx: LayerContext) -> list[str]:
    """The largest of each part of each region; 0 where a part has no cell."""
    scale = ctx.layer.param("roi_pooling_param").number("spatial_scale", 1.0)
    boxes = ctx.bottoms[1]
    if len(ctx.shapes[1]) != 2:
        boxes = ctx.reshape(boxes, ctx.shapes[1][:2])  # R x 5 x 1 x 1 too
    size = regions(ctx.layer)
    return [ctx.op("MaxRoiPool", ctx.bottom, boxes, pooled_shape=size, spatial_scale=scale)]


def _prior_box(ctx: LayerContext) -> list[str]:
    """A constant: the bottoms give sizes alone."""
    known = priors(ctx.layer)
    size, picture = (np.array(as_image(ctx.layer, shape)[2:], float) for shape in ctx.shapes)
    picture = picture if known.picture is None else np.array(known.picture)
    step = picture / size if known.step is None else np.array(known.step)
    middles = [(np.arange(size[i]) + known.offset) * step[i] for i in range(2)]
    half = np.array(known.boxes) / 2
    y, x = (
        middle.reshape(shape)
        for middle, shape in zip(middles, ((-1, 1, 1), (1, -1, 1)), strict=True)
    )
    corners = np.broadcast_arrays(
        (x - half[:, 0]) / picture[1],
        (y - half[:, 1]) / picture[0],
        (x + half[:, 0]) / picture[1],
        (y + half[:, 1]) / picture[0],
    )
    boxes = np.stack(corners, axis=-1).ravel()
    boxes = boxes.clip(0, 1) if known.clip else boxes
    # np.resize repeats the few variances for every box.
    variances = np.resize(known.variances, boxes.shape)
    return [ctx.floats(np.stack([boxes, variances])[None])]


def _reorg(ctx: LayerContext) -> list[str]:
    """The part (y, x) of every square of cells, channel by channel, and the other way round.

    YOLO takes its bottom for a map of so many times fewer channels, and so many times more rows
    and columns, which it is not: the same numbers lie otherwise.
    """
    (batch, channels, height, width), (stride, back) = ctx.shape, reorg(ctx.layer)
    fewer = channels // stride**2
    if back:
        parts = ctx.reshape(ctx.bottom, (batch, stride, stride, fewer, height, width))
        spread = ctx.op("Transpose", parts, perm=(0, 3, 4, 1, 5, 2))
        return [ctx.reshape(spread, ctx.tops[0])]
    squares = ctx.reshape(ctx.bottom, (batch, fewer, height, stride, width, stride))
    parts = ctx.op("Transpose", squares, perm=(0, 3, 5, 1, 2, 4))
    return [ctx.reshape(parts, ctx.tops[0])]


def _reverse(ctx: LayerContext) -> list[str]:
    axes = reversed_axes(ctx.layer, len(ctx.shape))
    # Backwards from the last; an end of -1 would be the last again, and the steps are -1 as well.
    starts, ends = [-1] * len(axes), [-(2**31)] * len(axes)
    constants = [ctx.ints(values) for values in (starts, ends, axes, starts)]
    return [ctx.op("Slice", ctx.bottom, *constants)]


def _pad(ctx: LayerContext) -> list[str]:
    around = paddings(ctx.layer, len(ctx.shape))
    before, behind = zip(*around, strict=True)
    value = ctx.layer.param("pad_param").number("constant_values", 0.0)
    return [ctx.op("Pad", ctx.bottom, ctx.ints((*before, *behind)), ctx.floats(value))]


def _transpose(ctx: LayerContext) -> list[str]:
    order = transposition(ctx.layer, len(ctx.shape))
    return [ctx.op("Transpose", ctx.bottom, perm=order)]


CONVERTERS: dict[str, Converter] = {
    "Axpy": _axpy,
    "DepthwiseConvolution": CONVOLUTIONS["Convolution"],
    "Interp": _interp,
    "Normalize": _normalize,
    "Pad": _pad,
    "Permute": _permute,
    "PriorBox": _prior_box,
    "ROIPooling": _roi_pooling,
    "ReLU6": _relu6,
    "Reorg": _reorg,
    "Reverse": _reverse,
    "ShuffleChannel": _shuffle,
    "Transpose": _transpose,
    "Upsample": _upsample,
}
