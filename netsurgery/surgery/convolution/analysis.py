"""Which layers of a net change when its InnerProduct layers become Convolution layers, and how.

`walk` walks the net once, in file order; here is what it comes to. A blob of two axes, N x K, is
*loose* when it can be had as a map: behind an InnerProduct that is converted it becomes
N x K x h x w; behind a Flatten (or a Reshape that does the same) of an N x C x H x W map it is that
map, once the flattening is taken out. What reads a loose blob must do to each position what it did
to the one vector.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from netsurgery.net.net import Layer
from netsurgery.net.order import Order
from netsurgery.net.shuffle import Shuffle
from netsurgery.surgery.plan import Refusal

__all__ = ["Analysis", "ConvertedLayer", "FlattenedMap"]


@dataclass(frozen=True)
class ConvertedLayer:
    """A layer that gets a kernel (H, W): an InnerProduct, or a global Pooling made a window.

    columns: the order of an InnerProduct's columns where that is not C, H, W.
    """

    layer: Layer
    kernel: tuple[int, int]
    columns: Order | None = None


@dataclass(frozen=True)
class FlattenedMap:
    """How a blob of two axes, or one whose axes are permuted, can be had as a map.

    kernel: height and width of that map at the net's original size. flattenings: the layers that
    have to be taken out for it, or changed. behind: a converted InnerProduct made it.
    """

    kernel: tuple[int, int] = (1, 1)
    flattenings: frozenset[Layer] = frozenset()
    behind: bool = True


@dataclass(frozen=True)
class Branch:
    """One of the maps that a split InnerProduct looks at.

    bottom: the blob that holds it, flattened. kernel: its height and width. columns: the order of
    its columns, the first of which is `first`. stride: of the Convolution over it.
    """

    bottom: str
    kernel: tuple[int, int]
    columns: Order
    first: int = 0
    stride: tuple[int, int] = (1, 1)


@dataclass(frozen=True)
class Split:
    """An InnerProduct over several maps of different sizes, and the Concats that join them."""

    layer: Layer
    branches: tuple[Branch, ...]
    concats: frozenset[Layer]


@dataclass
class Analysis:
    """What the walk found.

    casts: the InnerProduct layers, with their kernels. splits: those that become several. windows:
    the global Pooling layers to make windows. flattenings: the layers to take out. argmaxes: the
    ArgMax layers to be given axis 1.
    shuffles: the channel shuffles to be written for maps of any size.
    loose: the blobs of two axes that become maps. roots: blob -> the inputs it depends on.
    gates: global Pooling layers that stay, as what they pool goes back into the map; products:
    the InnerProduct layers that do nothing but make such a gate, and the layer that reads it.
    averaged: the Reduction layers among the global poolings that stay, to be written as Pooling.
    """

    casts: list[ConvertedLayer] = field(default_factory=list)
    splits: list[Split] = field(default_factory=list)
    windows: list[ConvertedLayer] = field(default_factory=list)
    flattenings: list[Layer] = field(default_factory=list)
    argmaxes: list[Layer] = field(default_factory=list)
    shuffles: list[Shuffle] = field(default_factory=list)
    behind: list[Layer] = field(default_factory=list)
    loose: dict[str, FlattenedMap] = field(default_factory=dict)
    roots: dict[str, frozenset[str]] = field(default_factory=dict)
    gates: list[Layer] = field(default_factory=list)
    products: dict[Layer, Layer] = field(default_factory=dict)
    averaged: list[Layer] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)

    @property
    def changed(self) -> list[Layer]:
        """The layers that get a kernel."""
        made = [cast.layer for cast in (*self.casts, *self.windows)]
        return [*made, *(split.layer for split in self.splits)]
