"""Drawings read back: what is in an SVG, a DOT or a Mermaid file, and where."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from xml.etree import ElementTree

from netsurgery.diagram.typeface import text_width
from netsurgery.net.net import NetDefinition

__all__ = [
    "DrawnSvg",
    "Rect",
    "boxes_of_dot",
    "boxes_of_mermaid",
    "expected_edges",
    "inside",
    "lines_of",
    "read_svg",
]

SVG = "{http://www.w3.org/2000/svg}"


@dataclass(frozen=True)
class Rect:
    """A rectangle: left, top, right, bottom."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, rect: Rect) -> bool:
        across = self.left < rect.right and rect.left < self.right
        return across and self.top < rect.bottom and rect.top < self.bottom


@dataclass
class DrawnSvg:
    """boxes: key -> its place; layers: key -> names; edges: (from, to, blob, corners)."""

    width: float
    height: float
    boxes: dict[str, Rect] = field(default_factory=dict)
    layers: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    blobs: dict[str, tuple[str, str]] = field(default_factory=dict)
    edges: list[tuple[str, str, str, list[tuple[float, float]]]] = field(default_factory=list)
    frames: list[Rect] = field(default_factory=list)
    blocks: list[list[str]] = field(default_factory=list)
    texts: dict[str, list[Rect]] = field(default_factory=dict)
    labels: list[Rect] = field(default_factory=list)
    marks: Counter[str] = field(default_factory=Counter)

    def overlaps(self) -> list[tuple[str, str]]:
        """Pairs of boxes that have a point in common."""
        return [
            (a, b) for a, b in combinations(self.boxes, 2) if self.boxes[a].meets(self.boxes[b])
        ]

    def texts_outside(self) -> list[str]:
        """Boxes with a text that leaves them."""
        return [
            key
            for key, texts in self.texts.items()
            for text in texts
            if not inside(text, self.boxes[key])
        ]

    def loose_edges(self) -> list[str]:
        """Edges that do not begin and end at the borders of their boxes."""
        return [
            f"{source} -> {target}"
            for source, target, _, corners in self.edges
            if not (
                on_border(corners[0], self.boxes[source])
                and on_border(corners[-1], self.boxes[target])
            )
        ]

    def edges_through_boxes(self) -> list[tuple[str, str, str]]:
        """Edges that run over a box."""
        crossing = []
        for source, target, _, corners in self.edges:
            for line in lines_of(corners):
                for key, box in self.boxes.items():
                    core = Rect(box.left + 1, box.top + 1, box.right - 1, box.bottom - 1)
                    if core.meets(line):
                        crossing.append((source, target, key))
        return crossing


def lines_of(corners: list[tuple[float, float]]) -> list[Rect]:
    """The lines from corner to corner, as thin as can be."""
    return [
        Rect(min(x, to_x), min(y, to_y), max(x, to_x) + 0.01, max(y, to_y) + 0.01)
        for (x, y), (to_x, to_y) in pairwise(corners)
    ]


def inside(rect: Rect, box: Rect) -> bool:
    return (
        box.left <= rect.left
        and rect.right <= box.right
        and box.top <= rect.top
        and rect.bottom <= box.bottom
    )


def on_border(point: tuple[float, float], box: Rect) -> bool:
    x, y = point
    across = abs(x - box.left) < 0.2 or abs(x - box.right) < 0.2
    down = abs(y - box.top) < 0.2 or abs(y - box.bottom) < 0.2
    within_x = box.left - 0.2 <= x <= box.right + 0.2
    return (down and within_x) or (across and box.top - 0.2 <= y <= box.bottom + 0.2)


def read_svg(text: str) -> DrawnSvg:
    """What the SVG says, by its groups and their data."""
    root = ElementTree.fromstring(text)
    drawn = DrawnSvg(float(root.attrib["width"]), float(root.attrib["height"]))
    for group in root.findall(f"{SVG}g"):
        data = {
            name.removeprefix("data-"): value
            for name, value in group.attrib.items()
            if name.startswith("data-")
        }
        kind = group.attrib["class"]
        if kind == "box":
            key = data["key"]
            assert key not in drawn.boxes
            drawn.boxes[key] = _rect(group.find(f"{SVG}rect"))
            drawn.texts[key] = [_text(text) for text in group.iter(f"{SVG}text")]
            if data["role"] != "layers":
                drawn.blobs[key] = data["role"], data["name"]
            layers = group.findall(f"{SVG}g")
            drawn.layers[key] = [
                (layer.attrib["data-name"], layer.attrib["data-type"]) for layer in layers
            ]
            drawn.marks.update(filter(None, (layer.attrib.get("data-mark") for layer in layers)))
        elif kind == "edge":
            path = group.find(f"{SVG}path")
            assert path is not None
            corners = _corners(path.attrib["d"])
            drawn.edges.append((data["from"], data["to"], data["blob"], corners))
            drawn.labels += [_text(text) for text in group.iter(f"{SVG}text")]
        elif kind == "frame":
            drawn.frames.append(_rect(group.find(f"{SVG}rect")))
            blocks = group.findall(f"{SVG}g[@class='block']")
            drawn.blocks += [block.attrib["data-layers"].split("\n") for block in blocks]
    return drawn


def _rect(item: ElementTree.Element | None) -> Rect:
    assert item is not None
    x, y, width, height = (float(item.attrib[name]) for name in ("x", "y", "width", "height"))
    return Rect(x, y, x + width, y + height)


def _text(item: ElementTree.Element) -> Rect:
    x, y = float(item.attrib["x"]), float(item.attrib["y"])
    size, filled = float(item.attrib["font-size"]), item.get("textLength")
    # A text that is in whatever font has the room of the widest one.
    width = text_width(item.text or "", size) if filled is None else float(filled)
    return Rect(x, y - 0.72 * size, x + width, y)


def _corners(path: str) -> list[tuple[float, float]]:
    """The corners of a line; where it is rounded, the point that it bends towards."""
    corners = []
    for command, numbers in re.findall(r"([MLQ])([^MLQ]+)", path):
        values = [float(number) for number in numbers.split()]
        corners.append((values[0], values[1]))
        assert len(values) == (4 if command == "Q" else 2)
    return corners


def boxes_of_dot(text: str) -> tuple[dict[str, list[str]], Counter[tuple[str, str]]]:
    """Box -> the lines of its label; the edges."""
    strings = r'"((?:[^"\\]|\\.)*)"'
    boxes = {}
    for key, label in re.findall(rf"^\s*b(\d+) \[label={strings}", text, re.MULTILINE):
        boxes[key] = _lines_of_label(label)
    edges = re.findall(r"^\s*b(\d+) -> b(\d+) \[", text, re.MULTILINE)
    return boxes, Counter(edges)


def _lines_of_label(label: str) -> list[str]:
    r"""The lines of a label of DOT: each ends with \l, and another backslash stands before what it
    keeps from meaning something."""
    lines = [""]
    for escaped, plain in re.findall(r"\\(.)|([^\\])", label):
        if escaped == "l":
            lines.append("")
        else:
            lines[-1] += escaped or plain
    return lines[:-1] if len(lines) > 1 else lines


def boxes_of_mermaid(text: str) -> tuple[dict[str, list[str]], Counter[tuple[str, str]]]:
    """The same of Mermaid."""
    boxes = {}
    for key, label in re.findall(r'^\s*b(\d+)\(?\["([^"]*)"\]\)?:::\w+$', text, re.MULTILINE):
        boxes[key] = [
            re.sub(r"#(\d+);", lambda code: chr(int(code[1])), line) for line in label.split("<br>")
        ]
    edges = re.findall(r"^\s*b(\d+) (?:-->|-\.->)(?:\|[^|]*\|)? b(\d+)$", text, re.MULTILINE)
    return boxes, Counter(edges)


def expected_edges(net: NetDefinition) -> Counter[tuple[str, str, str]]:
    """(maker, reader, blob) of every bottom but those inside an in-place chain, and every output.

    A maker is a layer's place or an input's name, a reader a layer's place or "out".
    """
    writers: dict[str, str] = {blob.name: blob.name for blob in net.inputs}
    chained = {
        layer.index
        for layer in net.layers
        if layer.tops == layer.bottoms and len(layer.tops) == 1 and _alone(net, layer.index)
    }
    edges: Counter[tuple[str, str, str]] = Counter()
    for layer in net.layers:
        if layer.index not in chained:
            edges.update((writers[blob], str(layer.index), blob) for blob in layer.bottoms)
        writers.update(dict.fromkeys(layer.tops, str(layer.index)))
    declared = {blob.name for blob in net.inputs}
    edges.update(
        (writers[blob], "out", blob)
        for blob in net.outputs
        if not (blob in declared and writers[blob] == blob)
    )
    return edges


def _alone(net: NetDefinition, index: int) -> bool:
    """Whether the layer at `index` is the only one that reads what the one before it left."""
    layer = next(each for each in net.layers if each.index == index)
    (blob,) = layer.tops
    before = [each for each in net.layers if each.index < index and blob in each.tops]
    if not before or before[-1].tops != (blob,):
        return False
    between = [
        each
        for each in net.layers
        if before[-1].index < each.index < index and blob in each.bottoms
    ]
    return not between
