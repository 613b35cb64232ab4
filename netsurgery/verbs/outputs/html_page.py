"""Maps in a browser: one page for all pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from netsurgery.verbs.outputs.record import MapView, Output

if TYPE_CHECKING:
    from netsurgery.maps.classmap import ClassMap

__all__ = ["OUTPUT"]


def _of_map(class_map: ClassMap, view: MapView) -> bytes:
    from netsurgery.maps.page.record import map_part

    named = class_map.names.find_several(class_map.drawn(view.class_))
    number = named[0] if named else None  # the page shows one at a time, or each cell's likeliest
    return map_part(class_map, number=number, all_classes=view.all_classes)


def _join(parts: Sequence[bytes]) -> bytes:
    from netsurgery.maps.page.document import page

    return page(parts)


OUTPUT = Output(
    "html",
    ".html",
    "Write a page for a browser to explore the result: one file that needs no network, for several "
    "images too.",
    of_map=_of_map,
    join=_join,
    reads=("class_", "all_classes", "window"),
    explains=True,
)
