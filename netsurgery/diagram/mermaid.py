"""A graph as Mermaid: a flowchart, which GitHub and many documentation tools draw themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator

from netsurgery.diagram.faces import box_text, frame_text
from netsurgery.diagram.graph import BoxRole, DrawnBox, Edge, Mark, NetGraph
from netsurgery.diagram.kinds import Kind
from netsurgery.diagram.palette import LIGHT, bar, mark_tone, tint
from netsurgery.io.shape_text import shape_text
from netsurgery.io.terminal import cell

__all__ = ["mermaid_text"]

#: Characters that could mean something to Mermaid, or to the HTML and Markdown it makes of a text
#: (a mark before a space begins a list there).
_SPECIAL = re.compile(r"[^A-Za-z0-9_ ,.:()/=+-]|[-+.)](?= )")


def mermaid_text(graph: NetGraph) -> str:
    """The graph as a Mermaid flowchart: a node for each box, of all that stands in it."""
    lines = ["---", f"title: {_title(graph.name)}", "---", "flowchart TD"]
    framed = {key for frame in graph.frames for key in frame.boxes}
    boxes = {box.key: box for box in graph.boxes}
    for place, frame in enumerate(graph.frames):
        lines.append(f'  subgraph f{place}["{_text(frame_text(frame))}"]')
        lines += [f"    {_node(boxes[key])}" for key in frame.boxes]
        lines.append("  end")
    lines += [f"  {_node(box)}" for box in graph.boxes if box.key not in framed]
    lines += [f"  {_edge(edge)}" for edge in graph.edges]
    return "\n".join([*lines, *_classes(graph), ""])


def _title(name: str) -> str:
    """In double quotes, as YAML takes any text."""
    return '"' + re.sub(r'["\\]', lambda match: f"\\{match[0]}", cell(name) or "net") + '"'


def _text(text: str) -> str:
    """A text in double quotes, each character that could mean something by its number."""
    return _SPECIAL.sub(lambda match: f"#{ord(match[0])};", cell(text))


def _node(box: DrawnBox) -> str:
    text = "<br>".join(map(_text, box_text(box)))
    shape = f'["{text}"]' if box.role is BoxRole.LAYERS else f'(["{text}"])'
    return f"b{box.key}{shape}:::{_class(box)}"


def _class(box: DrawnBox) -> str:
    if box.role is not BoxRole.LAYERS:
        return "blob"
    return mark_tone(box.mark) if box.mark else _kind_class(box.layers[0].kind)


def _kind_class(kind: str) -> str:
    return kind.lower()


def _edge(edge: Edge) -> str:
    line = "-.->" if edge.mark is Mark.REMOVED else "-->"
    label = "" if edge.shape is None else f'|"{_text(shape_text(edge.shape))}"|'
    return f"b{edge.source} {line}{label} b{edge.target}"


def _classes(graph: NetGraph) -> Iterator[str]:
    """The colours of what there is."""
    ink = LIGHT["ink"]
    used = {_class(box) for box in graph.boxes}
    for kind in Kind:
        if _kind_class(kind.name) in used:
            fill, edge = LIGHT[tint(kind.name)], LIGHT[bar(kind.name)]
            yield f"  classDef {_kind_class(kind.name)} fill:{fill},stroke:{edge},color:{ink}"
    for mark in Mark:
        if mark_tone(mark) in used:
            dashes = ",stroke-dasharray:5 4" if mark is Mark.REMOVED else ""
            edge = LIGHT[mark_tone(mark)]
            yield (
                f"  classDef {mark_tone(mark)} fill:{LIGHT['paper']},stroke:{edge},"
                f"stroke-width:2px,color:{ink}{dashes}"
            )
    if "blob" in used:
        yield f"  classDef blob fill:{LIGHT['frame']},stroke:{LIGHT['line']},color:{ink}"
