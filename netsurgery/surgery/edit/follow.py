"""Which channels of which blobs have to go when some of one layer's outputs go.

A cut of a blob is carried to every layer that reads the blob, and back to the one that makes it;
the rules of `paths` lead on to the layer's other blobs, until nothing changes any more. A layer
with weights ends the path: it gives, or reads, as many channels as remain. A blob that is reached
by two paths keeps what both keep.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from netsurgery.errors import NetError, PrototxtError
from netsurgery.net.net import Layer, NetDefinition, Shape
from netsurgery.surgery.edit.cuts import Cut
from netsurgery.surgery.edit.layer_text import other_phases_read
from netsurgery.surgery.edit.session import EditSession, refusal

__all__ = ["APPROXIMATE", "BlobChannels", "Follower", "Wiring"]

#: What an operation ends with to pass layers that normalize across channels.
APPROXIMATE = ":normalization=approximate"


class BlobChannels(NamedTuple):
    """A blob as one layer leaves it: layers that work in place leave others of the same name.

    layer: the index of the one that makes it, -1 for an input of the net.
    """

    layer: int
    name: str


class Wiring(NamedTuple):
    """Which blob, of several of one name, each layer reads and makes."""

    bottoms: dict[int, tuple[BlobChannels, ...]]
    tops: dict[int, tuple[BlobChannels, ...]]
    readers: dict[BlobChannels, tuple[Layer, ...]]

    @classmethod
    def of(cls, net: NetDefinition) -> Wiring:
        """The wiring of `net`."""
        now = {each.name: BlobChannels(-1, each.name) for each in net.inputs}
        bottoms, tops = {}, {}
        readers: dict[BlobChannels, tuple[Layer, ...]] = {}
        for layer in net.layers:
            bottoms[layer.index] = tuple(now[name] for name in layer.bottoms)
            for blob in dict.fromkeys(bottoms[layer.index]):
                readers[blob] = (*readers.get(blob, ()), layer)
            tops[layer.index] = tuple(BlobChannels(layer.index, name) for name in layer.tops)
            # After the bottoms: in place, a layer reads the blob as it was before it.
            now.update({blob.name: blob for blob in tops[layer.index]})
        return cls(bottoms, tops, readers)


class Follower:
    """Carries cuts through a net; `cuts` is the cut of every blob reached so far.

    normalizing: the layers passed whose numbers change, since they normalize across channels.
    """

    def __init__(self, work: EditSession, seed: Layer, *, approximate: bool = False) -> None:
        """seed: the layer whose channels are named; errors name it. Nothing is changed.

        approximate: whether layers that normalize across channels may be passed.
        """
        self.work, self.seed, self.approximate = work, seed, approximate
        self.normalizing: dict[str, None] = {}
        self.wiring = Wiring.of(work.net)
        self.cuts: dict[BlobChannels, Cut] = {}
        self._layers = {layer.index: layer for layer in work.net.layers}
        self._inputs = {each.name for each in work.net.inputs}
        self._queue: deque[Layer] = deque()

    def follow(self, cut: Cut) -> None:
        """Carry a cut of the seed's first top as far as it leads. Raises SurgeryError."""
        from netsurgery.surgery.edit.paths import relate

        top = self.tops(self.seed)[0]
        self.put(top, cut, self.seed)
        while self._queue:
            relate(self, self._queue.popleft())
        if self.cuts[top].rows != cut.rows:
            gone = sorted(set(cut.rows) - set(self.cuts[top].rows))
            named = ", ".join(map(str, gone[:8])) + (" ..." if len(gone) > 8 else "")
            raise refusal(
                self.seed.name,
                f"its channels {named} are joined with others that would go; name these too",
            )

    def put(self, blob: BlobChannels, cut: Cut, layer: Layer) -> None:
        """Cut `blob`, as `layer` asks. Raises SurgeryError where that cannot be."""
        before = self.cuts.get(blob)
        after = cut if before is None else before.met(cut)
        if after is None:
            raise self.refusal(
                layer, f"reaches {blob.name!r} on another way, with other channels or another order"
            )
        # All channels in their order ask nothing of anyone, unless their numbers are others now.
        if after == before or (before is None and after.same and not after.compared):
            return
        if not after.rows and after.axis >= 0:
            raise self.refusal(layer, f"is left without any channel of {blob.name!r}")
        self.cuts[blob] = after
        self._enqueue(blob, layer)

    def _enqueue(self, blob: BlobChannels, layer: Layer) -> None:
        source = self._layers.get(blob.layer)
        # An input is a field of the net, which no layer makes, or the top of an Input layer.
        if source is None or (not source.bottoms and blob.name in self._inputs):
            raise self.refusal(layer, f"would cut {blob.name!r}, an input of the net")
        if reader := other_phases_read(self.work.net, blob.name):
            raise refusal(
                self.seed.name,
                f"layer {reader!r} of another phase or stage names "
                + (f"its top {blob.name!r}" if blob.layer == self.seed.index else repr(blob.name)),
            )
        # A cut only ever loses channels, so the queue runs empty.
        self._queue += (source, *self.wiring.readers.get(blob, ()))

    def bottoms(self, layer: Layer) -> tuple[BlobChannels, ...]:
        """The blobs that it reads."""
        return self.wiring.bottoms[layer.index]

    def tops(self, layer: Layer) -> tuple[BlobChannels, ...]:
        """The blobs that it makes."""
        return self.wiring.tops[layer.index]

    def shape(self, blob: BlobChannels, layer: Layer) -> Shape:
        """The blob's shape before anything is cut. Raises SurgeryError where it is not known."""
        try:
            return self.work.shapes.of(blob.name)
        except (NetError, PrototxtError) as error:
            raise self.refusal(layer, f"cannot be followed: {error}") from None

    def refusal(self, layer: Layer, reason: str) -> Exception:
        """The error to raise: the seed's channels cannot be changed because `layer` `reason`."""
        if layer is self.seed:
            return refusal(layer.name, f"it ({layer.type}) {reason}")
        return refusal(self.seed.name, f"layer {layer.name!r} ({layer.type}) {reason}")
