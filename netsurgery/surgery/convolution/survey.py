"""Which layers of a net change when its InnerProduct layers become Convolution layers, and how.

The net is walked once, in file order. A blob of two axes, N x K, is *loose* when it can be had as
a map: behind an InnerProduct that is converted it becomes N x K x h x w; behind a Flatten (or a
Reshape that does the same) of an N x C x H x W map it is that map, once the flattening is taken
out. What reads a loose blob must do to each position what it did to the one vector.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from math import prod

from netsurgery.net.net import Layer, Net, Shape
from netsurgery.net.shapes import Shapes, describe
from netsurgery.surgery.convolution.positions import is_pointwise, mixes_positions, why_not_behind
from netsurgery.surgery.plan import Refusal

__all__ = ["Cast", "Survey", "survey"]


@dataclass(frozen=True)
class Cast:
    """A layer that gets a kernel (H, W): an InnerProduct, or a global Pooling made a window."""

    layer: Layer
    kernel: tuple[int, int]


@dataclass(frozen=True)
class Loose:
    """How a blob of two axes can be had as a map.

    kernel: height and width of that map at the net's original size. flattenings: the layers that
    have to be taken out for it. behind: a converted InnerProduct made it.
    """

    kernel: tuple[int, int] = (1, 1)
    flattenings: frozenset[Layer] = frozenset()
    behind: bool = True


@dataclass
class Survey:
    """What the walk found.

    casts: the InnerProduct layers, with their kernels. windows: the global Pooling layers to make
    windows. flattenings: the layers to take out. argmaxes: the ArgMax layers to be given axis 1.
    loose: the blobs of two axes that become maps. roots: blob -> the inputs it depends on.
    gates: global Pooling layers that stay, as what they pool goes back into the map.
    """

    casts: list[Cast] = field(default_factory=list)
    windows: list[Cast] = field(default_factory=list)
    flattenings: list[Layer] = field(default_factory=list)
    argmaxes: list[Layer] = field(default_factory=list)
    behind: list[Layer] = field(default_factory=list)
    loose: dict[str, Loose] = field(default_factory=dict)
    roots: dict[str, frozenset[str]] = field(default_factory=dict)
    gates: list[Layer] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)

    @property
    def changed(self) -> list[Layer]:
        """The layers that get a kernel."""
        return [cast.layer for cast in (*self.casts, *self.windows)]


def survey(net: Net, chosen: Sequence[Layer], shapes: Shapes, *, keep_global: bool) -> Survey:
    """Walk the net. chosen: the InnerProduct layers to convert; keep_global: leave poolings."""
    found = Survey()
    for declared in net.inputs:
        found.roots[declared.name] = frozenset({declared.name})
    pooled = set() if keep_global else _windows(net, shapes, found)
    walk = _Walk(net, chosen, shapes, found, pooled)
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
        pooled: Collection[str],
    ) -> None:
        self.net, self.chosen, self.shapes, self.found = net, set(chosen), shapes, found
        #: the blobs behind a global Pooling that becomes a window.
        self.pooled = pooled
        #: the flattenings of one cell of what is pooled: that cell becomes a map.
        self.cells: list[Layer] = []
        #: blobs of three axes, N x 1 x K, behind an ArgMax that is given axis 1.
        self.picked: set[str] = set()
        #: flattening -> the first layer that needs it to stay.
        self.pinned: dict[Layer, Refusal] = {}
        self.needed: set[Layer] = set()
        #: blob -> the layer on the way to it that moves numbers from position to position.
        self.mixed: dict[str, Layer] = {}

    def step(self, layer: Layer) -> None:
        found = self.found
        roots = frozenset().union(*(found.roots.get(b, frozenset()) for b in layer.bottoms))
        for top in layer.tops:
            found.roots[top] = roots if layer.bottoms else frozenset({top})
        if layer in self.chosen:
            self.cast(layer)
            return
        loose = [found.loose[bottom] for bottom in layer.bottoms if bottom in found.loose]
        flattened = self.flattened(layer)
        mixer = next((self.mixed[b] for b in layer.bottoms if b in self.mixed), None)
        if mixer is None and flattened is None and mixes_positions(layer):
            mixer = layer
        if mixer is not None:
            self.mixed |= dict.fromkeys(layer.tops, mixer)
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

    def why_no_kernel(self, layer: Layer) -> Refusal | None:
        if len(layer.bottoms) != 1:
            return Refusal(layer.name, f"{len(layer.bottoms)} bottoms, expected one")
        (bottom,) = layer.bottoms
        shape = self.shapes.blobs.get(bottom)
        if shape is None:
            why = self.shapes.unknown.get(bottom, "")
            return Refusal(layer.name, f"the shape of its bottom {bottom!r} is not known: {why}")
        axis = layer.param("inner_product_param").integer("axis", 1, -(2**31)) % max(len(shape), 1)
        if axis != 1:
            return Refusal(
                layer.name, f"axis {axis} of a {describe(shape)} bottom; only axis 1 leaves a map"
            )
        if 0 in shape:
            return Refusal(layer.name, f"its bottom {bottom!r} is {describe(shape)}: it is empty")
        if len(shape) != 4 and bottom not in self.found.loose:
            return self.no_map(layer, bottom, shape)
        if bottom in self.mixed:
            mixer = self.mixed[bottom]
            why = f"layer {mixer.name!r} ({mixer.type}) moves numbers from position to position"
            return Refusal(layer.name, f"{why} before it, so no window slides over the input")
        return None

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
            if maker is not None and maker.type == "InnerProduct":
                return None if maker in self.chosen else maker
        return None

    def flattened(self, layer: Layer) -> Loose | None:
        """What a layer that only flattens makes of its bottom."""
        if layer.type not in ("Flatten", "Reshape") or len(layer.tops) != 1:
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
        if layer.type == "InnerProduct":
            return None  # kept; whether the map may grow before it is found out later
        behind = any(one.behind for one in loose)
        flattenings = frozenset().union(*(one.flattenings for one in loose))
        reason = why_not_behind(layer, set(self.found.loose))
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
        if layer.type == "ArgMax" and layer.param("argmax_param").scalar("axis") is None:
            self.found.argmaxes.append(layer)
        return Loose(kernels.pop(), flattenings, behind)

    def need(self, flattenings: frozenset[Layer] | set[Layer]) -> None:
        """These have to go; each only if nothing needs it to stay."""
        self.needed |= flattenings
        self.found.flattenings = sorted(self.needed, key=lambda layer: layer.index)

    def settle(self) -> None:
        """Refuse the flattenings that have to go and to stay."""
        self.need({layer for layer in self.cells if layer not in self.pinned or not self.chosen})
        for layer in self.found.flattenings:
            if layer in self.pinned:
                self.found.refusals.append(self.pinned[layer])
            elif _overwrites(self.net, layer):
                self.found.refusals.append(
                    Refusal(
                        layer.name,
                        f"a layer works in place on what it flattens; {layer.bottoms[0]!r} is "
                        "read again behind it",
                    )
                )


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


def _windows(net: Net, shapes: Shapes, found: Survey) -> set[str]:
    """The global poolings at the net's end: what they pool is joined with no larger map again.

    Gives the blobs that depend on them.
    """
    derived: dict[str, frozenset[Layer]] = {}
    pools: list[Layer] = []
    gates: set[Layer] = set()
    for layer in net.layers:
        joined = frozenset().union(*(derived.get(bottom, frozenset()) for bottom in layer.bottoms))
        for bottom in layer.bottoms:
            if _has_cells(shapes, bottom):
                gates |= joined - derived.get(bottom, frozenset())
        pooled = shapes.blobs.get(layer.bottoms[0], ()) if _is_global(layer) else ()
        if len(pooled) == 4 and 0 not in pooled:
            pools.append(layer)
            joined |= {layer}
        for top in layer.tops:
            derived[top] = joined
    for pool in pools:
        if pool in gates:
            found.gates.append(pool)
        else:
            height, width = shapes.blobs[pool.bottoms[0]][2:]
            found.windows.append(Cast(pool, (height, width)))
    return {blob for blob, sources in derived.items() if sources - gates}


def _has_cells(shapes: Shapes, blob: str) -> bool:
    """Whether the blob is a map of several cells, or not known to be none."""
    shape = shapes.blobs.get(blob)
    return shape is None or (len(shape) == 4 and shape[2:] != (1, 1))


def _is_global(layer: Layer) -> bool:
    return layer.type == "Pooling" and layer.param("pooling_param").boolean("global_pooling", False)
