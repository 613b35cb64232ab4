"""In which order the numbers of a blob lie.

Those of a map lie channel by channel, row by row. A Permute lays them otherwise, a Flatten keeps
them as they lie, a Concat puts those of several maps one after the other; and so lie the columns
of an InnerProduct's weight that reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from netsurgery.io.memory import Claim, empty
from netsurgery.io.wording import counted
from netsurgery.net import types
from netsurgery.net.known_fields import unknown_fields
from netsurgery.net.net import Layer, NetDefinition, Shape
from netsurgery.net.shapes import Shapes
from netsurgery.net.types.axes import cut_axis
from netsurgery.net.types.record import Role, Space, Values

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "Order",
    "OrderPart",
    "Orders",
    "as_map",
    "bottom_orders",
    "count",
    "is_natural",
    "is_permuted",
    "last_orders",
    "lie_alike",
    "places",
]

_NATURAL = (0, 1, 2)


class OrderPart(NamedTuple):
    """A map, C x H x W, that lies with its axes in `order`: (1, 2, 0) is H, W, C."""

    map: Shape
    order: tuple[int, ...] = _NATURAL

    @property
    def dims(self) -> Shape:
        """The sizes of the axes as they lie."""
        return tuple(self.map[axis] for axis in self.order)


#: The numbers of one image: parts that follow one another.
Order = tuple[OrderPart, ...]


def count(order: Order) -> int:
    """How many numbers."""
    return sum(prod(part.map) for part in order)


def is_natural(order: Order) -> bool:
    """Whether all numbers lie channel by channel, row by row; axes of size 1 lie anywhere."""
    return all(
        [axis for axis in part.order if part.map[axis] > 1]
        == [axis for axis in _NATURAL if part.map[axis] > 1]
        for part in order
    )


def is_permuted(order: Order) -> bool:
    """Whether axes lie elsewhere, be they of size 1: those of a larger map may not be."""
    return any(part.order != _NATURAL for part in order)


def as_map(order: Order) -> Shape | None:
    """C x H x W of the one map that the parts are with their channels joined; None for none."""
    if not order or len({part.map[1:] for part in order}) != 1:
        return None
    return (sum(part.map[0] for part in order), *order[0].map[1:])


def places(order: Order) -> NDArray[np.int64]:
    """For each number as it lies its place among those of the parts laid naturally."""
    import numpy as np

    count = sum(prod(part.map) for part in order)
    what = f"the order of a blob of {counted(count, 'number')}"
    start = 0
    # Besides `positions`, which `empty` claims: a part's numbers, and their copy in order.
    with Claim(16 * count, what):
        positions: NDArray[np.int64] = empty((count,), np.int64, what)
        for part in order:
            inside = np.arange(prod(part.map), dtype=np.int64).reshape(part.map)
            positions[start : start + inside.size] = inside.transpose(part.order).ravel()
            positions[start : start + inside.size] += start
            start += inside.size
    return positions


def bottom_orders(net: NetDefinition, shapes: Shapes) -> dict[Layer, Order]:
    """The order of each layer's first bottom when the layer reads it, where it is known."""
    orders, of_bottoms = Orders(shapes), {}
    for declared in net.inputs:
        orders.begin(declared.name)
    for layer in net.layers:
        order = orders.known.get(layer.bottoms[0]) if layer.bottoms else None
        if order is not None:
            of_bottoms[layer] = order
        orders.step(layer)
    return of_bottoms


def last_orders(net: NetDefinition, shapes: Shapes) -> dict[str, Order]:
    """The order of each blob as its last writer leaves it, where it is known."""
    orders = Orders(shapes)
    for declared in net.inputs:
        orders.begin(declared.name)
    for layer in net.layers:
        orders.step(layer)
    return orders.known


def lie_alike(left: Order, right: Order) -> bool:
    """Whether the numbers of two blobs of one meaning lie in the same order."""
    # Most often, and then no array is made.
    if is_natural(left) and is_natural(right):
        return True
    first, second = places(left), places(right)
    return first.shape == second.shape and bool((first == second).all())


class Orders:
    """The orders of blobs on a walk over a net's layers.

    known: blob -> the order of its numbers as its last writer left it; not in it where that is
    not known, or where it is neither a map nor what was one.
    """

    def __init__(self, shapes: Shapes) -> None:
        self.shapes = shapes
        self.known: dict[str, Order] = {}

    def begin(self, blob: str) -> None:
        """An input."""
        self._note(blob, self._own(blob))

    def step(self, layer: Layer) -> None:
        """Note the orders of the layer's tops."""
        whole = types.of(layer) is None or types.is_whole(layer)
        tops = self._tops(layer) if whole else [None] * len(layer.tops)
        for top, order in zip(layer.tops, tops, strict=True):
            shape = self.shapes.blobs.get(top, ())
            fits = order is not None and len(shape) > 1 and count(order) == prod(shape[1:])
            self._note(top, order if fits else None)

    def _note(self, blob: str, order: Order | None) -> None:
        self.known.pop(blob, None)
        if order is not None:
            self.known[blob] = order

    def _own(self, blob: str) -> Order | None:
        """The order of a blob that some layer makes as a map, or as a vector, of its own."""
        shape = self.shapes.blobs.get(blob, ())
        if 0 in shape or len(shape) < 2:
            return None
        return (OrderPart(shape[1:] if len(shape) == 4 else (prod(shape[1:]), 1, 1)),)

    def _tops(self, layer: Layer) -> Sequence[Order | None]:
        if not layer.bottoms or not layer.tops or layer.bottoms[0] not in self.shapes.blobs:
            return [self._own(top) for top in layer.tops]
        values, space = types.values(layer), types.space(layer)
        if values in (Values.KEPT, Values.MOVED) and unknown_fields(layer):
            return [None] * len(layer.tops)
        if types.is_a(layer, types.PERMUTE):
            return [self._permuted(layer)]
        if values is Values.KEPT:
            return [self._reshaped(layer, top) for top in layer.tops]
        if space is Space.JOINING and values is Values.MOVED:
            return [self._joined(layer)]
        if space is Space.POINTWISE and values is Values.MOVED and len(layer.tops) > 1:
            return self._cut(layer)
        if space in (Space.POINTWISE, Space.JOINING):
            return [self._same(layer, top) for top in layer.tops]
        return [self._own(top) for top in layer.tops]

    def _permuted(self, layer: Layer) -> Order | None:
        shape, order = self._first(layer)
        axes = types.permutation(layer, len(shape))
        # An order is that of one image, so the batch axis has to stay in front.
        if order is None or len(order) != 1 or order[0].dims != shape[1:] or axes[0] != 0:
            return None
        (part,) = order
        return (OrderPart(part.map, tuple(part.order[axis - 1] for axis in axes[1:])),)

    def _reshaped(self, layer: Layer, top: str) -> Order | None:
        """As it was, but that N x C x H x W of other sizes is a map of its own."""
        before, order = self._first(layer)
        after = self.shapes.blobs.get(top, ())
        as_it_lies = order is not None and len(order) == 1 and order[0].dims == after[1:]
        # N x K x 1 x 1 is still the flattened map, a channel for each of its numbers.
        another = len(after) == 4 and after[2:] != (1, 1) and not as_it_lies
        if layer.in_place or before[:1] != after[:1] or another:
            return self._own(top) if len(after) == 4 else None
        return order

    def _joined(self, layer: Layer) -> Order | None:
        shape, _ = self._first(layer)
        orders = [self.known.get(bottom) for bottom in layer.bottoms]
        known = [order for order in orders if order is not None]
        if len(known) < len(orders) or cut_axis(layer, shape) != 1:
            natural = len(known) == len(orders) and all(map(is_natural, known))
            return self._own(layer.tops[0]) if natural and len(shape) == 4 else None
        parts: list[OrderPart] = []
        for part in (part for order in known for part in order):
            last = parts[-1] if parts else None
            # Natural maps of one size are together one map of all their channels.
            if last and last.order == part.order == _NATURAL and last.map[1:] == part.map[1:]:
                parts[-1] = OrderPart((last.map[0] + part.map[0], *part.map[1:]))
            else:
                parts.append(part)
        return tuple(parts)

    def _cut(self, layer: Layer) -> Sequence[Order | None]:
        """Whole channels of a map, where that is what is cut."""
        shape, order = self._first(layer)
        cut = as_map(order) if order is not None and is_natural(order) else None
        if cut is None:
            return [None] * len(layer.tops)
        if len(shape) == 4:
            return [self._own(top) for top in layer.tops]
        cell = prod(cut[1:])
        sizes = [prod(self.shapes.blobs.get(top, ())[1:]) for top in layer.tops]
        # Of a flattened map a slice is some channels only if it ends between two of them.
        whole = all(size and size % cell == 0 for size in sizes)
        return [(OrderPart((size // cell, *cut[1:])),) if whole else None for size in sizes]

    def _same(self, layer: Layer, top: str) -> Order | None:
        """Numbers that stay where they are; of several bottoms they must lie alike."""
        shape, order = self._first(layer)
        if self.shapes.blobs.get(top) != shape:
            return self._own(top)
        roles = zip(layer.bottoms, types.roles(layer), strict=True)
        values = [self.known.get(bottom) for bottom, role in roles if role is Role.VALUE]
        return order if all(value == order for value in values) else None

    def _first(self, layer: Layer) -> tuple[Shape, Order | None]:
        bottom = layer.bottoms[0]
        return self.shapes.blobs.get(bottom, ()), self.known.get(bottom)
