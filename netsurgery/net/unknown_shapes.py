"""Where it begins that shapes are not known: an unread input, a data layer, an unknown type."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from netsurgery.net import types
from netsurgery.net.net import Layer, Net
from netsurgery.net.shapes import Shapes

__all__ = ["unknown_sources"]


def unknown_sources(net: Net, shapes: Shapes, layers: Iterable[Layer]) -> Mapping[str, str]:
    """Blob -> whose it is: where it begins that the shapes of these layers are not known.

    Each once, in file order of the layers, however many of them wait for it.
    """
    found: dict[str, str] = {}
    for layer in layers:
        for blob, source in _sources(net, shapes, layer):
            whose = "input" if source is None else f"layer {source.name!r} ({source.type})"
            found.setdefault(blob, whose)
    return found


def _sources(net: Net, shapes: Shapes, layer: Layer) -> Iterator[tuple[str, Layer | None]]:
    """Each blob before `layer` of an unknown shape of its own, with the layer that makes it."""
    seen: set[tuple[int, str]] = set()
    waiting = [(layer, bottom) for bottom in layer.bottoms if bottom in shapes.unknown]
    while waiting:
        reader, blob = waiting.pop()
        maker = net.producer(reader, blob)
        if (reader.index, blob) in seen:
            continue
        seen.add((reader.index, blob))
        if maker is None or types.is_input(maker):
            yield blob, None
        elif blob in shapes.origins and blob not in shapes.faults:
            yield blob, maker
        else:
            waiting += [(maker, each) for each in maker.bottoms if each in shapes.unknown]
