"""InnerProducts over several maps of different sizes, flattened and joined (DeepID).

No one window slides over such maps together. But the weight's columns fall into those of each
map, and the InnerProduct is the sum of one over each: a Convolution for every branch, and their
sum, where the maps move alike with the input.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import lcm
from typing import NamedTuple

from netsurgery.net import types
from netsurgery.net.field import fields
from netsurgery.net.net import Layer, NetDefinition
from netsurgery.net.order import Orders, as_map, count
from netsurgery.net.shapes import Shapes
from netsurgery.net.types.axes import cut_axis
from netsurgery.net.types.record import Space, Values
from netsurgery.surgery.convolution.analysis import Analysis, Branch, Split
from netsurgery.surgery.convolution.removal import Removal
from netsurgery.surgery.convolution.text import is_simple
from netsurgery.surgery.plan import Refusal

__all__ = ["Joined", "Joins", "on_one_grid"]


class Joined(NamedTuple):
    """A Concat of flattened maps of different sizes, or of other such Concats.

    branches: of its bottoms, in order. layers: the Concats; flattens: what has to go with them.
    behind: a converted InnerProduct made one of the maps.
    """

    layer: Layer
    branches: tuple[Branch, ...]
    layers: frozenset[Layer]
    flattens: frozenset[Layer]
    behind: bool


class Joins:
    """The blobs of a net that are such Concats, as the walk comes by them."""

    def __init__(
        self,
        net: NetDefinition,
        shapes: Shapes,
        orders: Orders,
        analysis: Analysis,
        removal: Removal,
    ) -> None:
        self.net, self.shapes, self.orders = net, shapes, orders
        self.analysis, self.removal = analysis, removal
        self.known: dict[str, Joined] = {}
        #: the blobs of those that a converted InnerProduct reads.
        self.read: set[str] = set()

    def note(self, layer: Layer) -> bool:
        """Take note of a Concat whose bottoms are maps of different sizes; whether it is one."""
        concat = types.space(layer) is Space.JOINING and types.values(layer) is Values.MOVED
        shapes = [self.shapes.blobs.get(bottom, ()) for bottom in layer.bottoms]
        if (
            not concat
            # Of four axes Caffe itself refuses maps of different sizes (concat_layer.cpp).
            or any(len(shape) != 2 for shape in shapes)
            or cut_axis(layer, shapes[0]) != 1
        ):
            return False
        parts = [self._part(bottom) for bottom in layer.bottoms]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return False
        branches = [branch for part in known for branch in part.branches]
        # Maps of one size join into one map, which the walk follows without a split.
        if len({branch.kernel for branch in branches}) == 1:
            return False
        self.known[layer.tops[0]] = Joined(
            layer,
            tuple(branches),
            frozenset({layer}).union(*(part.layers for part in known)),
            frozenset().union(*(part.flattens for part in known)),
            any(part.behind for part in known),
        )
        # A Concat of Concats reads the inner ones, so they do not count as unread in `finish`.
        for bottom in layer.bottoms:
            self.read.add(bottom)
        return True

    def _part(self, bottom: str) -> Joined | None:
        if bottom in self.known:
            return self.known[bottom]
        flat, order = (
            self.analysis.flat.get(bottom),
            self.orders.known.get(bottom, ()),
        )
        if flat is None or as_map(order) is None:
            return None
        branch = Branch(bottom, flat.kernel, order)
        none: frozenset[Layer] = frozenset()
        # A single map has no Concat; nobody asks for the layer of a part.
        return Joined(self.net.layers[0], (branch,), none, flat.flattens, flat.behind)

    def leave(self, blob: str, reader: Layer | None) -> tuple[Layer, str]:
        """`reader`, or nobody, reads the blob so that its Concat has to stay; it, and why."""
        joined, reason = self.known.pop(blob), "it joins maps of different sizes"
        if reader is not None:
            reason += f", and layer {reader.name!r} reads them joined"
        # A Flatten can be kept for the reader; what a converted InnerProduct makes stays a map.
        if joined.behind:
            self.analysis.refusals.append(Refusal(joined.layer.name, reason))
        else:
            gone = joined.layers | joined.flattens
            self.removal.pin(gone, Refusal(joined.layer.name, reason))
        return joined.layer, reason

    def split(self, layer: Layer) -> Refusal | None:
        """Split the InnerProduct `layer` by the columns of each map; or why it cannot be."""
        (blob,) = layer.bottoms
        joined = self.known[blob]
        if not is_simple(layer.message):
            return Refusal(layer.name, "its params' fields are written as lists")
        # Each branch gets its own columns of the weight; a sharer would still need all of them.
        if any(layer.param_names):
            why = "its params are shared by name, and split it has others"
            return Refusal(layer.name, why)
        # The text has all states in one file: removing a Concat here would break the others.
        reader = self._of_another_state(joined)
        if reader:
            return Refusal(
                layer.name, f"layer {reader!r}, of another phase or stage, reads {blob!r}"
            )
        # The Concat copied the maps; without it an in-place layer would change what is read later.
        spoiler = self._spoiler(joined, layer)
        if spoiler is not None:
            why = f"layer {spoiler.name!r} works in place on a map that it reads as it was before"
            return Refusal(layer.name, why)
        start, branches = 0, []
        for branch in joined.branches:
            branches.append(branch._replace(first=start))
            start += count(branch.columns)
        self.read.add(blob)
        self.removal.need(joined.layers | joined.flattens)
        self.analysis.splits.append(Split(layer, tuple(branches), joined.layers))
        return None

    def _of_another_state(self, joined: Joined) -> str:
        """A layer that this net does not include, and that reads what would be gone."""
        blobs = {top for concat in joined.layers for top in concat.tops}
        included = {id(layer.message) for layer in self.net.layers}
        return next(
            (
                message.string("name")
                for message in self.net.prototxt.layers
                if id(message) not in included
                for bottom in message.scalars("bottom")
                if bottom.as_string() in blobs
            ),
            "",
        )

    def _spoiler(self, joined: Joined, layer: Layer) -> Layer | None:
        """A layer that works in place on a branch's map between the Concat and `layer`."""
        blobs = {branch.bottom for branch in joined.branches}
        blobs |= {b for gone in joined.flattens for b in (*gone.bottoms, *gone.tops)}
        first = min(concat.index for concat in joined.layers)
        return next(
            (
                between
                for between in self.net.layers
                if first < between.index < layer.index
                and not blobs.isdisjoint(between.tops)
                and not blobs.isdisjoint(between.bottoms)
                # A Flatten too reads and makes such blobs, and changes no number.
                and between not in joined.flattens
            ),
            None,
        )

    def finish(self) -> None:
        """Those that no converted InnerProduct reads have to stay."""
        for blob in [blob for blob in self.known if blob not in self.read]:
            self.leave(blob, None)


def on_one_grid(
    new_net: NetDefinition, split: Split, renames: Mapping[str, str]
) -> Split | Refusal:
    """The strides at which the branches of `split` move alike; or why there are none.

    new_net: with strides of 1. renames: the old net's blobs -> the new one's.
    """
    known, name = fields(new_net), split.layer.name
    strides = []
    for branch in split.branches:
        field = known.get(renames.get(branch.bottom, branch.bottom))
        # Stride 0: all cells look at one place, and lie on no grid.
        if field is None or 0 in field.stride:
            why = f"the total stride of {branch.bottom!r} is not known"
            return Refusal(name, f"{why}, so its maps cannot be brought to one grid")
        strides.append(field.stride)
    if len({known[renames.get(b.bottom, b.bottom)].input for b in split.branches}) > 1:
        return Refusal(name, "its maps come from different inputs, so they lie on no one grid")
    steps = []
    for axis in range(2):
        each = [stride[axis] for stride in strides]
        # Strides are fractions after a Deconvolution: scaled to whole numbers before their
        # multiple.
        whole = lcm(*(step.denominator for step in each))
        grid = lcm(*(int(step * whole) for step in each))
        # Only where all strides meet does each map have a cell: a branch skips those between.
        steps.append([grid // int(step * whole) for step in each])
    both = zip(split.branches, zip(*steps, strict=True), strict=True)
    return split._replace(branches=tuple(branch._replace(stride=(h, w)) for branch, (h, w) in both))
