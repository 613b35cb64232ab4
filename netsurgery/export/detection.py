"""Layers that detectors have."""

from __future__ import annotations

import numpy as np

from netsurgery.export.site import Emitter, Site
from netsurgery.net.types.detection import regions
from netsurgery.net.types.fields import as_image
from netsurgery.net.types.prior_boxes import priors

__all__ = ["EMITTERS"]


def _roi_pooling(site: Site) -> list[str]:
    """The largest of each part of each region; 0 where a part has no cell."""
    scale = site.layer.param("roi_pooling_param").number("spatial_scale", 1.0)
    boxes = site.bottoms[1]
    if len(site.shapes[1]) != 2:
        boxes = site.reshape(boxes, site.shapes[1][:2])
    size = regions(site.layer)
    return [site.op("MaxRoiPool", site.bottom, boxes, pooled_shape=size, spatial_scale=scale)]


def _prior_box(site: Site) -> list[str]:
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


EMITTERS: dict[str, Emitter] = {"PriorBox": _prior_box, "ROIPooling": _roi_pooling}
