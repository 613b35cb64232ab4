"""The graph of a net: which layers share a box, and what is said of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from netsurgery.diagram.graph import (
    BoxRole,
    Changed,
    DrawnBox,
    DrawnLayer,
    Edge,
    Mark,
    NetGraph,
    chains,
)
from netsurgery.diagram.kinds import Kind, kind_of
from netsurgery.errors import PrototxtError
from netsurgery.io.shape_text import shape_text, sides_text
from netsurgery.net import types
from netsurgery.net.layer import Layer, Shape
from netsurgery.net.layer_table import LayerSummary
from netsurgery.net.net import NetDefinition
from netsurgery.net.shapes import Shapes
from netsurgery.net.types.record import Space, WindowRule

__all__ = ["build_graph"]


def build_graph(
    net: NetDefinition,
    summaries: Sequence[LayerSummary],
    shapes: Shapes,
    changes: Mapping[str, Changed] | None = None,
) -> NetGraph:
    """The graph of a net's layers.

    summaries: one for each layer, as `summarize` makes them. changes: layer -> how it differs from
    another net's.
    """
    builder = _Builder(net, shapes, changes or {})
    tops = {top for layer in net.layers for top in layer.new_tops}
    for declared in net.inputs:
        if declared.name not in tops:
            builder.add_input(declared.name)
    for layer, summary in zip(net.layers, summaries, strict=True):
        builder.add(layer, summary)
    for blob in net.outputs:
        builder.add_output(blob)
    return NetGraph(net.name, tuple(builder.boxes), tuple(builder.edges))


@dataclass
class _Builder:
    net: NetDefinition
    shapes: Shapes
    changes: Mapping[str, Changed]
    boxes: list[DrawnBox] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    #: Blob -> the key of the box that made it, and the layer, None for an input of the net.
    makers: dict[str, tuple[int, Layer | None]] = field(default_factory=dict)

    def add_input(self, blob: str) -> None:
        """A box for an input that no layer makes."""
        self.makers[blob] = self._new(BoxRole.INPUT, blob), None

    def add_output(self, blob: str) -> None:
        """A box for a blob that no layer reads, unless it is an input."""
        key, layer = self.makers[blob]
        if layer is not None:
            self._edge(key, self._new(BoxRole.OUTPUT, blob), blob)

    def add(self, layer: Layer, summary: LayerSummary) -> None:
        """The layer, in the box of the one before it or in a new one, with the edges to it."""
        drawn = self._drawn(layer, summary)
        key, previous = self.makers.get(layer.bottoms[0], (0, None)) if layer.bottoms else (0, None)
        if previous and chains(previous, layer, self.net.readers(previous, layer.bottoms[0])):
            box = self.boxes[key]
            self.boxes[key] = replace(box, layers=(*box.layers, drawn), field=_field(summary))
        else:
            key = self._new(BoxRole.LAYERS)
            self.boxes[key] = replace(self.boxes[key], layers=(drawn,), field=_field(summary))
            for blob in layer.bottoms:
                self._edge(self.makers[blob][0], key, blob)
        self.makers.update(dict.fromkeys(layer.tops, (key, layer)))

    def _new(self, role: BoxRole, name: str = "") -> int:
        self.boxes.append(DrawnBox(len(self.boxes), role, name=name))
        return len(self.boxes) - 1

    def _edge(self, source: int, target: int, blob: str) -> None:
        new = self.boxes[target].mark is Mark.ADDED or self.boxes[source].mark is Mark.ADDED
        shape = self.shapes.blobs.get(blob)
        self.edges.append(Edge(source, target, blob, shape, Mark.ADDED if new else None))

    def _drawn(self, layer: Layer, summary: LayerSummary) -> DrawnLayer:
        place = self.net.prototxt.field_of(layer.message)
        return DrawnLayer(
            name=layer.name,
            type=layer.type,
            kind=kind_of(layer).name,
            detail=", ".join(_details(layer, self.shapes)),
            params=None if summary.params is None else summary.count,
            multiply_adds=summary.multiply_adds,
            line=layer.message.error("").line,
            text=self.net.prototxt.text[place.start : place.end],
            changed=self.changes.get(layer.name),
        )


def _field(summary: LayerSummary) -> str:
    """Size and stride of the first top's field, "" where there is none."""
    seen = next(iter(summary.fields), None)
    if seen is None:
        return ""
    size = "whole input" if seen.whole else shape_text(seen.size)
    return f"field {size}, stride {shape_text(seen.stride)}"


def _details(layer: Layer, shapes: Shapes) -> Iterator[str]:
    """Its window, its groups, and its settings that are words, as the prototxt writes them."""
    record = types.of(layer)
    if record is None or record.message is None:
        return
    message = layer.param(record.message)
    bottom = shapes.blobs.get(layer.bottoms[0], ()) if layer.bottoms else ()
    if kind_of(layer) in (Kind.CONVOLUTION, Kind.POOLING) and record.window:
        yield from _window(layer, record.window, bottom)
        group = message.integer("group", 1)
        if group > 1:
            yield f"group {group}"
    for setting in message.fields:
        scalar = setting.value
        text = getattr(scalar, "text", "")
        # A bool is a word too, and an engine computes the same as another.
        named = getattr(scalar, "kind", "") == "word" and text.isupper()
        if named and setting.name != "engine":
            yield text.lower()


def _window(layer: Layer, rule: WindowRule, bottom: Shape) -> Iterator[str]:
    """Kernel, stride, pad and dilation; the last three where they are not the usual ones."""
    # Where the shape is not known, the window of two axes is most often the layer's.
    size = bottom[2:] or (0, 0)
    try:
        window = rule(layer, size)
    except PrototxtError:
        return
    whole = types.space(layer) is Space.WHOLE and window.kernel == size
    kernel = shape_text(window.kernel) if any(window.kernel) else ""
    yield f"{kernel} (whole map)" if whole and kernel else kernel or "whole map"
    for name, numbers, usual in (
        ("stride", window.stride, 1),
        ("pad", window.pad, 0),
        ("dilation", window.dilation, 1),
    ):
        if set(numbers) != {usual}:
            yield f"{name} {sides_text(numbers)}"
