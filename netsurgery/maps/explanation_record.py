"""An explanation as plain values for JSON, and as text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from netsurgery.engines.contract import engine_record
from netsurgery.io.shape_text import shape_text
from netsurgery.io.table import Column, Table
from netsurgery.maps.cell_places import first_window
from netsurgery.maps.legend import class_name
from netsurgery.maps.map_record import recorded_notes
from netsurgery.maps.map_text import PLAIN, TextStyle, head_text
from netsurgery.maps.row_blocks import claim_more

if TYPE_CHECKING:
    from netsurgery.maps.explanation import Explanation

__all__ = ["explanation_record", "explanation_text"]

#: What a number takes as a value of JSON's and as text.
_NUMBER = 200


def explanation_record(explanation: Explanation) -> dict[str, Any]:
    """The explanation as plain values; what is not finite becomes None, JSON's null."""
    numbers = explanation.classes * math.prod(explanation.shape)
    claim_more(explanation, _NUMBER * numbers, "its map as JSON")
    placement = explanation.geometry.placement
    return {
        "image": explanation.image,
        "image_size": list(placement.image),
        "engine": engine_record(explanation.engine, explanation.notes.get("engine", "")),
        "input": {"name": explanation.input, "size": list(placement.input)},
        "method": {"name": explanation.method.name, **explanation.method.facts},
        "blob": explanation.blob,
        "is_probability": explanation.scores_are_probabilities,
        "map_size": list(explanation.shape),
        "windows": first_window(explanation),
        "classes": [
            _class(explanation, plane, place) for plane, place in enumerate(explanation.places())
        ],
        "values": _numbers(explanation.values),
        "notes": recorded_notes(explanation.notes),
    }


def _class(explanation: Explanation, plane: int, place: tuple[int, int]) -> dict[str, Any]:
    row, column = place
    return {
        "class": explanation.numbers[plane],
        "label": None if explanation.labels is None else explanation.label(plane),
        "score": _number(explanation.scores[plane]),
        "highest": _number(explanation.values[plane, row, column]),
        "cell": [row, column],
    }


def _numbers(values: Any) -> Any:
    return [_numbers(part) if part.ndim else _number(part) for part in values]


def _number(value: Any) -> float | None:
    """The shortest decimal that is this float32, not the float64 next to it."""
    return float(str(np.float32(value))) if np.isfinite(value) else None


def explanation_text(
    explanation: Explanation, style: TextStyle | None = None, *, summary: bool = False
) -> str:
    """What it is of, a table of the classes, and where each has how much of its highest value."""
    style = style or PLAIN
    parts = [f"{head_text(explanation, style)}\n{explanation.method.sentence}"]
    if not summary:
        parts[0] += "\na digit is tenths of the class's highest value, a dot less than one"
        parts += [_drawn(explanation, plane, style) for plane in range(explanation.classes)]
    return "\n\n".join([*parts, _table(explanation, style)])


def _drawn(explanation: Explanation, plane: int, style: TextStyle) -> str:
    """The map of a class, under its name where there are several."""
    tenths = _tenths(explanation, plane, style)
    if explanation.classes == 1:
        return tenths
    return f"{style.clean(class_name(explanation, plane))}\n{tenths}"


def _tenths(explanation: Explanation, plane: int, style: TextStyle) -> str:
    """Each value in tenths of the highest, 9 for that, "." for less than one; fits a terminal."""
    values = explanation.values[plane]
    most = float(values.max())
    shares = np.zeros(values.shape) if most <= 0 else np.clip(values / most, 0, 1)
    tenths = np.minimum(np.floor(10 * shares), 9).astype(int)
    step = 1 if style.columns is None else -(-tenths.shape[1] // style.columns)
    tenths = tenths[step // 2 :: step, step // 2 :: step]
    return "\n".join("".join(str(tenth or ".") for tenth in row) for row in tenths.tolist())


def _table(explanation: Explanation, style: TextStyle) -> str:
    columns = [
        Column("class", number=True),
        Column(explanation.score_name, 1, number=True),
        Column(f"highest {explanation.scored}", 2, number=True),
        Column("at pixels of the image", 3),
    ]
    if explanation.labels is not None:
        columns.append(Column("label"))
    table = Table(columns)
    for plane, place in enumerate(explanation.places()):
        names = () if explanation.labels is None else (style.clean(explanation.label(plane)),)
        table.add(
            str(explanation.numbers[plane]),
            f"{explanation.scores[plane]:.4g}",
            f"{explanation.values[plane].max():.4g}",
            _window(explanation, place),
            *names,
        )
    head, *lines = table.lines(style.columns)
    return "\n".join([style.bold(head), *lines])


def _window(explanation: Explanation, place: tuple[int, int]) -> str:
    """Where a cell is, within the picture; "" where that is not known."""
    rows, columns = place[0] + 1, place[1] + 1
    geometry = explanation.geometry
    # A cell of a deep layer depends on all of the input: its share of the picture says more.
    places = geometry.windows if explanation.method.name == "occlusion" else geometry.tiles
    boxes = places(rows, columns)
    if boxes is None:
        return ""
    x0, y0, x1, y1 = boxes[place].tolist()
    height, width = explanation.geometry.placement.image
    top, left = max(0, round(y0)), max(0, round(x0))
    bottom, right = min(height, round(y1)), min(width, round(x1))
    return f"{shape_text((bottom - top, right - left))} from row {top}, column {left}"
