"""A graph as DOT, for Graphviz and what reads its language."""

from __future__ import annotations

from collections.abc import Mapping

from netsurgery.diagram.faces import box_text, frame_text
from netsurgery.diagram.graph import BoxRole, DrawnBox, Edge, Mark, NetGraph
from netsurgery.diagram.palette import LIGHT, bar, mark_tone, tint
from netsurgery.io.shape_text import shape_text
from netsurgery.io.terminal import cell

__all__ = ["dot_text"]


def dot_text(graph: NetGraph) -> str:
    """The graph as a DOT digraph: a node for each box, a cluster for each folded block."""
    lines = [
        f"digraph {_quoted(graph.name or 'net')} {{",
        "  rankdir=TB;",
        f'  node [shape=box, style="rounded,filled", fontname="Helvetica", fontsize=11, '
        f'fontcolor="{LIGHT["ink"]}"];',
        f'  edge [fontname="Helvetica", fontsize=9, color="{LIGHT["edge"]}", '
        f'fontcolor="{LIGHT["pale"]}"];',
    ]
    boxes = {box.key: box for box in graph.boxes}
    framed = {key for frame in graph.frames for key in frame.boxes}
    for place, frame in enumerate(graph.frames):
        lines.append(f"  subgraph cluster_{place} {{")
        title = _quoted(frame_text(frame))
        lines.append(f'    label={title}; labeljust=l; fontname="Helvetica"; fontsize=11;')
        lines += [f"    {_node(boxes[key])}" for key in frame.boxes]
        lines.append("  }")
    lines += [f"  {_node(box)}" for box in graph.boxes if box.key not in framed]
    lines += [f"  {_edge(edge)}" for edge in graph.edges]
    return "\n".join([*lines, "}", ""])


def _quoted(text: str, *, escaped: bool = True) -> str:
    r"""A string of DOT, in which a backslash of the text stands for itself."""
    safe = cell(text).replace("\\", "\\\\") if escaped else text
    return '"' + safe.replace('"', '\\"') + '"'


def _attributes(values: Mapping[str, str]) -> str:
    return f"[{', '.join(f'{name}={value}' for name, value in values.items())}];"


def _node(box: DrawnBox) -> str:
    # \l ends a line and aligns it to the left.
    text = "".join(cell(line).replace("\\", "\\\\") + "\\l" for line in box_text(box))
    if box.role is not BoxRole.LAYERS:
        text, values = text.removesuffix("\\l"), {"fillcolor": f'"{LIGHT["frame"]}"'}
        values["shape"] = "oval"
    else:
        kind = box.layers[0].kind
        values = {"fillcolor": f'"{LIGHT[tint(kind)]}"', "color": f'"{LIGHT[bar(kind)]}"'}
    if box.mark:
        style = "rounded,filled,dashed" if box.mark is Mark.REMOVED else "rounded,filled"
        values |= {"color": f'"{LIGHT[mark_tone(box.mark)]}"', "penwidth": "2"}
        values["style"] = f'"{style}"'
    return f"b{box.key} {_attributes({'label': _quoted(text, escaped=False), **values})}"


def _edge(edge: Edge) -> str:
    values = {"tooltip": _quoted(edge.blob)}
    if edge.shape is not None:
        values["label"] = _quoted(shape_text(edge.shape))
    if edge.mark is Mark.REMOVED:
        values["style"] = "dashed"
    if edge.mark:
        values["color"] = f'"{LIGHT[mark_tone(edge.mark)]}"'
    return f"b{edge.source} -> b{edge.target} {_attributes(values)}"
