"""Layers that join, cut and re-arrange blobs."""

from __future__ import annotations

from netsurgery.export.site import Emitter, Site
from netsurgery.net.types.axes import axis_of, cut_axis
from netsurgery.net.types.resampling import crop_offsets

__all__ = ["EMITTERS"]


def _concat(site: Site) -> list[str]:
    return [site.op("Concat", *site.bottoms, axis=cut_axis(site.layer, site.shape))]


def _slice(site: Site) -> list[str]:
    axis = cut_axis(site.layer, site.shape)
    if len(site.tops) == 1:
        return [site.bottom]
    sizes = site.ints([top[axis] for top in site.tops])
    return site.several("Split", [site.bottom, sizes], len(site.tops), axis=axis)


def _flatten(site: Site) -> list[str]:
    message, shape = site.layer.param("flatten_param"), site.shape
    start = axis_of(site.layer, message, shape, 1)
    end = axis_of(site.layer, message, shape, -1, "end_axis")
    # 0 keeps an axis, so that the same operation serves other heights and widths.
    return [site.reshape(site.bottom, (*[0] * start, -1, *shape[end + 1 :]))]


def _reshape(site: Site) -> list[str]:
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


def _kept(site: Site) -> tuple[int, int]:
    """Where the axes begin that a Reshape changes, and how many follow that it does not."""
    message = site.layer.param("reshape_param")
    start = message.integer("axis", 0, -(2**31))
    start += len(site.shape) + 1 if start < 0 else 0
    axes = message.integer("num_axes", -1, -1)
    return start, 0 if axes == -1 else len(site.shape) - start - axes


def _dims(site: Site) -> tuple[int, ...]:
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


def _tile(site: Site) -> list[str]:
    message = site.layer.param("tile_param")
    repeats = [1] * len(site.shape)
    repeats[axis_of(site.layer, message, site.shape, 1)] = message.integer("tiles", 0, 1)
    return [site.op("Tile", site.bottom, site.ints(repeats))]


def _crop(site: Site) -> list[str]:
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


def _eltwise(site: Site) -> list[str]:
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


def _folded(site: Site, kind: str, values: list[str]) -> str:
    made = values[0]
    for value in values[1:]:
        made = site.op(kind, made, value)
    return made


EMITTERS: dict[str, Emitter] = {
    "Concat": _concat,
    "Crop": _crop,
    "Eltwise": _eltwise,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Slice": _slice,
    "Tile": _tile,
}
