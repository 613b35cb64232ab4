"""What a net and its weights tell of params, and whether one may go where another is.

The cases, by the shapes of the param that comes (old) and the one that is wanted (new), where a
weight that an InnerProduct keeps K x O (``transpose: true``) is seen as O x K:

copied     the shapes are equal
reshaped   as many numbers and as many outputs, over the same window: O x (C*H*W) and O x C x H x W
turned     one of the two is kept K x O and the other is not
reordered  the columns lie in another order there: behind a Permute the map lies H, W, C
sliced     sizes differ, and the part that overlaps is wanted
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from math import prod

from netsurgery.formats.textformat import Scalar
from netsurgery.formats.weights import WeightsBlob
from netsurgery.net import types
from netsurgery.net.known_fields import unknown_field, unknown_fields
from netsurgery.net.net import Layer, NetDefinition, Shape
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.order import Order, Part, as_map, bottom_orders, lie_alike
from netsurgery.net.shapes import Shapes, describe
from netsurgery.surgery.plan import Refusal

__all__ = [
    "SLICE_HINT",
    "ModelParams",
    "TransplantLayer",
    "asks_the_same",
    "overlap",
    "plain",
    "verdict",
]

#: What may be done about sizes that differ; ends a reason of `verdict`.
SLICE_HINT = "--slice copies the part that overlaps"


@dataclass(frozen=True)
class TransplantLayer:
    """A layer that has params, or may have some.

    shapes: of each param; None where neither net nor weights tell, for the reason in `unknown`.
    blobs: what the weights have for it, () for nothing. turned: its weight is kept K x O.
    strange: what is wrong with a field of the layer that is not known, "" for nothing.
    columns: the order of the weight's columns, None where that does not apply or is not known;
    jumbled: ... though it is known what the layer reads.
    """

    name: str
    type: str
    shapes: tuple[Shape, ...] | None
    blobs: tuple[WeightsBlob, ...] = ()
    turned: bool = False
    strange: str = ""
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
            found = _layer_params(layer, tuple(stored.blobs) if stored else (), shapes, orders)
            if found is None:
                continue
            layers[layer.name] = found
            differing = model.fit.mismatches.get(layer.name)
            if differing is not None and not found.unknown:
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
            yield Refusal(name, f"{path} has {count} layers of that name")


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
        turned=types.keeps_turned(layer),
        strange=unknown_field(layer),
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

    A vector that is no flattened map says nothing of its columns: it may be one all the same.
    """
    if types.is_a(layer, types.CONVOLUTION) and params and len(params[0]) == 4:
        return (Part(params[0][1:]),), False
    if not types.is_a(layer, types.INNER_PRODUCT) or not layer.bottoms:
        return None, False
    bottom, order = shapes.blobs.get(layer.bottoms[0], ()), orders.get(layer)
    axis = layer.param("inner_product_param").integer("axis", 1, -(2**31))
    if len(bottom) not in (2, 4) or axis not in (1, 1 - len(bottom)):
        return None, False
    if order is None:
        return None, True
    vector = len(bottom) == 2 and order == (Part((bottom[1], 1, 1)),)
    return (None if vector else order), False


def plain(shape: Shape, turned: bool) -> Shape:
    """The shape O x K of a weight that is kept K x O; other shapes as they are."""
    return (shape[-1], shape[-2]) if turned and len(shape) > 1 else shape


def asks_the_same(one: Layer, other: Layer) -> bool:
    """Whether two layers of one known type have the same fields but for fillers and the engine."""
    field = types.message_of(one)
    if one.type != other.type or field is None:
        return False
    return _own(one, field) == _own(other, field) and _strange(one) == _strange(other)


def _strange(layer: Layer) -> list[str]:
    """The fields that are not known, as they are written."""
    text = layer.message.source.text
    return sorted(text[field.start : field.end] for field in unknown_fields(layer))


def _own(layer: Layer, field: str) -> list[tuple[str, str]]:
    found = [
        (each.name, each.value.text if isinstance(each.value, Scalar) else "{ }")
        for each in layer.param(field).fields
        if not each.name.endswith("filler") and each.name != "engine"
    ]
    return sorted(found)


def verdict(
    old: TransplantLayer, new: TransplantLayer, index: int, *, cut: bool
) -> tuple[str, str]:
    """("copied", ""), ("reshaped", ""), ..., or ("", reason) for a param that must not go.

    cut: the part that overlaps is wanted where sizes differ. Both layers have a param `index`.
    """
    assert old.shapes is not None
    assert new.shapes is not None
    weight = index == 0
    if weight and old.type != new.type and (old.strange or new.strange):
        return "", old.strange or new.strange
    one, other = old.shapes[index], new.shapes[index]
    rows, wanted = plain(one, old.turned and weight), plain(other, new.turned and weight)
    fits = rows == wanted or (prod(rows) == prod(wanted) and _same_outputs(rows, wanted))
    order = _order(old, new) if weight else _Order.SAME
    moved = order is not _Order.SAME
    apart = weight and _other_window(old, new) and (rows != wanted or moved)
    if order is _Order.UNKNOWN:
        return "", "param 0: in which order the columns of one of the two lie is not known"
    if fits and not apart:
        if moved:
            return "reordered", ""
        if weight and old.turned != new.turned:
            return "turned", ""
        return ("copied" if one == other else "reshaped"), ""
    on_top = overlap(rows, wanted) is not None and (not apart or len(rows) == len(wanted))
    if cut and on_top and not moved:
        return "sliced", ""
    if fits:
        there, here = (describe(layer.window or ()) for layer in (old, new))
        return "", f"param 0 is for a window of {there}, expected one for {here}"
    if moved:
        return "", f"param 0 is {describe(one)}, expected {describe(other)} with columns in order"
    return "", _no_fit(index, one, other, cut)


class _Order(Enum):
    SAME = "same"
    OTHER = "other"
    UNKNOWN = "not known"


def _order(old: TransplantLayer, new: TransplantLayer) -> _Order:
    """Whether the columns of two weights lie in one order, as far as that is known."""
    if old.columns is None or new.columns is None:
        lost = (old.jumbled and new.columns) or (new.jumbled and old.columns)
        return _Order.UNKNOWN if lost else _Order.SAME
    same = old.columns == new.columns or lie_alike(old.columns, new.columns)
    return _Order.SAME if same else _Order.OTHER


def _other_window(old: TransplantLayer, new: TransplantLayer) -> bool:
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
