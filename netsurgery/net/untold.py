"""Blobs whose shapes no prototxt tells, such as a Data layer's tops, and shapes given for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from netsurgery.errors import NetError
from netsurgery.net.net import Layer, Net
from netsurgery.net.shapes import Shapes, rule_of

__all__ = ["check_given", "givable", "untold_sources"]


def givable(net: Net) -> tuple[str, ...]:
    """The inputs of `net`, and the tops of layers whose shapes no rule tells."""
    tops = [top for layer in net.layers if _without_rule(layer) for top in layer.tops]
    return tuple(dict.fromkeys([*(one.name for one in net.inputs), *tops]))


def check_given(net: Net, given: Iterable[str]) -> None:
    """Raise NetError where a shape is given for a blob that is none of `givable`."""
    known = givable(net)
    for blob in given:
        if blob not in known:
            told = ", ".join(map(repr, known)) or "none"
            raise NetError(
                f"{net.prototxt.path}: a shape is given for {blob!r}, expected an input or a top "
                f"whose shape the net does not tell: {told}{net.stage_hint}"
            )


def untold_sources(net: Net, shapes: Shapes, layers: Iterable[Layer]) -> Mapping[str, str]:
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
    """Each blob before `layer` that no rule tells, with the layer that makes it."""
    seen: set[tuple[int, str]] = set()
    waiting = [(layer, bottom) for bottom in layer.bottoms if bottom in shapes.unknown]
    while waiting:
        reader, blob = waiting.pop()
        maker = net.producer(reader, blob)
        if (reader.index, blob) in seen:
            continue
        seen.add((reader.index, blob))
        if maker is None or maker.type == "Input":
            yield blob, None
        elif _without_rule(maker):
            yield blob, maker
        else:
            waiting += [(maker, each) for each in maker.bottoms if each in shapes.unknown]


def _without_rule(layer: Layer) -> bool:
    return layer.type != "Input" and rule_of(layer.type) is None
