"""A map as text for people: what it is of, its rows of classes, and the table of classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsurgery.verbs.outputs.record import MapView, Output

if TYPE_CHECKING:
    from netsurgery.maps.classmap import ClassMap

__all__ = ["OUTPUT"]


def _of_map(class_map: ClassMap, view: MapView) -> bytes:
    from netsurgery.maps.explanation import Explanation
    from netsurgery.maps.map_text import PLAIN, head_text, map_text, table_text

    if isinstance(class_map, Explanation):
        text = class_map.to_text(view.style, summary=view.summary)
        return f"{text}\n".encode("utf-8", "surrogateescape")
    style = view.style or PLAIN
    parts = [table_text(class_map, style)]
    if not view.summary:
        parts = [f"{head_text(class_map, style)}\n{map_text(class_map, style)}", *parts]
    return ("\n\n".join(parts) + "\n").encode("utf-8", "surrogateescape")


OUTPUT = Output("text", of_map=_of_map, explains=True)
