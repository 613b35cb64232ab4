"""What a net and its weights tell of params, and whether one may go where another is.

The cases, by the shapes of the param that comes (old) and the one that is wanted (new), where a
weight that an InnerProduct keeps K x O (``transpose: true``) is seen as O x K:

copied     the shapes are equal
reshaped   as many numbers and as many outputs, over the same window: O x (C*H*W) and O x C x H x W
turned     one of the two is kept K x O and the other is not
sliced     sizes differ, and the part that overlaps is wanted
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

from netsurgery.formats.weights import WeightsBlob
from netsurgery.net.model import Model
from netsurgery.net.net import Layer, Net, Shape
from netsurgery.net.shapes import Shapes, describe
from netsurgery.net.types import keeps_turned
from netsurgery.surgery.plan import Refusal

__all__ = ["SLICE_HINT", "LayerParams", "Side", "overlap", "plain", "verdict"]

#: What may be done about sizes that differ; ends a reason of `verdict`.
SLICE_HINT = "--slice copies the part that overlaps"


@dataclass(frozen=True)
class LayerParams:
    """A layer that has params, or may have some.

    shapes: of each param; None where neither net nor weights tell, for the reason in `unknown`.
    blobs: what the weights have for it, () for nothing. turned: its weight is kept K x O.
    window: C x H x W that each output is computed over, None where that does not apply.
    """

    name: str
    type: str
    shapes: tuple[Shape, ...] | None
    blobs: tuple[WeightsBlob, ...] = ()
    turned: bool = False
    window: Shape | None = None
    unknown: str = ""


@dataclass(frozen=True)
class Side:
    """A model's `layers` that have params, or may have some, in net order.

    refusals: where net and weights contradict each other.
    """

    model: Model
    layers: dict[str, LayerParams]
    refusals: tuple[Refusal, ...] = ()

    @property
    def net(self) -> Net:
        """The net."""
        return self.model.net

    @classmethod
    def of(cls, model: Model) -> Side:
        """Match the params of the weights with the layers of the net, by name as Caffe does."""
        net, shapes = model.net, model.shapes
        refusals = list(_doubles(model))
        layers: dict[str, LayerParams] = {}
        for layer in net.layers:
            stored = model.stored.get(layer.name)
            found = _layer_params(layer, tuple(stored.blobs) if stored else (), shapes)
            if found is None:
                continue
            layers[layer.name] = found
            differing = model.fit.mismatches.get(layer.name)
            if differing is not None and not found.unknown:
                refusals += [Refusal(layer.name, why) for why in differing.reasons(model.path)]
        return cls(model, layers, tuple(refusals))


def _doubles(model: Model) -> Iterator[Refusal]:
    net = model.net
    bearing = [layer.name for layer in net.layers if layer.name in model.shapes.params]
    yield from _more_than_one(bearing, net.prototxt.path)
    if model.has_weights:
        stored = [layer.name for layer in model.weights.layers if layer.blobs]
        yield from _more_than_one(stored, model.path)


def _more_than_one(names: Sequence[str], path: str) -> Iterator[Refusal]:
    for name, count in Counter(names).items():
        if count > 1:
            yield Refusal(name, f"{path} has {count} layers of that name")


def _layer_params(
    layer: Layer, blobs: tuple[WeightsBlob, ...], shapes: Shapes
) -> LayerParams | None:
    """None for a layer without params."""
    known = shapes.params.get(layer.name)
    hidden = shapes.why_no_params(layer) if known is None else ""
    if known is None and not blobs and not hidden:
        return None
    if known is None and blobs:
        known = tuple(blob.shape for blob in blobs)
    return LayerParams(
        name=layer.name,
        type=layer.type,
        shapes=known,
        blobs=blobs,
        turned=keeps_turned(layer),
        window=_window(layer, known, shapes),
        unknown=hidden,
    )


def _window(layer: Layer, params: tuple[Shape, ...] | None, shapes: Shapes) -> Shape | None:
    if layer.type == "Convolution" and params and len(params[0]) == 4:
        return params[0][1:]
    if layer.type == "InnerProduct":
        bottom = shapes.blobs.get(layer.bottoms[0], ()) if layer.bottoms else ()
        axis = layer.param("inner_product_param").integer("axis", 1, -(2**31))
        return bottom[1:] if len(bottom) == 4 and axis in (1, -3) else None
    return None


def plain(shape: Shape, turned: bool) -> Shape:
    """The shape O x K of a weight that is kept K x O; other shapes as they are."""
    return (shape[-1], shape[-2]) if turned and len(shape) > 1 else shape


def verdict(old: LayerParams, new: LayerParams, index: int, *, cut: bool) -> tuple[str, str]:
    """("copied", ""), ("reshaped", ""), ..., or ("", reason) for a param that must not go.

    cut: the part that overlaps is wanted where sizes differ. Both layers have a param `index`.
    """
    assert old.shapes is not None
    assert new.shapes is not None
    weight = index == 0
    one, other = old.shapes[index], new.shapes[index]
    rows, wanted = plain(one, old.turned and weight), plain(other, new.turned and weight)
    apart = weight and rows != wanted and _other_window(old, new)
    fits = rows == wanted or (prod(rows) == prod(wanted) and _same_outputs(rows, wanted))
    if fits and not apart:
        if weight and old.turned != new.turned:
            return "turned", ""
        return ("copied" if one == other else "reshaped"), ""
    if cut and overlap(rows, wanted) is not None and (not apart or len(rows) == len(wanted)):
        return "sliced", ""
    if fits:
        there, here = (describe(layer.window or ()) for layer in (old, new))
        return "", f"param 0 is for a window of {there}, expected one for {here}"
    return "", _no_fit(index, one, other, cut)


def _other_window(old: LayerParams, new: LayerParams) -> bool:
    return None not in (old.window, new.window) and old.window != new.window


def _same_outputs(one: Shape, other: Shape) -> bool:
    """Whether it is only ones, or the axes behind the first, in which the shapes differ."""
    bare, wanted = (tuple(axis for axis in shape if axis != 1) for shape in (one, other))
    first, second = (shape[:1] for shape in (one, other))
    return bare == wanted or first == second or bare[:1] == wanted[:1]


def _no_fit(index: int, old: Shape, new: Shape, cut: bool) -> str:
    found = f"param {index} is {describe(old)}, expected {describe(new)}"
    if prod(old) == prod(new):
        return f"{found}: as many numbers, but of other outputs"
    if cut:
        return f"{found}: no part of one lies over the other"
    return f"{found}; {SLICE_HINT}"


def overlap(old: Shape, new: Shape) -> tuple[Shape, Shape] | None:
    """How to see the old numbers, and the box at the start of both that they have in common.

    None where the two cannot be laid over each other.
    """
    if len(old) != len(new) and old and new and prod(old[1:]) == prod(new[1:]):
        old = (old[0], *new[1:])
    if not old or len(old) != len(new):
        return None
    return old, tuple(map(min, old, new))
