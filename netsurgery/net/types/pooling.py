"""Types that look at windows without weights: Pooling, SPP, LRN."""

from __future__ import annotations

from dataclasses import replace

from netsurgery.io.shape_text import shape_text
from netsurgery.io.wording import counted
from netsurgery.net import geometry
from netsurgery.net.geometry import ReceptiveField
from netsurgery.net.layer import Layer, Shape
from netsurgery.net.types.elementwise import no_edges
from netsurgery.net.types.fields import free, images, same
from netsurgery.net.types.linear import padded
from netsurgery.net.types.record import (
    NO_EFFECTS,
    NO_PARAMS,
    Channels,
    Count,
    InPlace,
    InputSource,
    LayerType,
    Result,
    Role,
    Signs,
    Space,
    Values,
)
from netsurgery.net.types.seen import Seen, first_field, whole_field
from netsurgery.net.windows import (
    Window,
    bins_window,
    lrn_window,
    pool_out,
    pool_rounds_up,
    pool_window,
)

__all__ = ["POOLING", "TYPES", "pooled_by"]


def _pooling(layer: Layer, bottoms: list[Shape]) -> Result:
    (shape,) = bottoms[:1]
    if len(shape) != 4:
        raise layer.error(
            f"its bottom has {counted(len(shape), 'axis')}; pooling takes N x C x H x W"
        )
    window = pool_window(layer, shape[2:])
    return [(*shape[:2], *pool_out(layer, window, shape[2:]))] * len(layer.tops), []


def _pooling_tops(layer: Layer) -> Count:
    """The second is the mask, of where the largest were."""
    largest = layer.param("pooling_param").word("pool", "MAX") in ("MAX", "0")
    return 1, 2 if largest else 1


def pooled_by(layer: Layer) -> str | None:
    """The operation of an Eltwise that does to several maps what a Pooling does to its window."""
    operations = {"MAX": "MAX", "0": "MAX", "AVE": "SUM", "1": "SUM"}
    return operations.get(layer.param("pooling_param").word("pool", "MAX"))


def _pooling_space(layer: Layer) -> Space:
    whole = layer.param("pooling_param").boolean("global_pooling", False)
    return Space.WHOLE if whole else Space.SLIDING


def _pooling_edges(layer: Layer, size: Shape) -> str:
    window = pool_window(layer, size)
    if any(window.pad):
        return padded(window.pad)
    hangs = pool_rounds_up(layer) and _leaves_rest(window, size)
    return "has a last window that hangs over the edge" if hangs else ""


def _leaves_rest(window: Window, size: Shape) -> bool:
    """Whether windows without padding stop short of the edge, so that rounding up adds one."""
    axes = zip(size, window.kernel, window.stride, strict=True)
    return any((n - k) % s for n, k, s in axes)


def _spp(layer: Layer, bottoms: list[Shape]) -> Result:
    levels = layer.param("spp_param").integer("pyramid_height", 0, 1, 15)
    # spp_layer.cpp: level l pools to 2^l x 2^l.
    bins = sum(4**level for level in range(levels))
    batch, channels, *size = bottoms[0]
    # Each level is a Pooling, which has to take the padding; the last has the smallest windows.
    last = bins_window(tuple(size), 2 ** (levels - 1))
    if any(pad >= kernel for pad, kernel in zip(last.pad, last.kernel, strict=True)):
        raise layer.error(f"{shape_text(size)} is too small for a pyramid_height of {levels}")
    if levels == 1:
        # One level is a Pooling and no more: nothing is flattened.
        return [(batch, channels, 1, 1)], []
    return [(batch, channels * bins)], []


def _lrn(layer: Layer, bottoms: list[Shape]) -> Result:
    size = layer.param("lrn_param").integer("local_size", 5, 1)
    if size % 2 == 0:
        raise layer.error(f"local_size {size}; LRN takes odd sizes")
    return same(layer, [images(layer, bottoms[0])])


def _within(layer: Layer) -> bool:
    """Whether an LRN normalizes within channels."""
    return lrn_window(layer) is not None


def _lrn_space(layer: Layer) -> Space:
    return Space.SLIDING if _within(layer) else Space.POINTWISE


def _lrn_window(layer: Layer, size: Shape) -> Window:
    window = lrn_window(layer)
    assert window is not None
    return window


def _lrn_edges(layer: Layer, size: Shape) -> str:
    return "normalizes over neighbours, with padding" if _within(layer) else ""


def _lrn_channels(layer: Layer) -> Channels:
    return Channels.ALIKE if _within(layer) else Channels.MIXING


def _lrn_in_place(layer: Layer) -> InPlace:
    """All of an element is read before it is written, within channels."""
    return InPlace.ALLOWED if _within(layer) else InPlace.LOSES


def _pooling_field(seen: Seen, layer: Layer) -> ReceptiveField | None:
    first = first_field(seen, layer)
    if first is None:
        return None
    # Without regard to a last window that hangs over the edge: it sees less, not elsewhere.
    field = geometry.slid(first, pool_window(layer, seen.size(layer.bottoms[0])))
    everything = layer.param("pooling_param").boolean("global_pooling", False)
    return replace(field, whole=first.whole or everything)


def _pooling_signs(layer: Layer) -> Signs:
    """A window beyond the map, as larger strides than kernels have, gives the lowest float."""
    window = pool_window(layer, (1, 1))
    apart = any(k < s for k, s in zip(window.kernel, window.stride, strict=True))
    return Signs.ANY if apart else Signs.KEPT


def _lrn_field(seen: Seen, layer: Layer) -> ReceptiveField | None:
    first, window = first_field(seen, layer), lrn_window(layer)
    return first and (geometry.slid(first, window) if window else first)


POOLING = LayerType(
    name="Pooling",
    aliases=(),
    origin="Caffe 1.0",
    message="pooling_param",
    fields=("ceil_mode",),
    shapes=_pooling,
    bottoms=(1, 1),
    tops=_pooling_tops,
    roles=(Role.VALUE,),
    in_place=InPlace.LOSES,
    space=_pooling_space,
    window=pool_window,
    field=_pooling_field,
    edges=_pooling_edges,
    channels=Channels.ALIKE,
    values=Values.HIDDEN,
    signs=_pooling_signs,
    source=InputSource.NONE,
    effects=NO_EFFECTS,
    params=NO_PARAMS,
    layout=None,
    affine=None,
    multiply_adds=free,
    training=False,
    runs=True,
)

_SPP = LayerType(
    name="SPP",
    aliases=(),
    origin="Caffe 1.0",
    message="spp_param",
    fields=(),
    shapes=_spp,
    bottoms=(1, 1),
    tops=(1, 1),
    roles=(Role.VALUE,),
    in_place=InPlace.LOSES,
    space=Space.WHOLE,
    window=None,
    field=whole_field,
    edges=no_edges,
    channels=Channels.MIXING,
    values=Values.HIDDEN,
    signs=Signs.ANY,
    source=InputSource.NONE,
    effects=NO_EFFECTS,
    params=NO_PARAMS,
    layout=None,
    affine=None,
    multiply_adds=free,
    training=False,
    runs=True,
)

_LRN = LayerType(
    name="LRN",
    aliases=(),
    origin="Caffe 1.0",
    message="lrn_param",
    fields=(),
    shapes=_lrn,
    bottoms=(1, 1),
    tops=(1, 1),
    roles=(Role.VALUE,),
    in_place=_lrn_in_place,
    space=_lrn_space,
    window=_lrn_window,
    field=_lrn_field,
    edges=_lrn_edges,
    channels=_lrn_channels,
    values=Values.CHANGED,
    signs=Signs.KEPT,
    source=InputSource.NONE,
    effects=NO_EFFECTS,
    params=NO_PARAMS,
    layout=None,
    affine=None,
    multiply_adds=free,
    training=False,
    runs=True,
)

TYPES = (_LRN, POOLING, _SPP)
