"""A map as text for people: what it is of, its rows of classes, and the table of classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsurgery.verbs.outputs.record import MapView, Output

if TYPE_CHECKING:
    from netsurgery.maps.classmap import ClassMap

__all__ = ["OUTPUT"]


def _of_map(class_map: ClassMap, view: MapView) -> bytes:
    text = class_map.to_text(view.style, summary=view.summary)
    return f"{text}\n".encode("utf-8", "surrogateescape")


OUTPUT = Output("text", of_map=_of_map, explains=True)
