"""A class map as plain values for JSON, and as a piece of HTML."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from netsurgery.engines.contract import engine_record
from netsurgery.io.wording import counted
from netsurgery.maps.cell_places import first_window
from netsurgery.maps.map_text import class_table
from netsurgery.maps.row_blocks import claim_more

if TYPE_CHECKING:
    from netsurgery.maps.boxes import MapBox
    from netsurgery.maps.classmap import ClassMap

__all__ = ["TO_ROUNDING", "map_html", "map_record", "recorded_notes"]

#: What the note on tiles has of those that are not known to give the very bits of the whole.
TO_ROUNDING = " to rounding"

#: What a class and a score take as JSON's values and as text.
_NUMBERS = 400
#: What a box takes so.
_BOX = 1500
#: Rows of the table in HTML.
_ROWS = 8
#: A page in a notebook: the longer side of its picture in pixels, and bytes of values, at most.
_FRAME_SIDE, _FRAME_MOST = 1024, 2 << 20


def map_record(class_map: ClassMap, top_k: int) -> dict[str, Any]:
    """The map as plain values; scores that are not finite become None, JSON's null."""
    planes = min(max(top_k, 1), class_map.classes)
    cells = class_map.shape[0] * class_map.shape[1]
    label = 0 if class_map.labels is None else max(map(len, class_map.labels.lines))
    count = (_NUMBERS * planes + 8 * label) * cells
    count += (_BOX + 8 * label) * len(class_map.boxes or ())
    claim_more(class_map, count, "its map as JSON")
    placement, top = class_map.geometry.placement, class_map.top(planes)
    return {
        "image": class_map.image,
        "image_size": list(placement.image),
        "engine": engine_record(class_map.engine, class_map.notes.get("engine", "")),
        "input": {"name": class_map.input, "size": list(placement.input)},
        "blob": class_map.blob,
        "map_size": list(class_map.shape),
        "class_count": class_map.classes,
        "is_probability": class_map.is_probability,
        "background": class_map.background,
        "windows": first_window(class_map),
        "scales": None if class_map.scales is None else class_map.scales.to_json(),
        "summary": [_row(class_map, row) for row in class_map.summary()],
        "boxes": None if class_map.boxes is None else _boxes(class_map, class_map.boxes),
        "classes": top.tolist(),
        "scores": _scores(np.take_along_axis(class_map.values, top, axis=0)),
        "notes": recorded_notes(class_map.notes),
    }


def recorded_notes(notes: Mapping[str, str]) -> list[str]:
    """Of the notes on a picture's blobs, by kind, those that its record has.

    The engine's has a place of its own. What was left of an earlier run is a fact of this one, not
    of the blobs, and so are tiles that give the bits of the whole: however often a run was ended,
    and however much memory it had, its outputs are the same.

    >>> tiles = "run in 4 tiles, with the numbers of the whole"
    >>> recorded_notes({"engine": "slow", "tiles": tiles, "resume": "36% was done"})
    []
    >>> recorded_notes({"tiles": f"{tiles} to rounding"})
    ['run in 4 tiles, with the numbers of the whole to rounding']
    """
    of_run = {"engine", "resume"}
    if TO_ROUNDING not in notes.get("tiles", ""):
        of_run.add("tiles")
    return [note for kind, note in notes.items() if kind not in of_run]


def _row(class_map: ClassMap, row: Any) -> dict[str, Any]:
    label = None if class_map.labels is None else row.label
    return {
        "class": row.number,
        "label": label,
        "cells": row.cells,
        "score": _number(np.float32(row.best)),
    }


def _boxes(class_map: ClassMap, boxes: Sequence[MapBox]) -> list[dict[str, Any]]:
    """The boxes found, the surest first; `box` is left, top, right and bottom."""
    return [
        {
            "class": each.number,
            "label": None if class_map.labels is None else class_map.label(each.number),
            "score": _number(np.float32(each.score)),
            "box": list(each.box),
        }
        for each in boxes
    ]


def _scores(values: Any) -> Any:
    """Nested lists of the numbers."""
    if values.ndim > 1:
        return [_scores(part) for part in values]
    return [_number(value) for value in values]


def _number(value: np.float32) -> float | None:
    """The shortest decimal that is this float32, not the float64 next to it."""
    return float(str(value)) if np.isfinite(value) else None


def map_html(class_map: ClassMap, png: bytes | None) -> str:
    """The map as a page in a frame, its picture where it can be drawn, the classes of most cells.

    The picture is under a heading to open, for where frames are not shown.
    """
    rows = class_map.summary()
    table = class_table(class_map, rows[:_ROWS]).html()
    more = f"<p>and {counted(len(rows) - _ROWS, 'more class')}</p>" if len(rows) > _ROWS else ""
    image = ""
    if png is not None:
        data = base64.b64encode(png).decode("ascii")
        image = f"<img alt='class map' src='data:image/png;base64,{data}'>"
        if frame := _frame(class_map):
            image = f"{frame}<details><summary>as a picture</summary>{image}</details>"
    return f"{image}{table}{more}"


def _frame(class_map: ClassMap) -> str:
    """The page in a frame that can reach nothing around it; "" where it may be too large."""
    from netsurgery.maps.page.document import page
    from netsurgery.maps.page.record import map_part, values_memory

    if values_memory(class_map) > _FRAME_MOST:
        return ""
    content = page([map_part(class_map, side=_FRAME_SIDE)])
    name, text = html.escape(class_map.picture.title), html.escape(content.decode("ascii"))
    return (
        f'<iframe title="class map of {name}" sandbox="allow-scripts allow-downloads" '
        f'style="width: 100%; height: 680px; border: 0" srcdoc="{text}"></iframe>'
    )
