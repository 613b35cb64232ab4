"""A map's record as JSON: a line a picture, or for people one line a row of cells."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from netsurgery.verbs.outputs.record import MapView, Output

if TYPE_CHECKING:
    from netsurgery.maps.classmap import ClassMap

__all__ = ["OUTPUT"]

#: The members that have a row of numbers for each row of cells.
_PLANES = ("classes", "scores", "values")
#: A member that is no longer is not divided.
_LINE = 80


def _of_map(class_map: ClassMap, view: MapView) -> bytes:
    record = class_map.to_json(view.top_k)
    text = _indented(record) if view.pretty else json.dumps(record, allow_nan=False)
    return f"{text}\n".encode()


def _indented(record: dict[str, Any]) -> str:
    members = [
        f'  "{key}": {_rows(value) if _is_plane(key, value) else _nested(value)}'
        for key, value in record.items()
    ]
    return "{\n" + ",\n".join(members) + "\n}"


def _is_plane(key: str, value: Any) -> bool:
    """The classes of an explanation are a list of records."""
    return key in _PLANES and not isinstance(value[0], dict)


def _nested(value: Any) -> str:
    """On one line where it is short, else a line for each member of it."""
    text = json.dumps(value, allow_nan=False)
    if len(text) <= _LINE or not isinstance(value, (dict, list)):
        return text
    each = [json.dumps(member, allow_nan=False) for member in value]
    if isinstance(value, dict):
        each = [f"{key}: {json.dumps(value[name])}" for key, name in zip(each, value, strict=True)]
    start, end = "{}" if isinstance(value, dict) else "[]"
    return start + "\n    " + ",\n    ".join(each) + "\n  " + end


def _rows(planes: Any) -> str:
    """K x H x W numbers, a line for each row."""
    plane = [
        "[\n" + ",\n".join(f"      {json.dumps(row, allow_nan=False)}" for row in rows) + "\n    ]"
        for rows in planes
    ]
    return "[\n    " + ",\n    ".join(plane) + "\n  ]"


OUTPUT = Output("json", of_map=_of_map, reads=("top_k", "window"), explains=True)
