"""The global poolings of a net, and the gates that are made of what some of them pool.

A global pooling at the net's end can become a window that slides. One whose numbers go back into
a map, as factors of its channels (squeeze and excitation), is part of a *gate* and stays, and with
it the InnerProduct layers between it and the map.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from netsurgery.net import types
from netsurgery.net.field import placeholder
from netsurgery.net.net import Layer, NetDefinition, Shape
from netsurgery.net.shapes import Shapes, remedy
from netsurgery.net.windows import pool_window
from netsurgery.surgery.plan import Refusal, refuse

__all__ = ["Poolings", "find_poolings", "unknown_poolings"]


@dataclass
class Poolings:
    """The global poolings of a net.

    windows: layer -> (H, W) of the map that it pools, of those that may become windows.
    gates: those that stay, as what they pool goes back into a map. products: InnerProduct layer ->
    the layer that reads the gate it belongs to, of those that do nothing else than gating.
    """

    windows: dict[Layer, tuple[int, int]] = field(default_factory=dict)
    gates: list[Layer] = field(default_factory=list)
    products: dict[Layer, Layer] = field(default_factory=dict)

    def sized_windows(self, net: NetDefinition, shapes: Shapes) -> list[Layer]:
        """The layers of `windows`. Raises SurgeryError where their size is only set at run time."""
        name = placeholder(net, shapes) if self.windows else None
        if name is not None:
            cause = (
                f"input {name!r} is 1x1, which stands for a size that is set when the net is run"
            )
            why = "how large its window would be is not known"
            refused = [Refusal(layer.name, why, remedy(name), cause) for layer in self.windows]
            refuse(net.prototxt.path, refused)
        return list(self.windows)


def find_poolings(net: NetDefinition, shapes: Shapes, *, sliding: bool = False) -> Poolings:
    """Look at every layer of `net` once, in file order.

    sliding: take also those whose window is the whole map, and would slide over a larger one.
    """
    walk = _PoolingWalk(shapes, sliding)
    for layer in net.layers:
        walk.step(layer)
    result = Poolings()
    # Every window covers the map of a picture whose size is not yet set.
    unset = bool(walk.sizes) and placeholder(net, shapes) is not None
    for layer, size in walk.sizes.items():
        if unset and types.is_a(layer, types.POOLING) and not _says_global(layer):
            continue
        if layer not in walk.gates:
            result.windows[layer] = size
        # A window that merely is as large as this map gives several cells of a larger one; the
        # shapes say whether what reads them takes that.
        elif not types.is_a(layer, types.POOLING) or _says_global(layer):
            result.gates.append(layer)
    # What reaches an output in another way as well also classifies, so it is no gate alone.
    direct = frozenset().union(*(walk.direct.get(blob, frozenset()) for blob in net.outputs))
    for layer in sorted(
        walk.gates.keys() - walk.sizes.keys() - direct, key=lambda gate: gate.index
    ):
        # In file order, so that the InnerProducts before this one have been decided.
        before = walk.sources[layer] & walk.gates.keys()
        of_cells = any(walk.has_cells(bottom) for bottom in layer.bottoms)
        if not of_cells and before and before <= walk.sizes.keys() | result.products.keys():
            result.products[layer] = walk.gates[layer]
    return result


def unknown_poolings(net: NetDefinition, shapes: Shapes) -> list[Refusal]:
    """The global poolings over a map of unknown size, and why."""
    return [
        Refusal(layer.name, f"the shape of its bottom {bottom!r} is not known", cause=why)
        for layer in net.layers
        if types.is_a(layer, types.POOLING) and _says_global(layer)
        for bottom, why in ((layer.bottoms[0], shapes.unknown.get(layer.bottoms[0])),)
        if why
    ]


class _PoolingWalk:
    """One pass over the layers.

    sizes: global pooling -> (H, W) that it pools. gates: poolings and InnerProduct layers whose
    numbers go back into a map -> the first layer that puts them there. sources: of these, the
    poolings and InnerProduct layers before them. derived: blob -> those that it depends on; direct:
    the same, without what it depends on as on a gate only.
    """

    def __init__(self, shapes: Shapes, sliding: bool) -> None:
        self.shapes, self.sliding = shapes, sliding
        self.sizes: dict[Layer, tuple[int, int]] = {}
        self.gates: dict[Layer, Layer] = {}
        self.sources: dict[Layer, frozenset[Layer]] = {}
        self.derived: dict[str, frozenset[Layer]] = {}
        self.direct: dict[str, frozenset[Layer]] = {}

    def step(self, layer: Layer) -> None:
        joined, direct = (self._union(known, layer) for known in (self.derived, self.direct))
        for bottom in layer.bottoms:
            if self.has_cells(bottom):
                # What this map does not depend on itself reaches it as a gate.
                gating = joined - self.derived.get(bottom, frozenset())
                # A map depends on its gate, but not in the way that makes a global pooling final.
                direct -= gating
                for source in gating:
                    self.gates.setdefault(source, layer)
        self.sources[layer] = joined
        size = pooled_size(layer, self.shapes.blobs, sliding=self.sliding)
        if size is not None:
            self.sizes[layer] = size
        if size is not None or types.is_a(layer, types.INNER_PRODUCT):
            joined, direct = joined | {layer}, direct | {layer}
        for top in layer.tops:
            self.derived[top], self.direct[top] = joined, direct

    def _union(self, known: Mapping[str, frozenset[Layer]], layer: Layer) -> frozenset[Layer]:
        return frozenset().union(*(known.get(bottom, frozenset()) for bottom in layer.bottoms))

    def has_cells(self, blob: str) -> bool:
        """Whether the blob is a map of several cells, or not known to be none."""
        shape = self.shapes.blobs.get(blob)
        return shape is None or (len(shape) == 4 and shape[2:] != (1, 1))


def pooled_size(
    layer: Layer, blobs: Mapping[str, Shape], *, sliding: bool = False
) -> tuple[int, int] | None:
    """(H, W) of the map that a global pooling pools; None for any other layer.

    Poolings whose window and stride are the whole map count, and the mean over a map that a
    Reduction gives; `sliding`: those with such a window and a smaller stride, too.
    """
    shape = blobs.get(layer.bottoms[0], ()) if layer.bottoms else ()
    if len(shape) != 4 or 0 in shape:
        return None
    if types.is_a(layer, types.POOLING):
        whole = _pools_all(layer, shape, sliding)
    else:
        whole = types.is_a(layer, types.REDUCTION) and types.map_mean(layer, shape)
    return (shape[2], shape[3]) if whole else None


def _says_global(layer: Layer) -> bool:
    return layer.param("pooling_param").boolean("global_pooling", False)


def _pools_all(layer: Layer, shape: Shape, sliding: bool) -> bool:
    """Whether a Pooling looks at its whole bottom, and would not slide over a larger one.

    A window of the map's size that slides on by one cell is what a global pooling becomes.
    """
    if _says_global(layer):
        return True
    window, size = pool_window(layer, shape[2:]), shape[2:]
    # `size * 2` is (H, W, H, W): kernel and stride are each compared with the map.
    steps = size if sliding else window.stride
    covers = all(a >= b for a, b in zip((*window.kernel, *steps), size * 2, strict=True))
    slides = not sliding and window.kernel == size and window.stride == (1, 1)
    # Padded, an AVE divides by the padding too; a second top has places in this map, not numbers
    # (pooling_layer.cpp).
    return covers and not slides and not any(window.pad) and len(layer.tops) == 1
