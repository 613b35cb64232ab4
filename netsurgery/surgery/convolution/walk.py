"""The walk over a net that finds which of its layers change, and how; see `analyze`."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from netsurgery.io.shape_text import shape_text
from netsurgery.io.wording import counted, with_article
from netsurgery.net import types
from netsurgery.net.net import Layer, NetDefinition, Shape
from netsurgery.net.order import Order, Orders, as_map, is_natural, is_permuted
from netsurgery.net.shapes import Shapes
from netsurgery.net.shuffle import channel_shuffles
from netsurgery.net.types.record import Space, Values
from netsurgery.surgery.convolution.analysis import Analysis, ConvertedLayer, FlattenedMap
from netsurgery.surgery.convolution.branches import Joins
from netsurgery.surgery.convolution.poolings import Poolings
from netsurgery.surgery.convolution.positions import (
    cuts_maps,
    field_fault,
    is_pointwise,
    mixes_positions,
    why_not_behind,
)
from netsurgery.surgery.convolution.removal import Removal
from netsurgery.surgery.plan import Refusal

__all__ = ["analyze"]


def analyze(
    net: NetDefinition, chosen: Sequence[Layer], shapes: Shapes, poolings: Poolings
) -> Analysis:
    """Walk the net. chosen: InnerProduct layers to convert, global poolings to make windows."""
    analysis = Analysis(gates=poolings.gates, products=poolings.products)
    for declared in net.inputs:
        analysis.roots[declared.name] = frozenset({declared.name})
    walk = _Walk(net, chosen, shapes, analysis, poolings)
    for layer in net.layers:
        walk.step(layer)
    walk.finish()
    return analysis


class _Walk:
    """One pass over the layers."""

    def __init__(
        self,
        net: NetDefinition,
        chosen: Sequence[Layer],
        shapes: Shapes,
        analysis: Analysis,
        poolings: Poolings,
    ) -> None:
        self.net, self.chosen, self.shapes, self.analysis = net, set(chosen), shapes, analysis
        #: global pooling -> (H, W) of the window that it may become.
        self.sizes = poolings.windows
        #: the layers that stay and look at a whole map.
        self.gathering = {*poolings.windows, *poolings.gates, *poolings.products} - self.chosen
        #: the blobs after a global pooling that becomes a window.
        self.pooled: set[str] = set()
        #: the Flattens of one pooled cell: that cell becomes a map.
        self.cells: list[Layer] = []
        #: blobs of three axes, N x 1 x K, after an ArgMax that is given axis 1.
        self.picked: set[str] = set()
        self.removal = Removal(net)
        #: layer -> why it needs what was flattened to stay so.
        self.reasons: dict[Layer, str] = {}
        #: blob -> why no window slides over the input to give it.
        self.barred: dict[str, str] = {}
        #: blobs that stay as large as they are: they hold what a layer makes of a whole map.
        self.fixed: set[str] = set()
        self.orders = Orders(shapes)
        for declared in net.inputs:
            self.orders.begin(declared.name)
        self.joins = Joins(net, shapes, self.orders, analysis, self.removal)
        shuffles = channel_shuffles(net, shapes)
        analysis.shuffles = [shuffle for shuffle in shuffles if not shuffle.free]
        #: the layers of channel shuffles, which move no cell.
        self.shuffling = {layer for shuffle in shuffles for layer in shuffle.layers}

    def step(self, layer: Layer) -> None:
        analysis = self.analysis
        roots = frozenset().union(*(analysis.roots.get(b, frozenset()) for b in layer.bottoms))
        for top in layer.tops:
            analysis.roots[top] = roots if layer.bottoms else frozenset({top})
        if layer in self.chosen:
            if layer in self.sizes:
                self.open_window(layer)
            else:
                self.convert(layer)
            self.orders.step(layer)
            return
        # The Reshapes of a channel shuffle look like flattening, but move no position.
        if layer in self.shuffling and layer.bottoms[0] not in analysis.flat:
            self.orders.step(layer)
            self.bar(layer, True)
            return
        joined = [bottom for bottom in layer.bottoms if bottom in self.joins.known]
        if joined and self.joins.note(layer):
            self.orders.step(layer)
            self.bar(layer, False)
            return
        # Any other reader of joined maps needs them joined, so the Concat stays.
        for bottom in joined:
            concat, reason = self.joins.leave(bottom, layer)
            self.reasons |= {concat: reason, layer: f"{concat.name!r}: {reason}"}
        # `orders.step` overwrites the order of a blob that the layer works on in place.
        before = {bottom: self.orders.known.get(bottom) for bottom in layer.bottoms}
        self.orders.step(layer)
        flat = [analysis.flat[bottom] for bottom in layer.bottoms if bottom in analysis.flat]
        if self.restores(layer, before[layer.bottoms[0]] if before else None):
            self.bar(layer, True)
            for top in layer.tops:
                analysis.flat.pop(top, None)
            return
        flattened = self.flattened(layer)
        self.bar(layer, flattened is not None)
        passed = self.passed(layer, flat) if flat and flattened is None else None
        noted = self.joins.known.keys() & set(layer.tops)
        if flat and passed is None and flattened is None and not noted:
            self.bar_moved(layer, flat)
        picks = flattened is None and self.picks(layer)
        for top in layer.tops:
            analysis.flat.pop(top, None)
            self.picked.discard(top)
            if flattened is not None:
                analysis.flat[top] = flattened
            elif passed is not None and (picks or self.stays_flat(top)):
                analysis.flat[top] = passed
            if picks:
                self.picked.add(top)

    def bar(self, layer: Layer, flattens: bool) -> None:
        """Note what bars a window from sliding after this layer, which may only flatten."""
        why = next((self.barred[b] for b in layer.bottoms if b in self.barred), "")
        fault = field_fault(layer)
        if not why and fault:
            why = f"layer {layer.name!r} ({layer.type}) {fault}"
        gathers = layer in self.gathering
        # One bottom that grows is enough for a layer to have positions to move.
        fixed = gathers or (bool(layer.bottoms) and self.fixed.issuperset(layer.bottoms))
        moves = mixes_positions(layer) or cuts_maps(layer, self.shapes)
        if not why and not flattens and not fixed and moves:
            why = _mixes(layer)
        for top in layer.tops:  # in place, what held of the blob before holds no longer
            self.barred.pop(top, None)
            self.fixed.discard(top)
            if why:
                self.barred[top] = why
            if fixed:
                self.fixed.add(top)
        if not self.pooled.isdisjoint(layer.bottoms):
            self.pooled.update(layer.tops)

    def bar_moved(self, layer: Layer, flat: list[FlattenedMap]) -> None:
        """No window slides after a layer that needs permuted axes to stay so."""
        flattens = (flatten for flattened in flat for flatten in flattened.flattens)
        moved = [layer for layer in flattens if types.is_a(layer, types.PERMUTE)]
        if moved and not types.is_a(layer, types.INNER_PRODUCT):
            for top in layer.tops:
                self.barred.setdefault(top, _mixes(moved[0]))

    def stays_flat(self, top: str) -> bool:
        """Whether what is made of a flat blob is not a map, but one flattened or permuted."""
        shape, order = self.shapes.blobs.get(top, ()), self.orders.known.get(top, ())
        return len(shape) == 2 or (
            len(shape) == 4 and (is_permuted(order) or as_map(order) not in (None, shape[1:]))
        )

    def open_window(self, layer: Layer) -> None:
        """A global pooling to make a window of the size it had, or why it can be none."""
        fault = field_fault(layer)
        if fault:
            refusal = Refusal(layer.name, f"{fault}; so no window of it is known")
            self.analysis.refusals.append(refusal)
        elif layer.bottoms[0] in self.barred:
            self.analysis.refusals.append(_no_slide(layer, self.barred[layer.bottoms[0]]))
        else:
            self.analysis.windows.append(ConvertedLayer(layer, self.sizes[layer]))
        for top in layer.tops:
            self.analysis.flat.pop(top, None)
            if len(self.shapes.blobs[top]) == 2:  # a Reduction's mean; as a Pooling it gives a map
                self.analysis.flat[top] = FlattenedMap()
            self.barred.pop(top, None)  # of one refusal enough has been said
        self.pooled.update(layer.tops)

    def picks(self, layer: Layer) -> bool:
        """Whether it is an ArgMax that is given its axis, or reads what one made."""
        return layer in self.analysis.argmaxes or not self.picked.isdisjoint(layer.bottoms)

    def convert(self, layer: Layer) -> None:
        """An InnerProduct to convert: its kernel, or why it can have none."""
        refusal = self.why_no_kernel(layer)
        if refusal is None and layer.bottoms[0] in self.joins.known:
            refusal = self.joins.split(layer)
            if refusal is not None:
                self.joins.leave(layer.bottoms[0], layer)
                self.analysis.refusals.append(refusal)
        elif refusal is not None:
            self.analysis.refusals.append(refusal)
        else:
            (bottom,) = layer.bottoms
            flat, shape = self.analysis.flat.get(bottom), self.shapes.blobs[bottom]
            kernel = (shape[2], shape[3]) if flat is None else flat.kernel
            self.removal.need(flat.flattens if flat is not None else frozenset())
            order = self.orders.known.get(bottom, ())
            self.analysis.converted.append(
                ConvertedLayer(layer, kernel, None if is_natural(order) else order)
            )
        # Refused or not, its tops count as maps: what is behind it is not to blame.
        for top in layer.tops:
            self.analysis.flat[top] = FlattenedMap()
            self.barred.pop(top, None)  # of one refusal enough has been said

    def why_no_kernel(self, layer: Layer) -> Refusal | None:
        if len(layer.bottoms) != 1:
            return Refusal(layer.name, f"{counted(len(layer.bottoms), 'bottom')}, expected one")
        (bottom,) = layer.bottoms
        shape = self.shapes.blobs.get(bottom)
        if shape is None:
            why = self.shapes.unknown.get(bottom, "")
            reason = f"the shape of its bottom {bottom!r} is not known"
            return Refusal(layer.name, reason, cause=why)
        fault = field_fault(layer)
        if fault:
            return Refusal(layer.name, f"{fault}, nor what it makes of a Convolution")
        axis = layer.param("inner_product_param").integer("axis", 1, -(2**31)) % max(len(shape), 1)
        if axis != 1:
            blob = with_article(shape_text(shape))
            return Refusal(layer.name, f"axis {axis} of {blob} bottom; only axis 1 leaves a map")
        if 0 in shape:
            return Refusal(layer.name, f"its bottom {bottom!r} is {shape_text(shape)}: it is empty")
        joined = bottom in self.joins.known
        if len(shape) != 4 and bottom not in self.analysis.flat and not joined:
            return self.no_map(layer, bottom, shape)
        if bottom in self.barred:
            return _no_slide(layer, self.barred[bottom])
        if (
            bottom not in self.picked
            and not joined
            and as_map(self.orders.known.get(bottom, ())) is None
        ):
            return Refusal(layer.name, f"in which order the numbers of {bottom!r} lie is not known")
        return None

    def no_map(self, layer: Layer, bottom: str, shape: Shape) -> Refusal:
        unconverted = self.unconverted_before(layer)
        if unconverted is not None:
            why = f"InnerProduct {unconverted.name!r} before it is not converted, so makes no map"
            return Refusal(layer.name, why)
        maker = self.net.producer(layer, bottom)
        by = "the net's input" if maker is None else f"made by layer {maker.name!r} ({maker.type})"
        reason = self.reasons.get(maker, "") if maker is not None else ""
        no_map = f"its bottom {bottom!r} is {shape_text(shape)}, {by}: no map"
        return Refusal(layer.name, f"{no_map}; {reason}" if reason else no_map)

    def unconverted_before(self, layer: Layer) -> Layer | None:
        """The InnerProduct not to be converted that made what `layer` reads, if one did."""
        # By first bottoms alone: it is for a message.
        maker: Layer | None = layer
        while maker is not None and maker.bottoms:
            maker = self.net.producer(maker, maker.bottoms[0])
            if maker is not None and types.is_a(maker, types.INNER_PRODUCT):
                return None if maker in self.chosen else maker
        return None

    def flattened(self, layer: Layer) -> FlattenedMap | None:
        """What a layer that only flattens, or a mean over the map, makes of its bottom."""
        if layer in self.sizes:
            mean = len(self.shapes.blobs.get(layer.tops[0], ())) == 2
            return FlattenedMap(flattens=frozenset({layer}), behind=False) if mean else None
        if len(layer.tops) != 1 or len(layer.bottoms) != 1:
            return None
        bottom, top = layer.bottoms[0], layer.tops[0]
        before, after = (self.shapes.blobs.get(blob) for blob in (bottom, top))
        if before is None or after is None:
            return None
        only_flattens = types.reshapes(layer) and _only_flattens(before, after)
        if not only_flattens and not self.permutes(layer, after):
            return None
        if bottom in self.analysis.flat:
            flat = self.analysis.flat[bottom]
            # What it flattens becomes a map in any case: it cannot stay.
            if flat.behind:
                self.removal.need({layer})
            return FlattenedMap(flat.kernel, flat.flattens | {layer}, flat.behind)
        if len(before) != 4:
            return None
        if only_flattens and bottom in self.pooled and before[2:] == (1, 1):
            self.cells.append(layer)
        return FlattenedMap((before[2], before[3]), frozenset({layer}), behind=False)

    def permutes(self, layer: Layer, after: Shape) -> bool:
        """Whether it lays the numbers of a map, flattened or not, as a map with permuted axes."""
        order = self.orders.known.get(layer.tops[0], ())
        if len(after) != 4 or len(order) != 1 or order[0].dims != after[1:]:
            return False
        return types.is_a(layer, types.PERMUTE) or (types.reshapes(layer) and is_permuted(order))

    def restores(self, layer: Layer, before: Order | None) -> bool:
        """Whether a Reshape gives the map again that was flattened, or that is its bottom.

        It goes, and with it what flattened, so that the map may grow; but for one cell that stays.
        """
        if not types.reshapes(layer) or len(layer.tops) != 1 or layer.in_place or not before:
            return False
        bottom, shape = layer.bottoms[0], self.shapes.blobs.get(layer.tops[0], ())
        if len(shape) != 4 or (*shape[1:],) != as_map(before) or not is_natural(before):
            return False
        flat = self.analysis.flat.get(bottom, FlattenedMap(shape[2:], behind=False))
        if flat.behind:
            self.removal.need(flat.flattens | {layer})
        elif shape[2:] != (1, 1) or bottom in self.pooled:
            self.removal.wishes.append(flat.flattens | {layer})
        return True

    def passed(self, layer: Layer, flat: list[FlattenedMap]) -> FlattenedMap | None:
        """A layer that reads flat blobs: its tops become flat, or it is refused."""
        if types.is_a(layer, types.INNER_PRODUCT):
            return None  # kept; whether the map may grow before it is found out later
        behind = any(flattened.behind for flattened in flat)
        flattens = frozenset().union(*(flattened.flattens for flattened in flat))
        reason = field_fault(layer) or why_not_behind(layer, set(self.analysis.flat))
        kernels = {flattened.kernel for flattened in flat}
        if not reason and len(kernels) > 1:
            if self.joins.note(layer):
                return None
            reason = "it joins maps of different sizes"
        reason = reason or self.why_not_permuted(layer)
        if not reason and kernels != {(1, 1)} and not is_pointwise(layer):
            reason = "it works along the channels of what was flattened"
        if not reason and self.picks(layer) and not is_pointwise(layer):
            reason = "it reads what an ArgMax made that has to be given axis 1, in another shape"
        if reason:
            refusal = Refusal(layer.name, reason)
            if behind:
                self.analysis.refusals.append(refusal)
                return FlattenedMap()
            self.reasons[layer] = reason
            self.removal.pin(flattens, refusal)
            return None
        self.analysis.behind.append(layer)
        if types.is_a(layer, types.ARGMAX) and layer.param("argmax_param").scalar("axis") is None:
            self.analysis.argmaxes.append(layer)
        return FlattenedMap(kernels.pop(), flattens, behind)

    def why_not_permuted(self, layer: Layer) -> str:
        """Why it needs the order in which numbers lie to stay; "" where it does not."""
        flat = [bottom for bottom in layer.bottoms if bottom in self.analysis.flat]
        orders = [self.orders.known.get(bottom) for bottom in flat]
        four = any(
            len(self.shapes.blobs.get(bottom, ())) == 4 and is_permuted(order or ())
            for bottom, order in zip(flat, orders, strict=True)
        )
        moves = types.values(layer) is Values.MOVED
        if four and (moves or not is_pointwise(layer)):
            return "it works along axes that a Permute has moved"
        joins = types.space(layer) is Space.JOINING and not moves
        if joins and len(set(orders)) > 1:
            return "it joins numbers that lie in different orders"
        return ""

    def finish(self) -> None:
        """Refuse what needs a Flatten both removed and kept."""
        self.joins.finish()
        for blob in self.net.outputs:
            flat, order = self.analysis.flat.get(blob), self.orders.known.get(blob, ())
            if flat is not None and not is_natural(order):
                writer = [layer.name for layer in self.net.layers if blob in layer.tops][-1]
                why = f"its top {blob!r} is an output, whose numbers would lie in another order"
                self.removal.pin(flat.flattens, Refusal(writer, why))
        pinned = self.removal.pinned
        # Where only windows are opened, a Flatten of their one cell that has to stay leaves no map
        # to give: needed and pinned, it is refused.
        only_windows = self.chosen <= self.sizes.keys()
        self.removal.need(cell for cell in self.cells if cell not in pinned or only_windows)
        self.analysis.removed_flattens, self.analysis.averaged, refusals = self.removal.finish()
        self.analysis.refusals = list(dict.fromkeys([*self.analysis.refusals, *refusals]))


def _mixes(layer: Layer) -> str:
    return f"layer {layer.name!r} ({layer.type}) moves numbers from position to position"


def _no_slide(layer: Layer, why: str) -> Refusal:
    return Refusal(layer.name, f"{why} before it, so no window slides over the input")


def _only_flattens(before: Shape, after: Shape) -> bool:
    """Whether N x ... becomes N x K; as many numbers as before leave only ones after K."""
    return len(before) >= 2 and after[:2] == (before[0], prod(before[1:]))
