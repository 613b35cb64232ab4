"""What stands in each box, line by line, and so how large the box is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from netsurgery.diagram.graph import BoxRole, DrawnBox, DrawnLayer, Frame
from netsurgery.diagram.palette import mark_tone
from netsurgery.diagram.typeface import shown, text_width
from netsurgery.io.wording import counted, plural

__all__ = [
    "BAR",
    "PAD",
    "Face",
    "FaceLine",
    "TextSpan",
    "box_text",
    "cost_text",
    "face_of",
    "frame_lines",
    "frame_text",
]

#: Pixels: around the text, and of the coloured left edge.
PAD, BAR = 8.0, 5.0
#: Between a name and what follows on its line, and a swatch with the room after it.
_GAP, SWATCH = 6.0, 12.0
_NAME, _TEXT, _SMALL = 13.0, 11.0, 10.0
#: Characters of a name, in a drawing and in a text, and of another line; lines for what changed.
_LONG, _WHOLE, _WIDE, _CHANGES = 40, 1000, 60, 4
_LEADING = 1.32


@dataclass(frozen=True)
class TextSpan:
    """A piece of a line: its text, its size in pixels, its tone."""

    text: str
    size: float
    tone: str = "ink"
    bold: bool = False

    @property
    def width(self) -> float:
        """In pixels."""
        return text_width(self.text, self.size, self.bold)


@dataclass(frozen=True)
class FaceLine:
    """A line of a box. layer: the place among the box's layers of the one that it is about, None
    for the whole box. swatch: the kind whose colour stands before it, "" for none."""

    spans: tuple[TextSpan, ...]
    layer: int | None = None
    swatch: str = ""

    @property
    def height(self) -> float:
        """From the line above to this one, in pixels."""
        return max(span.size for span in self.spans) * _LEADING

    @property
    def width(self) -> float:
        """In pixels, the swatch included."""
        text = sum(span.width for span in self.spans) + _GAP * (len(self.spans) - 1)
        return text + (SWATCH if self.swatch else 0.0)

    def places(self) -> Iterator[tuple[float, TextSpan]]:
        """Each piece with where it begins, from the left end of the line."""
        x = SWATCH if self.swatch else 0.0
        for span in self.spans:
            yield x, span
            x += span.width + _GAP


@dataclass(frozen=True)
class Face:
    """The lines of a box, how far they are from its left and its top, and its size, in pixels."""

    lines: tuple[FaceLine, ...]
    left: float
    top: float
    width: float
    height: float


def face_of(box: DrawnBox) -> Face:
    """What stands in a box, long names shortened."""
    lines = tuple(_lines(box, _LONG))
    if box.role is not BoxRole.LAYERS:
        left, pad, right = PAD * 1.5, PAD * 0.6, PAD * 1.5
    else:
        left, pad, right = BAR + PAD, PAD * 0.75, PAD
    width = left + max(line.width for line in lines) + right
    height = sum(line.height for line in lines) + 2 * pad
    return Face(lines, left, pad, float(round(width)), float(round(height)))


def box_text(box: DrawnBox) -> list[str]:
    """The same lines as plain text, names in full: for readers who lay the drawing out."""
    return [" ".join(span.text for span in line.spans) for line in _lines(box, _WHOLE)]


def frame_text(frame: Frame) -> str:
    """How often a folded block is there, and what all its boxes cost."""
    costs = cost_text(frame.params, frame.multiply_adds)
    return f"{len(frame.blocks)} x" + (f", together {costs}" if costs else "")


def _lines(box: DrawnBox, most: int) -> Iterator[FaceLine]:
    if box.role is not BoxRole.LAYERS:
        yield FaceLine((TextSpan(shown(box.name, most), 12.0),))
    else:
        yield from _layer_lines(box, most)
        yield from _totals(box)


def _layer_lines(box: DrawnBox, most: int) -> Iterator[FaceLine]:
    for place, layer in enumerate(box.layers):
        name = _marked(layer, most, first=place == 0)
        about = TextSpan(shown(f"{layer.type} {layer.detail}".strip(), _WIDE), _TEXT, "pale")
        if place == 0:
            yield FaceLine(name, place)
            yield FaceLine((about,), place)
        else:
            yield FaceLine((*name, about), place, swatch=layer.kind)
        yield from _changes(layer, place)


def _marked(layer: DrawnLayer, most: int, *, first: bool) -> tuple[TextSpan, ...]:
    """The layer's name, after the sign of its mark; that of the box's first layer stands out."""
    name = TextSpan(shown(layer.name, most), _NAME if first else _TEXT, bold=first)
    if layer.changed is None:
        return (name,)
    mark = layer.changed.mark
    return TextSpan(mark.sign, _NAME, mark_tone(mark), bold=True), name


def _changes(layer: DrawnLayer, place: int) -> Iterator[FaceLine]:
    if layer.changed is None:
        return
    lines = list(layer.changed.lines)
    if len(lines) > _CHANGES:
        lines[_CHANGES - 1 :] = [f"and {counted(len(lines) - _CHANGES + 1, 'more change')}"]
    for line in lines:
        yield FaceLine(
            (TextSpan(shown(line, _WIDE), _SMALL, mark_tone(layer.changed.mark)),), place
        )


def _totals(box: DrawnBox) -> Iterator[FaceLine]:
    costs = cost_text(box.params, box.multiply_adds)
    for text in filter(None, (costs, box.field)):
        yield FaceLine((TextSpan(text, _SMALL, "pale"),))


def frame_lines(frame: Frame, width: float) -> tuple[FaceLine, ...]:
    """What stands over the boxes of a folded block: as much of it as `width` pixels hold."""
    first, last = (
        shown(block[-1].layers[0].name, _LONG) for block in (frame.blocks[0], frame.blocks[-1])
    )
    times = TextSpan(f"{len(frame.blocks)} x", _NAME, bold=True)
    which = _fitting([f"{first} ... {last}", f"to {last}"], _TEXT, width - times.width - _GAP)
    lines = [FaceLine((times, which) if which.text else (times,))]
    costs = cost_text(frame.params, frame.multiply_adds)
    short = cost_text(frame.params, 0)
    sums = [f"together {costs}", f"together {short}", f"in all {short}"]
    together = _fitting(sums, _SMALL, width)
    return (*lines, FaceLine((together,))) if costs and together.text else tuple(lines)


def _fitting(texts: list[str], size: float, width: float) -> TextSpan:
    """The first that fits, pale; an empty one if none does."""
    spans = (TextSpan(text, size, "pale") for text in texts)
    return next((span for span in spans if span.width <= width), TextSpan("", size))


def cost_text(params: int | None, multiply_adds: int | None) -> str:
    """Params and multiply-adds in a few letters; "" for none, and where neither is known."""
    if params is None and multiply_adds is None:
        return ""
    parts = []
    if params != 0:
        number = "?" if params is None else count_text(params)
        parts.append(f"{number} {plural('param', 0 if params is None else params)}")
    if multiply_adds != 0:
        times = "?" if multiply_adds is None else count_text(multiply_adds)
        parts.append(f"{times} multiply-adds")
    return " \N{MIDDLE DOT} ".join(parts)


def count_text(number: int) -> str:
    """A count in three digits or four.

    >>> count_text(9408), count_text(34944), count_text(1_582_671_872)
    ('9,408', '34.9k', '1.58G')
    """
    if number < 10_000:
        return f"{number:,}"
    for unit in "kMGTP":
        number_in_units = number / 1000 ** ("kMGTP".index(unit) + 1)
        if number_in_units < 999.5 or unit == "P":
            return f"{number_in_units:.3g}{unit}"
    raise AssertionError("unreachable")
