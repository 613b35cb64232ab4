"""A net's graph, laid out, as a scene of boxes, arrows and texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from netsurgery.diagram.faces import (
    BAR,
    PAD,
    Face,
    FaceLine,
    TextSpan,
    cost_text,
    face_of,
    frame_lines,
)
from netsurgery.diagram.graph import BoxRole, DrawnBox, DrawnLayer, Edge, Frame, Mark, NetGraph
from netsurgery.diagram.kinds import Kind
from netsurgery.diagram.labels import LABEL, Label, frame_rooms, labels
from netsurgery.diagram.layout import NetLayout, Place, lay_out
from netsurgery.diagram.palette import TONES, bar, mark_tone, tint
from netsurgery.diagram.typeface import shown
from netsurgery.drawing.arrow import Arrow, Point
from netsurgery.drawing.scene import Item, ItemGroup, Rect, Scene, Text
from netsurgery.io.shape_text import shape_text
from netsurgery.io.wording import counted

__all__ = ["scene_of"]

_MARGIN = 20.0
_TITLE, _NOTE = 16.0, 11.0


def scene_of(graph: NetGraph) -> Scene:
    """Lay a graph out and draw it. Raises NetsurgeryError where the library for it is missing."""
    faces = {box.key: face_of(box) for box in graph.boxes}
    layout = lay_out(
        {key: (face.width, face.height) for key, face in faces.items()},
        [(edge.source, edge.target) for edge in graph.edges],
        [frame.boxes for frame in graph.frames],
        [edge.blob for edge in graph.edges],
    )
    head, height = _head(graph, max(layout.width, 320.0))
    at = _MARGIN, _MARGIN + height
    rooms = frame_rooms(layout)
    frames = (_frame(*each, at) for each in zip(graph.frames, layout.frames, rooms, strict=True))
    placed = labels(graph.edges, layout, rooms)
    # A label may stand left of all boxes.
    beyond = -min([0.0, *(label.place.x for label in placed.values())])
    at = (at[0] + beyond, at[1])
    edges = _edges(graph.edges, layout, placed, at)
    boxes = (_box(box, faces[box.key], layout.boxes[box.key], at) for box in graph.boxes)
    rights = [layout.width + beyond, *(_right(part) - _MARGIN for part in head.items)]
    rights += [label.place.right + beyond for label in placed.values()]
    return Scene(
        round(max(rights) + 2 * _MARGIN),
        round(layout.height + height + 2 * _MARGIN),
        items=[head, *frames, *edges, *boxes],
        title=shown(graph.name, 60) or "net",
        tones=list(TONES.values()),
        paper=TONES["paper"],
    )


def _right(part: Item) -> float:
    return part.at[0] + (part.width or 0.0) if isinstance(part, Text) else 0.0


def _rect(
    place: Place,
    fill: str,
    line: str | None = None,
    radius: float = 0.0,
    thick: float = 1.0,
    dashed: bool = False,
) -> Rect:
    """A rectangle; the middle of its line is the edge of `place`."""
    out = thick / 2 if line else 0.0
    box = (place.x - out, place.y - out, place.right + out, place.bottom + out)
    return Rect(box, TONES[fill], TONES[line] if line else None, radius, thick, dashed)


def _writing(x: float, y: float, span: TextSpan) -> Text:
    """A text that begins at (x, y), y being its base line."""
    return Text((x, y), span.text, span.size, TONES[span.tone], "ls", span.bold, span.width)


def _moved(place: Place, at: Point) -> Place:
    return Place(place.x + at[0], place.y + at[1], place.width, place.height)


def _head(graph: NetGraph, width: float) -> tuple[ItemGroup, float]:
    """The net's name, its totals, and the key of the colours used; and their height."""
    layers = list(graph.layers)
    present = [layer for layer in layers if not layer.removed]
    numbers = counted(len(present), "layer"), *_costs(present)
    y = _MARGIN + _TITLE
    parts: list[Item] = [
        _writing(_MARGIN, y, TextSpan(shown(graph.name, 60) or "net", _TITLE, bold=True)),
        _writing(_MARGIN, y + 17.0, TextSpan(" \N{MIDDLE DOT} ".join(numbers), _NOTE, "pale")),
    ]
    x, y = _MARGIN, y + 36.0
    for entry in _key(layers):
        span = entry[2]
        if x > _MARGIN and x + 15.0 + span.width > _MARGIN + width:
            x, y = _MARGIN, y + 16.0
        parts.append(_rect(Place(x, y - 9.0, 10.0, 10.0), entry[0], entry[1], 2.0))
        parts.append(_writing(x + 15.0, y, span))
        x += 15.0 + span.width + 14.0
    return ItemGroup("key", tuple(parts)), y - _MARGIN + 18.0


def _costs(layers: Sequence[DrawnLayer]) -> Iterator[str]:
    """Params and multiply-adds in all, as far as they are known."""
    params = [layer.params for layer in layers]
    times = [layer.multiply_adds for layer in layers]
    for numbers, text in (
        (params, cost_text(_known(params), 0)),
        (times, cost_text(0, _known(times))),
    ):
        if text:
            yield f"at least {text}" if None in numbers else text


def _known(numbers: Sequence[int | None]) -> int:
    return sum(number or 0 for number in numbers)


def _key(layers: Sequence[DrawnLayer]) -> Iterator[tuple[str, str | None, TextSpan]]:
    """Fill, border and text of each entry: the kinds there are, then the marks."""
    used = {layer.kind for layer in layers}
    for kind in Kind:
        if kind.name in used:
            yield bar(kind.name), None, TextSpan(kind.label, _NOTE, "pale")
    marks = {layer.changed.mark for layer in layers if layer.changed}
    for mark in Mark:
        if mark in marks:
            yield (
                "paper",
                mark_tone(mark),
                TextSpan(f"{mark.sign} {mark.word}", _NOTE, mark_tone(mark)),
            )


def _box(box: DrawnBox, face: Face, at: Place, origin: Point) -> ItemGroup:
    place = _moved(at, origin)
    if box.role is not BoxRole.LAYERS:
        shape = _rect(place, tint(Kind.INPUT.name), "line", place.height / 2)
        written = _written(face.lines, place.x + face.left, place.y + face.top)
        data = {"key": str(box.key), "role": box.role.value, "name": box.name}
        return ItemGroup("box", (shape, *written), f"{box.role.value} {shown(box.name, 400)}", data)
    kind, mark = box.layers[0].kind, box.mark
    parts: list[Item] = [
        _rect(
            place,
            tint(kind),
            mark_tone(mark) if mark else "line",
            4.0,
            2.0 if mark else 1.0,
            mark is Mark.REMOVED,
        ),
        _rect(Place(place.x, place.y + 4.0, BAR, place.height - 8.0), bar(kind)),
    ]
    x, y = place.x + face.left, place.y + face.top
    lines_of: dict[int | None, list[FaceLine]] = {}
    for line in face.lines:
        lines_of.setdefault(line.layer, []).append(line)
    for index, layer in enumerate(box.layers):
        lines = lines_of[index]
        parts.append(_layer(layer, lines, x, y))
        y += sum(line.height for line in lines)
    parts += _written(lines_of.get(None, ()), x, y)
    return ItemGroup("box", tuple(parts), data={"key": str(box.key), "role": box.role.value})


def _layer(layer: DrawnLayer, lines: Sequence[FaceLine], x: float, y: float) -> ItemGroup:
    data = {"name": layer.name, "type": layer.type, "kind": layer.kind.lower()}
    if layer.changed:
        data["mark"] = layer.changed.mark.word
    return ItemGroup("layer", tuple(_written(lines, x, y)), _about(layer), data)


def _about(layer: DrawnLayer) -> str:
    """All that is known of a layer, in a few lines."""
    lines = [f"{shown(layer.name, 400)} ({shown(layer.type, 400)})"]
    if layer.detail:
        lines.append(layer.detail)
    for number, what in ((layer.params, "params"), (layer.multiply_adds, "multiply-adds")):
        if number != 0:
            lines.append(f"{'unknown' if number is None else format(number, ',')} {what}")
    if layer.changed:
        lines += [layer.changed.mark.word, *(shown(line, 400) for line in layer.changed.lines)]
    if layer.line:
        lines.append(f"line {layer.line}")
    return "\n".join(lines)


def _written(lines: Sequence[FaceLine], x: float, y: float) -> Iterator[Item]:
    for line in lines:
        base = y + line.height * 0.78
        if line.swatch:
            yield _rect(Place(x, base - 7.5, 8.0, 8.0), bar(line.swatch), radius=2.0)
        for ahead, span in line.places():
            yield _writing(x + ahead, base, span)
        y += line.height


def _edges(
    edges: Sequence[Edge], layout: NetLayout, placed: Mapping[int, Label], origin: Point
) -> Iterator[ItemGroup]:
    for index, (edge, route) in enumerate(zip(edges, layout.routes, strict=True)):
        points = tuple((x + origin[0], y + origin[1]) for x, y in route)
        tone = mark_tone(edge.mark) if edge.mark else "edge"
        parts: list[Item] = [Arrow(points, TONES[tone], edge.mark is Mark.REMOVED)]
        shape = "?" if edge.shape is None else shape_text(edge.shape)
        if index in placed:
            place, text = _moved(placed[index].place, origin), placed[index].text
            parts.append(_writing(place.x, place.bottom - 2.0, TextSpan(text, LABEL, "pale")))
        data = {
            "from": str(edge.source),
            "to": str(edge.target),
            "blob": edge.blob,
            "shape": "" if edge.shape is None else shape,
        }
        if edge.mark:
            data["mark"] = edge.mark.word
        yield ItemGroup("edge", tuple(parts), f"{shown(edge.blob, 400)}: {shape}", data)


def _frame(frame: Frame, at: Place, room: Place, origin: Point) -> ItemGroup:
    place, room = _moved(at, origin), _moved(room, origin)
    lines = frame_lines(frame, room.width - 2 * PAD)
    blocks = [
        ItemGroup("block", (), data={"layers": "\n".join(_names(block))}) for block in frame.blocks
    ]
    return ItemGroup(
        "frame",
        (
            _rect(place, "frame", "line", 8.0),
            *_written(lines, room.x + PAD, room.y + 4.0),
            *blocks,
        ),
        "\n".join(", ".join(map(_short, _names(block))) for block in frame.blocks),
        {"boxes": " ".join(map(str, frame.boxes))},
    )


def _short(name: str) -> str:
    return shown(name, 400)


def _names(block: Sequence[DrawnBox]) -> list[str]:
    return [layer.name for box in block for layer in box.layers]
