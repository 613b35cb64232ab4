"""Layers of common forks of Caffe, those of detectors too.

Their records in net/types say whose definitions they follow.
"""

from __future__ import annotations

from math import prod

import numpy as np

from netsurgery.export.convolution import EMITTERS as CONVOLUTIONS
from netsurgery.export.layer_context import Converter, LayerContext
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

__all__ = ["EMITTERS"]


def _relu6(site: LayerContext) -> list[str]:
    return [site.op("Clip", site.bottom, site.floats(0.0), site.floats(6.0))]


def _permute(site: LayerContext) -> list[str]:
    order = permutation(site.layer, len(site.shape))
    return [site.op("Transpose", site.bottom, perm=order)]


def _normalize(site: LayerContext) -> list[str]:
    """x / sqrt(sum of x^2 + eps) over the blob of one picture, or over its channels only."""
    message, count = site.layer.param("norm_param"), len(site.shape)
    if not 2 <= count <= 4:
        raise site.layer.error(f"its bottom has {count} axes; expected N x C, and at most H x W")
    axes = range(1, count) if message.boolean("across_spatial", True) else [1]
    square = site.op("ReduceSumSquare", site.bottom, site.ints(axes))
    norm = site.op("Sqrt", site.op("Add", square, site.floats(message.number("eps", 1e-10))))
    scale = site.param(0, (prod(site.params[0].shape), *[1] * (count - 2)))
    return [site.op("Mul", site.op("Div", site.bottom, norm), scale)]


def _interp(site: LayerContext) -> list[str]:
    """Bilinear, corner on corner."""
    value, (before, behind) = site.bottom, interp_crop(site.layer)
    if before or behind:
        ends = [size - behind for size in site.shape[2:]]
        starts, axes = site.ints([before] * 2), site.ints([2, 3])
        value = site.op("Slice", value, starts, site.ints(ends), axes)
    attributes = {"coordinate_transformation_mode": "align_corners", "mode": "linear"}
    return [site.op("Resize", value, "", "", site.ints(site.tops[0]), **attributes)]


def _upsample(site: LayerContext) -> list[str]:
    """Each value repeated; or, with a mask, put where the mask says and zeros elsewhere."""
    if len(site.bottoms) == 1:
        scales = site.floats((1, 1, *upsample_factors(site.layer)))
        return [
            site.op(
                "Resize",
                site.bottom,
                "",
                scales,
                coordinate_transformation_mode="asymmetric",
                mode="nearest",
                nearest_mode="floor",
            )
        ]
    batch, channels, *size = site.tops[0]
    rows = batch * channels
    values, mask = (site.reshape(bottom, (rows, -1)) for bottom in site.bottoms)
    zeros = site.floats(np.zeros((rows, prod(size))))
    places = site.op("Cast", mask, to=7)
    made = site.op("ScatterElements", zeros, places, values, axis=1)
    return [site.reshape(made, site.tops[0])]


def _shuffle(site: LayerContext) -> list[str]:
    """Channels dealt out: the first of every group, then the second of every group, ..."""
    group = site.layer.param("shuffle_channel_param").integer("group", 1, 1)
    channels = site.shape[1]
    order = np.arange(channels).reshape(group, channels // group).T.ravel()
    return [site.op("Gather", site.bottom, site.ints(order), axis=1)]


def _axpy(site: LayerContext) -> list[str]:
    factor, x, y = site.bottoms
    each = site.reshape(factor, (0, 0, *[1] * (len(site.shapes[1]) - 2)))
    return [site.op("Add", site.op("Mul", each, x), y)]


def _roi_pooling(site: LayerContext) -> list[str]:
    """The largest of each part of each region; 0 where a part has no cell."""
    scale = site.layer.param("roi_pooling_param").number("spatial_scale", 1.0)
    boxes = site.bottoms[1]
    if len(site.shapes[1]) != 2:
        boxes = site.reshape(boxes, site.shapes[1][:2])
    size = regions(site.layer)
    return [site.op("MaxRoiPool", site.bottom, boxes, pooled_shape=size, spatial_scale=scale)]


def _prior_box(site: LayerContext) -> list[str]:
    """A constant: the bottoms give sizes alone."""
    known = priors(site.layer)
    size, picture = (np.array(as_image(site.layer, shape)[2:], float) for shape in site.shapes)
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
    variances = np.resize(known.variances, boxes.shape)
    return [site.floats(np.stack([boxes, variances])[None])]


def _reorg(site: LayerContext) -> list[str]:
    """The part (y, x) of every square of cells, channel by channel, and the other way round.

    YOLO takes its bottom for a map of so many times fewer channels, and so many times more rows
    and columns, which it is not: the same numbers lie otherwise.
    """
    (batch, channels, height, width), (stride, back) = site.shape, reorg(site.layer)
    fewer = channels // stride**2
    if back:
        parts = site.reshape(site.bottom, (batch, stride, stride, fewer, height, width))
        spread = site.op("Transpose", parts, perm=(0, 3, 4, 1, 5, 2))
        return [site.reshape(spread, site.tops[0])]
    squares = site.reshape(site.bottom, (batch, fewer, height, stride, width, stride))
    parts = site.op("Transpose", squares, perm=(0, 3, 5, 1, 2, 4))
    return [site.reshape(parts, site.tops[0])]


def _reverse(site: LayerContext) -> list[str]:
    axes = reversed_axes(site.layer, len(site.shape))
    starts, ends = [-1] * len(axes), [-(2**31)] * len(axes)
    constants = [site.ints(values) for values in (starts, ends, axes, starts)]
    return [site.op("Slice", site.bottom, *constants)]


def _pad(site: LayerContext) -> list[str]:
    around = paddings(site.layer, len(site.shape))
    before, behind = zip(*around, strict=True)
    value = site.layer.param("pad_param").number("constant_values", 0.0)
    return [site.op("Pad", site.bottom, site.ints((*before, *behind)), site.floats(value))]


def _transpose(site: LayerContext) -> list[str]:
    order = transposition(site.layer, len(site.shape))
    return [site.op("Transpose", site.bottom, perm=order)]


EMITTERS: dict[str, Converter] = {
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
