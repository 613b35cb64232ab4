"""The walk over a net that tells which of its layers change, and how; see `survey`."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from netsurgery.net import types
from netsurgery.net.known_fields import unknown_fields
from netsurgery.net.net import Layer, Net, Shape
from netsurgery.net.shapes import Shapes, describe
from netsurgery.surgery.convolution.poolings import Poolings
from netsurgery.surgery.convolution.positions import (
    is_pointwise,
    mixes_positions,
    reshapes,
    why_not_behind,
)
from netsurgery.surgery.convolution.survey import Cast, Loose, Survey
from netsurgery.surgery.plan import Refusal

__all__ = ["survey"]


def survey(net: Net, chosen: Sequence[Layer], shapes: Shapes, poolings: Poolings) -> Survey:
    """Walk the net.

    chosen: the InnerProduct layers to convert, and the global poolings to make windows.
    """
    found = Survey(gates=poolings.gates, products=poolings.products)
    for declared in net.inputs:
        found.roots[declared.name] = frozenset({declared.name})
    walk = _Walk(net, chosen, shapes, found, poolings)
    for layer in net.layers:
        walk.step(layer)
    walk.settle()
    return found


class _Walk:
    """One pass over the layers."""

    def __init__(
        self,
        net: Net,
        chosen: Sequence[Layer],
        shapes: Shapes,
        found: Survey,
        poolings: Poolings,
    ) -> None:
        self.net, self.chosen, self.shapes, self.found = net, set(chosen), shapes, found
        #: global pooling -> (H, W) of the window that it may become.
        self.sizes = poolings.windows
        #: the layers that stay and look at a whole map.
        self.gathering = {*poolings.windows, *poolings.gates, *poolings.products} - self.chosen
        #: the blobs behind a global pooling that becomes a window.
        self.pooled: set[str] = set()
        #: the flattenings of one cell of what is pooled: that cell becomes a map.
        self.cells: list[Layer] = []
        #: blobs of three axes, N x 1 x K, behind an ArgMax that is given axis 1.
        self.picked: set[str] = set()
        #: flattening -> the first layer that needs it to stay.
        self.pinned: dict[Layer, Refusal] = {}
        self.needed: set[Layer] = set()
        #: blob -> why no window slides over the input to give it.
        self.barred: dict[str, str] = {}
        #: blobs that stay as large as they are: they hold what a layer makes of a whole map.
        self.fixed: set[str] = set()

    def step(self, layer: Layer) -> None:
        found = self.found
        roots = frozenset().union(*(found.roots.get(b, frozenset()) for b in layer.bottoms))
        for top in layer.tops:
            found.roots[top] = roots if layer.bottoms else frozenset({top})
        if layer in self.chosen:
            if layer in self.sizes:
                self.open_window(layer)
            else:
                self.cast(layer)
            return
        loose = [found.loose[bottom] for bottom in layer.bottoms if bottom in found.loose]
        flattened = self.flattened(layer)
        self.bar(layer, flattened is not None)
        passed = self.passed(layer, loose) if loose and flattened is None else None
        picks = flattened is None and self.picks(layer)
        for top in layer.tops:
            found.loose.pop(top, None)
            self.picked.discard(top)
            if flattened is not None:
                found.loose[top] = flattened
            elif passed is not None and (picks or len(self.shapes.blobs.get(top, ())) == 2):
                found.loose[top] = passed
            if picks:
                self.picked.add(top)

    def bar(self, layer: Layer, flattens: bool) -> None:
        """Note what bars a window from sliding behind this layer, which may only flatten."""
        why = next((self.barred[b] for b in layer.bottoms if b in self.barred), "")
        fault = unknown_field(layer)
        if not why and fault:
            why = f"layer {layer.name!r} ({layer.type}) {fault}"
        gathers = layer in self.gathering
        fixed = gathers or (bool(layer.bottoms) and self.fixed.issuperset(layer.bottoms))
        if not why and not flattens and not fixed and mixes_positions(layer):
            why = f"layer {layer.name!r} ({layer.type}) moves numbers from position to position"
        for top in layer.tops:
            self.barred.pop(top, None)
            self.fixed.discard(top)
            if why:
                self.barred[top] = why
            if fixed:
                self.fixed.add(top)
        if not self.pooled.isdisjoint(layer.bottoms):
            self.pooled.update(layer.tops)

    def open_window(self, layer: Layer) -> None:
        """A global pooling to make a window of the size it had, or why it can be none."""
        fault = unknown_field(layer)
        if fault:
            refusal = Refusal(layer.name, f"{fault}; so no window of it is known")
            self.found.refusals.append(refusal)
        elif layer.bottoms[0] in self.barred:
            self.found.refusals.append(_no_slide(layer, self.barred[layer.bottoms[0]]))
        else:
            self.found.windows.append(Cast(layer, self.sizes[layer]))
        for top in layer.tops:
            self.found.loose.pop(top, None)
            if len(self.shapes.blobs[top]) == 2:
                self.found.loose[top] = Loose()
            self.barred.pop(top, None)  # of one refusal enough has been said
        self.pooled.update(layer.tops)

    def picks(self, layer: Layer) -> bool:
        """Whether it is an ArgMax that is given its axis, or reads what one made."""
        return layer in self.found.argmaxes or not self.picked.isdisjoint(layer.bottoms)

    def cast(self, layer: Layer) -> None:
        """An InnerProduct to convert: its kernel, or why it can have none."""
        refusal = self.why_no_kernel(layer)
        if refusal is not None:
            self.found.refusals.append(refusal)
        else:
            (bottom,) = layer.bottoms
            loose, shape = self.found.loose.get(bottom), self.shapes.blobs[bottom]
            kernel = (shape[2], shape[3]) if loose is None else loose.kernel
            self.need(loose.flattenings if loose is not None else frozenset())
            self.found.casts.append(Cast(layer, kernel))
        for top in layer.tops:
            self.found.loose[top] = Loose()
            self.barred.pop(top, None)  # of one refusal enough has been said

    def why_no_kernel(self, layer: Layer) -> Refusal | None:
        if len(layer.bottoms) != 1:
            return Refusal(layer.name, f"{len(layer.bottoms)} bottoms, expected one")
        (bottom,) = layer.bottoms
        shape = self.shapes.blobs.get(bottom)
        if shape is None:
            why = self.shapes.unknown.get(bottom, "")
            return Refusal(layer.name, f"the shape of its bottom {bottom!r} is not known: {why}")
        fault = unknown_field(layer)
        if fault:
            return Refusal(layer.name, f"{fault}, nor what it makes of a Convolution")
        axis = layer.param("inner_product_param").integer("axis", 1, -(2**31)) % max(len(shape), 1)
        if axis != 1:
            return Refusal(
                layer.name, f"axis {axis} of a {describe(shape)} bottom; only axis 1 leaves a map"
            )
        if 0 in shape:
            return Refusal(layer.name, f"its bottom {bottom!r} is {describe(shape)}: it is empty")
        if len(shape) != 4 and bottom not in self.found.loose:
            return self.no_map(layer, bottom, shape)
        return _no_slide(layer, self.barred[bottom]) if bottom in self.barred else None

    def no_map(self, layer: Layer, bottom: str, shape: Shape) -> Refusal:
        kept = self.kept(layer)
        if kept is not None:
            why = f"InnerProduct {kept.name!r} before it is not converted, so makes no map"
            return Refusal(layer.name, why)
        maker = self.net.producer(layer, bottom)
        by = "the net's input" if maker is None else f"made by layer {maker.name!r} ({maker.type})"
        return Refusal(layer.name, f"its bottom {bottom!r} is {describe(shape)}, {by}: no map")

    def kept(self, layer: Layer) -> Layer | None:
        """The InnerProduct not to be converted that made what `layer` reads, if one did."""
        maker: Layer | None = layer
        while maker is not None and maker.bottoms:
            maker = self.net.producer(maker, maker.bottoms[0])
            if maker is not None and types.is_a(maker, types.INNER_PRODUCT):
                return None if maker in self.chosen else maker
        return None

    def flattened(self, layer: Layer) -> Loose | None:
        """What a layer that only flattens, or a mean over the map, makes of its bottom."""
        if layer in self.sizes:
            mean = len(self.shapes.blobs.get(layer.tops[0], ())) == 2
            return Loose(flattenings=frozenset({layer}), behind=False) if mean else None
        if not reshapes(layer) or len(layer.tops) != 1:
            return None
        bottom, top = layer.bottoms[0], layer.tops[0]
        before, after = (self.shapes.blobs.get(blob) for blob in (bottom, top))
        if before is None or after is None or not _only_flattens(before, after):
            return None
        if bottom in self.found.loose:
            loose = self.found.loose[bottom]
            if loose.behind:
                self.need({layer})
            return Loose(loose.kernel, loose.flattenings | {layer}, loose.behind)
        if len(before) != 4:
            return None
        if bottom in self.pooled and before[2:] == (1, 1):
            self.cells.append(layer)
        return Loose((before[2], before[3]), frozenset({layer}), behind=False)

    def passed(self, layer: Layer, loose: list[Loose]) -> Loose | None:
        """A layer that reads loose blobs: its tops are loose as well, or it is refused."""
        if types.is_a(layer, types.INNER_PRODUCT):
            return None  # kept; whether the map may grow before it is found out later
        behind = any(one.behind for one in loose)
        flattenings = frozenset().union(*(one.flattenings for one in loose))
        reason = unknown_field(layer) or why_not_behind(layer, set(self.found.loose))
        kernels = {one.kernel for one in loose}
        if not reason and len(kernels) > 1:
            reason = "it joins maps of different sizes"
        if not reason and kernels != {(1, 1)} and not is_pointwise(layer, joining=True):
            reason = "it works along the channels of what was flattened"
        if not reason and self.picks(layer) and not is_pointwise(layer, joining=True):
            reason = "it reads what an ArgMax made that has to be given axis 1, in another shape"
        if reason:
            refusal = Refusal(layer.name, reason)
            if behind:
                self.found.refusals.append(refusal)
                return Loose()
            for flattening in flattenings:
                self.pinned.setdefault(flattening, refusal)
            return None
        self.found.behind.append(layer)
        if types.is_a(layer, types.ARGMAX) and layer.param("argmax_param").scalar("axis") is None:
            self.found.argmaxes.append(layer)
        return Loose(kernels.pop(), flattenings, behind)

    def need(self, flattenings: frozenset[Layer] | set[Layer]) -> None:
        """These have to go; each only if nothing needs it to stay."""
        self.needed |= flattenings
        self.found.flattenings = sorted(self.needed, key=lambda layer: layer.index)

    def settle(self) -> None:
        """Refuse the flattenings that have to go and to stay."""
        only_windows = self.chosen <= self.sizes.keys()
        self.need({layer for layer in self.cells if layer not in self.pinned or only_windows})
        self.found.averaged = [one for one in self.found.flattenings if one in self.sizes]
        self.found.flattenings = [one for one in self.found.flattenings if one not in self.sizes]
        for layer in (*self.found.flattenings, *self.found.averaged):
            if layer in self.pinned:
                self.found.refusals.append(self.pinned[layer])
            elif layer not in self.sizes and _overwrites(self.net, layer):
                self.found.refusals.append(
                    Refusal(
                        layer.name,
                        f"a layer works in place on what it flattens; {layer.bottoms[0]!r} is "
                        "read again behind it",
                    )
                )


def _no_slide(layer: Layer, why: str) -> Refusal:
    return Refusal(layer.name, f"{why} before it, so no window slides over the input")


def unknown_field(layer: Layer) -> str:
    """A field of the layer's that nobody knows the meaning of, to follow its name; "" for none."""
    for field in unknown_fields(layer):
        line = layer.message.source.error("", field.start).line
        return f"has a field {field.name} (line {line}), which Caffe 1.0 does not know"
    return ""


def _only_flattens(before: Shape, after: Shape) -> bool:
    """Whether N x ... becomes N x K; as many numbers as before leave only ones behind K."""
    return len(before) >= 2 and after[:2] == (before[0], prod(before[1:]))


def _overwrites(net: Net, flattening: Layer) -> bool:
    """Whether, the flattening gone, some layer in place would spoil its bottom for another."""
    source, top = flattening.bottoms[0], flattening.tops[0]
    behind = [layer for layer in net.layers if layer.index > flattening.index]
    writers = [layer.index for layer in behind if top in layer.tops and top in layer.bottoms]
    return bool(writers) and any(
        source in layer.bottoms and layer.index > min(writers) for layer in behind
    )
