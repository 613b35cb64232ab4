"""Whether a blob is a map interpolated to pixels, as `upsampling` writes it."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from netsurgery.errors import NetsurgeryError
from netsurgery.net import types
from netsurgery.net.field import fields
from netsurgery.net.net import Layer, NetDefinition, Shape
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.shapes import infer
from netsurgery.net.types.record import Space, Values
from netsurgery.net.windows import Window
from netsurgery.surgery.dense.interpolation import Upsampling

__all__ = ["interpolated_from"]

_PIXEL = (Fraction(1), Fraction(1))
_MIDDLE = (Fraction(1, 2), Fraction(1, 2))


def interpolated_from(new: NetWithWeights, at: Mapping[str, Shape], pixels: str) -> str | None:
    """The map that a blob is interpolated from to the pixels of the input, None where it is none.

    at: shapes of the net's inputs. It is one if each pixel is made of nothing but the cells about
    it, and lies where it should.
    """
    spread = _spreading(new.net, pixels)
    if spread is None:
        return None
    try:
        blobs, known = infer(new.net, at).blobs, fields(new.net, at)
    except NetsurgeryError:
        return None
    place = known.get(pixels)
    if place is None or (place.stride, place.middle) != (_PIXEL, _MIDDLE):
        return None
    blob = spread.bottoms[0]
    window = _window(spread, blobs[blob])
    if window is None or not _is_bilinear(new, spread, window, blobs[blob][1]):
        return None
    padding = new.net.producer(spread, blob)
    return padding.bottoms[0] if padding is not None and _only_pads(padding, blobs) else blob


def _spreading(net: NetDefinition, blob: str) -> Layer | None:
    """The layer that spreads cells over pixels, behind which they are cropped and nothing else."""
    layer = net.last_writer(blob)
    while layer is not None and layer.bottoms:
        space = types.space(layer)
        if space is Space.SPREADING:
            return layer
        if space is not Space.RESAMPLING or types.values(layer) is not Values.MOVED:
            return None
        layer = net.producer(layer, layer.bottoms[0])
    return None


def _is_bilinear(new: NetWithWeights, layer: Layer, window: Window, channels: int) -> bool:
    """Whether it spreads each channel by itself, in straight lines from one cell to the next."""
    import numpy as np

    stored = new.stored.get(layer.name)
    if stored is None or len(stored.blobs) != 1 or set(window.dilation) != {1}:
        return False
    stride, kernel = ((pair[0], pair[1]) for pair in (window.stride, window.kernel))
    expected = Upsampling(layer.name, layer.tops[0], channels, stride, kernel).weight()
    (weight,) = stored.blobs
    return weight.shape == expected.shape and np.array_equal(weight.numpy(), expected)


def _only_pads(layer: Layer, blobs: Mapping[str, Shape]) -> bool:
    """Whether it puts zeros around a map and does nothing else."""
    window = _window(layer, blobs[layer.bottoms[0]]) if layer.bottoms else None
    if window is None or types.values(layer) is not Values.MOVED:
        return False
    return set(window.kernel) == set(window.stride) == {1}


def _window(layer: Layer, shape: Shape) -> Window | None:
    record = types.of(layer)
    return record.window(layer, shape[2:]) if record and record.window else None
