"""What the page knows of one map, as JSON: names, places, classes, the values' text, the picture.

Nothing in it is markup: it is ASCII, and <, > and & are escaped, so that no label or name ends the
element that holds it.
"""

from __future__ import annotations

import base64
import io
import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from netsurgery.maps.cell_places import cell_places
from netsurgery.maps.map_record import recorded_notes
from netsurgery.maps.page.codes import BUDGET, OVERHEAD, encode
from netsurgery.maps.page.selection import MOST, SHARED, Selection, select
from netsurgery.maps.row_blocks import claim_more

if TYPE_CHECKING:
    from netsurgery.maps.classmap import ClassMap
    from netsurgery.maps.image import Picture

__all__ = ["as_script_text", "map_part", "values_memory"]

#: The longer side of the picture in the page, and of the one to choose it by, in pixels.
_SIDE, _SMALL = 2048, 144
_QUALITY = 88
#: Memory that is taken while the values become text: for each cell, and for each byte of text.
_CELL, _COPIES = 1000, 18

_ESCAPES = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&"}


def map_part(
    class_map: ClassMap,
    *,
    number: int | None = None,
    all_classes: bool = False,
    side: int = _SIDE,
) -> bytes:
    """A map's part of a page, ASCII.

    number: the class that is shown first, None for each cell's likeliest, or the first that is
    explained. all_classes: keep every class of every cell. side: the longer side of the picture, at
    most, in pixels.

    Raises NetError where the cells' places are not known, MemoryLimitError.
    """
    places = _places(class_map)
    cells = math.prod(class_map.shape)
    memory = _CELL * cells + _COPIES * values_memory(class_map, all_classes=all_classes)
    claim_more(class_map, memory, "its map as HTML")
    number = class_map.first_shown if number is None else number
    selection = select(class_map, all_classes=all_classes, number=number)
    coded = encode(class_map, selection)
    step = coded.step
    record = {
        "name": class_map.picture.shown,
        "size": list(class_map.picture.size),
        "input": list(class_map.geometry.placement.input),
        "map": list(class_map.shape),
        "blob": class_map.blob,
        "engine": class_map.engine,
        "notes": recorded_notes(class_map.notes),
        "scored": class_map.scored,
        # Of classes explained no cell has its likeliest.
        "explained": _explained(class_map, selection),
        "method": class_map.meaning,
        "places": places,
        "classCount": class_map.classes,
        "labels": class_map.labels is not None,
        "classes": _classes(class_map, selection),
        "shared": selection.shared,
        "background": _background(class_map, selection),
        # The likeliest of one class says nothing; its values do.
        "shown": None if number is None and class_map.classes > 1 else 0,
        "step": [step.mantissa, step.exponent, step.low, step.last],
        "values": coded.text,
        "picture": _data_uri(class_map.picture, side),
        "small": _data_uri(class_map.picture, _SMALL),
    }
    return as_script_text(record)


def values_memory(class_map: ClassMap, *, all_classes: bool = False) -> int:
    """Bytes of the values' text in a page, at most."""
    most = class_map.classes if all_classes else min(class_map.classes, SHARED + MOST)
    return OVERHEAD + math.ceil(BUDGET * most * math.prod(class_map.shape))


def as_script_text(value: Any) -> bytes:
    """JSON that can stand in a script element."""
    return json.dumps(value, separators=(",", ":")).translate(_ESCAPES).encode("ascii")


def _places(class_map: ClassMap) -> dict[str, list[float]]:
    """The first cell's window and share of the picture, and how far it is to the next cell's.

    In pixels of the picture, each (down, across).
    """
    windows, tiles = cell_places(class_map, 2, 2)
    x0, y0, x1, y1 = windows[0, 0].tolist()
    left, top, right, bottom = tiles[0, 0].tolist()
    return {
        "window": [y0, x0],
        "windowSize": [y1 - y0, x1 - x0],
        "tile": [top, left],
        "tileSize": [bottom - top, right - left],
        "stride": [float(windows[1, 0, 1]) - y0, float(windows[0, 1, 0]) - x0],
    }


def _classes(class_map: ClassMap, selection: Selection) -> list[list[Any]]:
    """Of each kept class: number, id, names, in how many cells it is likeliest, its best value."""
    labels = class_map.labels
    return [
        [
            class_map.class_of(int(number)),
            *(("", "") if labels is None else labels.split(number)),
            int(cells),
            _finite(float(best)),
        ]
        for number, cells, best in zip(
            selection.classes, selection.cells, selection.best, strict=True
        )
    ]


def _explained(class_map: ClassMap, selection: Selection) -> list[str] | None:
    """What is said of each kept class, None where it is that so many cells show it."""
    facts = [class_map.facts(int(number)) for number in selection.classes]
    said = [", ".join(each) for each in facts if each is not None]
    return said or None


def _finite(value: float) -> float | None:
    """JSON has no infinities."""
    return value if math.isfinite(value) else None


def _background(class_map: ClassMap, selection: Selection) -> int | None:
    """The place of the map's background among the kept classes, None where it is none of them."""
    places = np.flatnonzero(selection.classes == class_map.background)
    return int(places[0]) if len(places) else None


def _data_uri(picture: Picture, side: int) -> str:
    """The picture, its longer side at most `side`, as PNG or as JPEG, whichever is smaller."""
    scale = min(1.0, side / max(picture.size))
    height, width = (max(1, round(length * scale)) for length in picture.size)
    image = picture.thumbnail((height, width))
    files = {kind: _file(image, kind) for kind in ("PNG", "JPEG")}
    kind = min(files, key=lambda kind: len(files[kind]))
    text = base64.b64encode(files[kind]).decode("ascii")
    return f"data:image/{kind.lower()};base64,{text}"


def _file(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, quality=_QUALITY, optimize=kind == "JPEG")
    return file.getvalue()
