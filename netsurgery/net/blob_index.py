"""Which layers write and which read each blob: an index over a net, made in one pass.

A blob of one name is several things in turn where layers work in place: what the first layer
writes is read up to the next that writes it. The readers of each of these versions are a tuple
that is made once, however many ask for it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

from netsurgery.net.layer import Layer

__all__ = ["BlobIndex"]


class _Versions:
    """One blob's writers in file order, and the readers after each and before the first."""

    def __init__(self) -> None:
        self.writers: list[Layer] = []
        self.places: list[int] = []  # the writers' indices
        self.readers: list[list[Layer]] = [[]]

    def write(self, layer: Layer) -> None:
        self.writers.append(layer)
        self.places.append(layer.index)
        self.readers.append([])


class BlobIndex:
    """The writers and readers of the blobs of `layers`, which are in file order."""

    def __init__(self, layers: Iterable[Layer]) -> None:
        versions: dict[str, _Versions] = {}
        for layer in layers:
            # Bottoms first: a layer in place reads the version before its own. One that reads a
            # blob twice (an Eltwise of x and x) is one reader of it.
            for bottom in dict.fromkeys(layer.bottoms):
                versions.setdefault(bottom, _Versions()).readers[-1].append(layer)
            for top in dict.fromkeys(layer.tops):
                versions.setdefault(top, _Versions()).write(layer)
        self._blobs = {
            blob: (entry.places, entry.writers, [tuple(readers) for readers in entry.readers])
            for blob, entry in versions.items()
        }

    def producer(self, index: int, blob: str) -> Layer | None:
        """The layer that writes `blob` last before the layer of this index; None for none."""
        places, writers, _ = self._blobs.get(blob, _UNKNOWN)
        # Strictly before: a layer in place reads what the writer before it left.
        before = bisect_left(places, index)
        return writers[before - 1] if before else None

    def readers(self, index: int, blob: str) -> tuple[Layer, ...]:
        """The layers that read `blob` after the layer of this index, up to its next writer."""
        places, _, readers = self._blobs.get(blob, _UNKNOWN)
        layers = readers[bisect_right(places, index)]
        if layers and layers[0].index <= index:  # it does not write the blob itself
            layers = layers[bisect_right(layers, index, key=lambda layer: layer.index) :]
        return layers

    def last_writer(self, blob: str) -> Layer | None:
        """The layer that leaves `blob` as it is in the end; None for none."""
        _, writers, _ = self._blobs.get(blob, _UNKNOWN)
        return writers[-1] if writers else None


_UNKNOWN: tuple[list[int], list[Layer], list[tuple[Layer, ...]]] = ([], [], [()])
