"""Which layers of a net change when its InnerProduct layers become Convolution layers, and how.

`walk` walks the net once, in file order; here is what it comes to. A blob of two axes, N x K, is
*flat* when a map can take its place: after an InnerProduct that is converted it becomes
N x K x h x w; after a Flatten (or a Reshape that does the same) of an N x C x H x W map it is that
map, once the Flatten is removed. What reads a flat blob must do to each position what it did
to the one vector.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from netsurgery.net.net import Layer
from netsurgery.net.order import Order
from netsurgery.net.shuffle import Shuffle
from netsurgery.surgery.plan import Refusal

__all__ = ["Analysis", "ConvertedLayer", "FlattenedMap"]


class ConvertedLayer(NamedTuple):
    """A layer that gets a kernel (H, W): an InnerProduct, or a global Pooling made a window.

    columns: the order of an InnerProduct's columns where that is not C, H, W.
    """

    layer: Layer
    kernel: tuple[int, int]
    columns: Order | None = None


class FlattenedMap(NamedTuple):
    """A blob of two axes, or with permuted axes, whose place a map can take.

    kernel: height and width of that map at the net's original size. flattens: the layers to
    remove or to change for it. behind: whether a converted InnerProduct makes it.
    """

    # By default what a converted InnerProduct makes: one cell at the original size.
    kernel: tuple[int, int] = (1, 1)
    flattens: frozenset[Layer] = frozenset()
    behind: bool = True


class Branch(NamedTuple):
    """One of the maps that a split InnerProduct looks at.

    bottom: the blob that holds it, flattened. kernel: its height and width. columns: the order of
    its columns, the first of which is `first`. stride: of the Convolution over it.
    """

    bottom: str
    kernel: tuple[int, int]
    columns: Order
    first: int = 0
    stride: tuple[int, int] = (1, 1)


class Split(NamedTuple):
    """An InnerProduct over several maps of different sizes, and the Concats that join them."""

    layer: Layer
    branches: tuple[Branch, ...]
    concats: frozenset[Layer]


@dataclass
class Analysis:
    """What the walk found.

    converted: the InnerProduct layers, with their kernels. splits: those that become several.
    windows: the global Pooling layers that become windows. removed_flattens: the layers to remove.
    argmaxes: the ArgMax layers that get axis 1.
    shuffles: the channel shuffles to be written for maps of any size.
    flat: the blobs of two axes that become maps. roots: blob -> the inputs it depends on.
    gates: global Pooling layers that stay, as what they pool goes back into the map; products:
    the InnerProduct layers that do nothing but make such a gate, and the layer that reads it.
    averaged: the Reduction layers among the global poolings that stay, to be written as Pooling.
    """

    converted: list[ConvertedLayer] = field(default_factory=list)
    splits: list[Split] = field(default_factory=list)
    windows: list[ConvertedLayer] = field(default_factory=list)
    removed_flattens: list[Layer] = field(default_factory=list)
    argmaxes: list[Layer] = field(default_factory=list)
    shuffles: list[Shuffle] = field(default_factory=list)
    #: the layers that read flat blobs, whose axis -1 is no longer the channels' in a map.
    behind: list[Layer] = field(default_factory=list)
    flat: dict[str, FlattenedMap] = field(default_factory=dict)
    roots: dict[str, frozenset[str]] = field(default_factory=dict)
    gates: list[Layer] = field(default_factory=list)
    products: dict[Layer, Layer] = field(default_factory=dict)
    averaged: list[Layer] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)

    @property
    def changed(self) -> list[Layer]:
        """The layers that get a kernel."""
        return [*self.renamed, *(each.layer for each in self.windows)]

    @property
    def renamed(self) -> list[Layer]:
        """The layers that get another name, and whose params do."""
        whole = (each.layer for each in self.converted)
        return [*whole, *(split.layer for split in self.splits)]
