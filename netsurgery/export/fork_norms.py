"""Normalizations of forks: SegNet's and PSPNet's BN, NVCaffe's BatchNorm, face forks' Normalize."""

from __future__ import annotations

import numpy as np

from netsurgery.export.site import Emitter, Site
from netsurgery.net.types.fork_norms import face_norm_type, learns, nvcaffe_eps

__all__ = ["EMITTERS"]

#: What SegNet adds to a batch's variance.
_SEGNET_EPS = 1e-9

#: What the face forks add to a norm: to its square where it is L2's.
_FACE_EPS = 1e-6


def _image(site: Site) -> str:
    """The first bottom as N x C x H x W."""
    missing = 4 - len(site.shape)
    return (
        site.reshape(site.bottom, (*[0] * len(site.shape), *[1] * missing))
        if missing
        else site.bottom
    )


def _segnet(site: Site) -> list[str]:
    """scale x + shift, x normalized over the batch where bn_mode is LEARN."""
    value, tops = _image(site), []
    if learns(site.layer):
        axes = site.ints([0, 2, 3])
        mean = site.op("ReduceMean", value, axes)
        square = site.op("ReduceMean", site.op("Mul", value, value), axes)
        variance = site.op("Sub", square, site.op("Mul", mean, mean))
        deviation = site.op("Sqrt", site.op("Add", variance, site.floats(_SEGNET_EPS)))
        value = site.op("Div", site.op("Sub", value, mean), deviation)
        tops = [mean, variance]
    value = site.op("Add", site.op("Mul", value, site.param(0)), site.param(1))
    return [value, *tops][: len(site.tops)]


def _normalized(site: Site, mean: int, variance: int, eps: float, scale: int | None) -> str:
    """scale (x - mean) / sqrt(variance + eps) + shift; the shift is the param after the scale."""
    statistics = [site.array(index).ravel() for index in (mean, variance)]
    scales = [np.ones_like(statistics[0]), np.zeros_like(statistics[0])]
    if scale is not None:
        scales = [site.array(index).ravel() for index in (scale, scale + 1)]
    constants = [site.floats(values) for values in scales + statistics]
    return site.op("BatchNormalization", site.bottom, *constants, epsilon=eps)


def _pspnet(site: Site) -> list[str]:
    return [_normalized(site, 2, 3, site.layer.param("bn_param").number("eps", 1e-5), 0)]


def _nvcaffe(site: Site) -> list[str]:
    stored = float(site.array(2).ravel()[0])
    if stored != 1:
        raise site.layer.error(
            f"its param 2 is {stored:g}, expected 1: Caffe 1.0 divides the statistics by it, and "
            "NVCaffe, whose layer this is, does not"
        )
    scale = 3 if len(site.params) > 3 else None
    return [_normalized(site, 0, 1, nvcaffe_eps(site.layer), scale)]


def _face(site: Site) -> list[str]:
    """x divided by its norm over channels, at each place."""
    value, axes, eps = _image(site), site.ints([1]), site.floats(_FACE_EPS)
    if face_norm_type(site.layer) == "L1":
        norm = site.op("Add", site.op("ReduceL1", value, axes), eps)
    else:
        norm = site.op("Sqrt", site.op("Add", site.op("ReduceSumSquare", value, axes), eps))
    return [site.op("Div", value, norm), norm][: len(site.tops)]


EMITTERS: dict[str, Emitter] = {
    "BN (PSPNet)": _pspnet,
    "BN (SegNet)": _segnet,
    "BatchNorm (NVCaffe)": _nvcaffe,
    "Normalize (face)": _face,
}
