"""The params of a net with its weights, and whether one may be copied over another.

The outcomes, by the shapes of the source's param (old) and the target's (new). A weight that an
InnerProduct stores as K x O (``transpose: true``) is compared as O x K.

copied      the shapes are equal
reshaped    as many numbers and as many outputs, over the same window: O x (C*H*W) and O x C x H x W
transposed  one of the two is stored K x O and the other is not
reordered   the columns are in another order: after a Permute the map is H, W, C
sliced      sizes differ, and only the part that overlaps is copied
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from math import prod

from netsurgery.formats.textformat import Scalar
from netsurgery.formats.weights import WeightsBlob
from netsurgery.io.shape_text import shape_text
from netsurgery.io.wording import argument, counted
from netsurgery.net import types
from netsurgery.net.known_fields import unknown_field, unknown_fields
from netsurgery.net.net import Layer, NetDefinition, Shape
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.order import Order, OrderPart, as_map, bottom_orders, lie_alike
from netsurgery.net.shapes import Shapes
from netsurgery.surgery.plan import Refusal

__all__ = [
    "ModelParams",
    "TransplantLayer",
    "outcome",
    "overlap",
    "same_settings",
    "slice_hint",
    "untransposed",
]


@dataclass(frozen=True)
class TransplantLayer:
    """A layer that has params, or may have some.

    shapes: of each param; None where neither net nor weights say, for the reason in `unknown`.
    blobs: what the weights have for it, () for nothing. transposed: its weight is stored K x O.
    unknown_field: what is wrong with a field of the layer that is not known, "" for nothing.
    columns: the order of the weight's columns, None where that does not apply or is not known;
    jumbled: ... though it is known what the layer reads.
    """

    name: str
    type: str
    shapes: tuple[Shape, ...] | None
    blobs: tuple[WeightsBlob, ...] = ()
    transposed: bool = False
    unknown_field: str = ""
    columns: Order | None = None
    jumbled: bool = False
    unknown: str = ""

    @property
    def window(self) -> Shape | None:
        """C x H x W that each output is computed over, None where that does not apply."""
        return as_map(self.columns or ())


@dataclass(frozen=True)
class ModelParams:
    """A model's `layers` that have params, or may have some, in net order.

    refusals: where net and weights contradict each other.
    """

    model: NetWithWeights
    layers: dict[str, TransplantLayer]
    refusals: tuple[Refusal, ...] = ()

    @property
    def net(self) -> NetDefinition:
        """The net."""
        return self.model.net

    @classmethod
    def of(cls, model: NetWithWeights) -> ModelParams:
        """Match the params of the weights with the layers of the net, by name as Caffe does."""
        net, shapes = model.net, model.shapes
        orders = bottom_orders(net, shapes)
        refusals = list(_doubles(model))
        layers: dict[str, TransplantLayer] = {}
        for layer in net.layers:
            stored = model.stored.get(layer.name)
            params = _layer_params(layer, tuple(stored.blobs) if stored else (), shapes, orders)
            if params is None:
                continue
            layers[layer.name] = params
            differing = model.fit.mismatches.get(layer.name)
            if differing is not None and not params.unknown:
                refusals += [Refusal(layer.name, why) for why in differing.reasons(model.path)]
        return cls(model, layers, tuple(refusals))


def _doubles(model: NetWithWeights) -> Iterator[Refusal]:
    net = model.net
    bearing = [layer.name for layer in net.layers if layer.name in model.shapes.params]
    yield from _more_than_one(bearing, net.prototxt.path)
    if model.has_weights:
        stored = [layer.name for layer in model.weights.layers if layer.blobs]
        yield from _more_than_one(stored, model.path)


def _more_than_one(names: Sequence[str], path: str) -> Iterator[Refusal]:
    for name, count in Counter(names).items():
        if count > 1:
            yield Refusal(name, f"{path} has {counted(count, 'layer')} of that name")


def _layer_params(
    layer: Layer,
    blobs: tuple[WeightsBlob, ...],
    shapes: Shapes,
    orders: Mapping[Layer, Order],
) -> TransplantLayer | None:
    """None for a layer without params."""
    known = shapes.params.get(layer.name)
    hidden = shapes.why_no_params(layer) if known is None else ""
    if known is None and not blobs and not hidden:
        return None
    if known is None and blobs:
        known = tuple(blob.shape for blob in blobs)
    columns, jumbled = _columns(layer, known, shapes, orders)
    return TransplantLayer(
        name=layer.name,
        type=layer.type,
        shapes=known,
        blobs=blobs,
        transposed=types.keeps_turned(layer),
        unknown_field=unknown_field(layer),
        columns=columns,
        jumbled=jumbled,
        unknown=hidden,
    )


def _columns(
    layer: Layer,
    params: tuple[Shape, ...] | None,
    shapes: Shapes,
    orders: Mapping[Layer, Order],
) -> tuple[Order | None, bool]:
    """The order of a weight's columns, and whether it is lost.

    A vector that is not a flattened map here may be one all the same: nothing is known of it.
    """
    if types.is_a(layer, types.CONVOLUTION) and params and len(params[0]) == 4:
        return (OrderPart(params[0][1:]),), False
    if not types.is_a(layer, types.INNER_PRODUCT) or not layer.bottoms:
        return None, False
    bottom, order = shapes.blobs.get(layer.bottoms[0], ()), orders.get(layer)
    axis = layer.param("inner_product_param").integer("axis", 1, -(2**31))
    if len(bottom) not in (2, 4) or axis not in (1, 1 - len(bottom)):
        return None, False
    if order is None:
        return None, True
    vector = len(bottom) == 2 and order == (OrderPart((bottom[1], 1, 1)),)
    return (None if vector else order), False


def untransposed(shape: Shape, transposed: bool) -> Shape:
    """The shape O x K of a weight that is stored K x O; other shapes as they are."""
    return (shape[-1], shape[-2]) if transposed and len(shape) > 1 else shape


def same_settings(first: Layer, second: Layer) -> bool:
    """Whether two layers of one known type have the same fields but for fillers and the engine."""
    message = types.message_of(first)
    if first.type != second.type or message is None:
        return False
    return _settings(first, message) == _settings(second, message) and (
        _unknown_fields(first) == _unknown_fields(second)
    )


def _unknown_fields(layer: Layer) -> list[str]:
    """The fields that are not known, as they are written."""
    text = layer.message.source.text
    return sorted(text[field.start : field.end] for field in unknown_fields(layer))


def _settings(layer: Layer, message: str) -> list[tuple[str, str]]:
    return sorted(
        (field.name, field.value.text if isinstance(field.value, Scalar) else "{ }")
        for field in layer.param(message).fields
        if not field.name.endswith("filler") and field.name != "engine"
    )


def outcome(
    old: TransplantLayer, new: TransplantLayer, index: int, *, cut: bool
) -> tuple[str, str]:
    """("copied", ""), ("reshaped", ""), ..., or ("", reason) for a param that must not be copied.

    cut: where sizes differ, copy the part that overlaps. Both layers have a param `index`.
    """
    assert old.shapes is not None
    assert new.shapes is not None
    weight = index == 0
    if weight and old.type != new.type and (old.unknown_field or new.unknown_field):
        return "", old.unknown_field or new.unknown_field
    before, after = old.shapes[index], new.shapes[index]
    source = untransposed(before, old.transposed and weight)
    target = untransposed(after, new.transposed and weight)
    fits = source == target or (prod(source) == prod(target) and _same_outputs(source, target))
    order = _order(old, new) if weight else _Order.SAME
    reordered = order is _Order.DIFFERENT
    # One shape over two windows is copied all the same: Caffe looks at shapes alone (net.cpp).
    apart = weight and _windows_differ(old, new) and (source != target or reordered)
    if order is _Order.UNKNOWN:
        return "", "param 0: the order of the columns of one of the two is not known"
    if fits and not apart:
        if reordered:
            return "reordered", ""
        if weight and old.transposed != new.transposed:
            return "transposed", ""
        return ("copied" if before == after else "reshaped"), ""
    overlaps = overlap(source, target) is not None and (not apart or len(source) == len(target))
    if cut and overlaps and not reordered:
        return "sliced", ""
    if fits:
        windows = [shape_text(layer.window or ()) for layer in (old, new)]
        return "", f"param 0 is for a window of {windows[0]}, expected one for {windows[1]}"
    if reordered:
        return (
            "",
            f"param 0 is {shape_text(before)}, expected {shape_text(after)} with columns in order",
        )
    return "", _no_fit(index, before, after, cut)


class _Order(Enum):
    SAME = "same"
    DIFFERENT = "different"
    UNKNOWN = "not known"


def _order(old: TransplantLayer, new: TransplantLayer) -> _Order:
    """Whether the columns of two weights are in the same order, as far as that is known."""
    if old.columns is None or new.columns is None:
        lost = (old.jumbled and new.columns) or (new.jumbled and old.columns)
        return _Order.UNKNOWN if lost else _Order.SAME
    same = old.columns == new.columns or lie_alike(old.columns, new.columns)
    return _Order.SAME if same else _Order.DIFFERENT


def _windows_differ(old: TransplantLayer, new: TransplantLayer) -> bool:
    return None not in (old.window, new.window) and old.window != new.window


def _same_outputs(first: Shape, second: Shape) -> bool:
    """Whether it is only ones, or the axes after the first, in which the shapes differ."""
    # Old files write 1 x 1 x O x K for O x K.
    bare = [tuple(axis for axis in shape if axis != 1) for shape in (first, second)]
    return bare[0] == bare[1] or first[:1] == second[:1] or bare[0][:1] == bare[1][:1]


def _no_fit(index: int, old: Shape, new: Shape, cut: bool) -> str:
    shapes = f"param {index} is {shape_text(old)}, expected {shape_text(new)}"
    if prod(old) == prod(new):
        return f"{shapes}: as many numbers, but of other outputs"
    if cut:
        return f"{shapes}: the two do not overlap"
    return f"{shapes}; {slice_hint()}"


def overlap(old: Shape, new: Shape) -> tuple[Shape, Shape] | None:
    """The shape to view the old numbers in, and the corner that both have in common.

    None where the two do not overlap.
    """
    # O x (C*H*W) and O x C x H x W are the same numbers, so outputs can be cut off.
    if len(old) != len(new) and old and new and prod(old[1:]) == prod(new[1:]):
        old = (old[0], *new[1:])
    if not old or len(old) != len(new):
        return None
    return old, tuple(map(min, old, new))


def slice_hint() -> str:
    """What is to be tried where sizes differ."""
    return f"{argument('--slice')} copies the part that overlaps"
