"""What `draw` returns: the drawing, in every form, and what is in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from netsurgery.diagram.graph import DrawnLayer, Edge, Mark, NetGraph
from netsurgery.io.argument_types import checks_arguments
from netsurgery.io.files import Outputs
from netsurgery.io.short_repr import ShortRepr
from netsurgery.io.targets import STDOUT, wrote
from netsurgery.io.terminal import print_text
from netsurgery.io.wording import counted
from netsurgery.net.state import NetState
from netsurgery.open_net.arguments import AnyPath
from netsurgery.verbs.default_names import default_drawing

if TYPE_CHECKING:
    from netsurgery.diagram.format_names import FormatName
    from netsurgery.diagram.formats import Format

__all__ = ["NetDrawing"]


@dataclass(eq=False, repr=False)
class NetDrawing(ShortRepr):
    """A net as a picture.

    graph: what is drawn. prototxt, weights: the files; None for an open net's weights. compared:
    the net that changes are marked against, None for none. notes: about how the net was read, which
    shapes are not known, and how the weights do not fit. written: the file written last, None for
    none.

    >>> import netsurgery as ns
    >>> drawing = ns.draw("prototxt/digits_deploy.prototxt")
    >>> print(drawing)
    Digits: 15 layers in 11 boxes, 10 edges
    >>> drawing.svg()[:4], drawing.html()[:15], drawing.png()[1:4]
    ('<svg', '<!DOCTYPE html>', b'PNG')
    >>> drawing.dot()[:18], drawing.mermaid().split()[4:6]
    ('digraph "Digits" {', ['flowchart', 'TD'])
    >>> drawing.rendered_for("digits.dot") == drawing.dot().encode(), drawing.notes
    (True, ())
    >>> drawing.save("digits.png")
    ('digits.png',)
    """

    graph: NetGraph
    prototxt: str
    weights: str | None
    state: NetState
    compared: str | None = None
    notes: tuple[str, ...] = ()
    written: str | None = None

    def svg(self) -> str:
        """The drawing as SVG: light, and dark where the reader prefers that."""
        return self._rendered("svg").decode()

    def html(self) -> str:
        """As a page that needs nothing else, to zoom, to search, and to read the prototxt."""
        return self._rendered("html").decode()

    def mermaid(self) -> str:
        """As a Mermaid flowchart."""
        return self._rendered("mermaid").decode()

    def dot(self) -> str:
        """As a digraph in Graphviz's language."""
        return self._rendered("dot").decode()

    def png(self) -> bytes:
        """As the bytes of a PNG file. Raises MemoryLimitError for one that is too large."""
        return self._rendered("png")

    def _rendered(self, name: str) -> bytes:
        if name not in self._renderings:
            self._renderings[name] = self._format(name).render(self.graph)
        return self._renderings[name]

    @cached_property
    def _renderings(self) -> dict[str, bytes]:
        return {}

    def _format(self, name: str) -> Format:
        from netsurgery.diagram.formats import format_named

        return format_named(name)

    @checks_arguments()
    def rendered_for(self, output: AnyPath, format: FormatName | None = None) -> bytes:
        """What `save` would write. Raises OutputError for an ending of no form."""
        from netsurgery.diagram.formats import format_of

        if format is None:
            format = "svg" if str(output) == STDOUT else format_of(output).name
        return self._rendered(format)

    @checks_arguments()
    def save(
        self,
        output: AnyPath | None = None,
        *,
        format: FormatName | None = None,
        force: bool = False,
        inputs: Sequence[str] = (),
    ) -> tuple[str, ...]:
        """Write the drawing; returns the files written.

        output: a file, whose ending says the form (.svg, .png, .html, .mmd, .dot), or "-" for
        standard output (default: NET.svg in the current folder). format: "svg", "png", "html",
        "mermaid" or "dot", whatever the ending is.
        force: replace a file that exists. inputs: files that it must not replace, besides the
        net's. Raises OutputError; nothing is written then.
        """
        if output is None:
            output = default_drawing(self.prototxt, self._format(format or "svg").endings[0])
        content = self.rendered_for(output, format)
        binary = format is not None and not self._format(format).text
        if str(output) == STDOUT and not binary:
            print_text(content)
        else:
            own = [path for path in (self.prototxt, self.weights, self.compared) if path]
            inputs = [*own, *inputs]
            with Outputs([output], inputs=inputs, force=force, stdout=True) as outputs:
                outputs[output].write(content)
        self.written = str(output)
        return (self.written,)

    def to_json(self) -> dict[str, Any]:
        """As `netsurgery draw --json` prints it; of a comparison also with what, and the marks."""
        compared = self.compared is not None
        boxes = self.graph.boxes
        return {
            "prototxt": self.prototxt,
            "weights": self.weights,
            **({"compared": self.compared} if compared else {}),
            "name": self.graph.name,
            "phase": self.state.phase,
            "level": self.state.level,
            "stages": list(self.state.stages),
            "layers": [_layer(*each, compared) for each in self.graph.layers_by_box],
            "inputs": [{"blob": box.name, "box": box.key} for box in boxes if box.is_input],
            "outputs": [{"blob": box.name, "box": box.key} for box in boxes if box.is_output],
            "edges": [_edge(edge, compared) for edge in self.graph.edges],
            "groups": [
                {
                    "boxes": list(frame.boxes),
                    "blocks": [
                        [layer.name for box in block for layer in box.layers]
                        for block in frame.blocks
                    ],
                }
                for frame in self.graph.frames
            ],
            "output": self.written,
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        layers, boxes = len(list(self.graph.layers_by_box)), len(self.graph.boxes)
        parts = [f"{counted(layers, 'layer')} in {counted(boxes, 'box')}"]
        edges, frames = len(self.graph.edges), len(self.graph.frames)
        parts.append(counted(edges, "edge"))
        if frames:
            parts.append(f"{counted(frames, 'group')} of repeated blocks")
        for mark in Mark:
            count = sum(
                layer.changed is not None and layer.changed.mark is mark
                for _, layer in self.graph.layers_by_box
            )
            if count:
                parts.append(f"{count} {mark.word}")
        name = f"{self.graph.name}: " if self.graph.name else ""
        written = [self.written] if self.written else []
        return f"{name}{', '.join(parts)}{wrote(written)}"

    def _repr_svg_(self) -> str:
        return self.svg()


def _layer(box: int, layer: DrawnLayer, compared: bool) -> dict[str, Any]:
    record: dict[str, Any] = {
        "name": layer.name,
        "type": layer.type,
        "kind": layer.kind.lower(),
        "box": box,
        "params": layer.params,
        "multiply_adds": layer.multiply_adds,
        "line": layer.line,
    }
    if compared:
        record["mark"] = layer.changed and layer.changed.mark.word
        record["changes"] = list(layer.changed.lines) if layer.changed else []
    return record


def _edge(edge: Edge, compared: bool) -> dict[str, Any]:
    record: dict[str, Any] = {
        "from": edge.source,
        "to": edge.target,
        "blob": edge.blob,
        "shape": None if edge.shape is None else list(edge.shape),
    }
    return {**record, "mark": edge.mark and edge.mark.word} if compared else record
