"""Layers of common forks of Caffe; their records in net/types say whose definitions they follow."""

from __future__ import annotations

from math import prod

import numpy as np

from netsurgery.export.convolution import EMITTERS as CONVOLUTIONS
from netsurgery.export.site import Emitter, Site
from netsurgery.net.types.resampling import interp_crop, upsample_factors
from netsurgery.net.types.shaping import permutation

__all__ = ["EMITTERS"]


def _relu6(site: Site) -> list[str]:
    return [site.op("Clip", site.bottom, site.floats(0.0), site.floats(6.0))]


def _permute(site: Site) -> list[str]:
    order = permutation(site.layer, len(site.shape))
    return [site.op("Transpose", site.bottom, perm=order)]


def _normalize(site: Site) -> list[str]:
    """x / sqrt(sum of x^2 + eps) over the blob of one picture, or over its channels only."""
    message, count = site.layer.param("norm_param"), len(site.shape)
    if not 2 <= count <= 4:
        raise site.layer.error(f"its bottom has {count} axes; expected N x C, and at most H x W")
    axes = range(1, count) if message.boolean("across_spatial", True) else [1]
    square = site.op("ReduceSumSquare", site.bottom, site.ints(axes))
    norm = site.op("Sqrt", site.op("Add", square, site.floats(message.number("eps", 1e-10))))
    scale = site.param(0, (prod(site.params[0].shape), *[1] * (count - 2)))
    return [site.op("Mul", site.op("Div", site.bottom, norm), scale)]


def _interp(site: Site) -> list[str]:
    """Bilinear, corner on corner."""
    value, (before, behind) = site.bottom, interp_crop(site.layer)
    if before or behind:
        ends = [size - behind for size in site.shape[2:]]
        starts, axes = site.ints([before] * 2), site.ints([2, 3])
        value = site.op("Slice", value, starts, site.ints(ends), axes)
    attributes = {"coordinate_transformation_mode": "align_corners", "mode": "linear"}
    return [site.op("Resize", value, "", "", site.ints(site.tops[0]), **attributes)]


def _upsample(site: Site) -> list[str]:
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


def _shuffle(site: Site) -> list[str]:
    """Channels dealt out: the first of every group, then the second of every group, ..."""
    group = site.layer.param("shuffle_channel_param").integer("group", 1, 1)
    channels = site.shape[1]
    order = np.arange(channels).reshape(group, channels // group).T.ravel()
    return [site.op("Gather", site.bottom, site.ints(order), axis=1)]


def _axpy(site: Site) -> list[str]:
    factor, x, y = site.bottoms
    each = site.reshape(factor, (0, 0, *[1] * (len(site.shapes[1]) - 2)))
    return [site.op("Add", site.op("Mul", each, x), y)]


EMITTERS: dict[str, Emitter] = {
    "Axpy": _axpy,
    "DepthwiseConvolution": CONVOLUTIONS["Convolution"],
    "Interp": _interp,
    "Normalize": _normalize,
    "Permute": _permute,
    "ReLU6": _relu6,
    "ShuffleChannel": _shuffle,
    "Upsample": _upsample,
}
