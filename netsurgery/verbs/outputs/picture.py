"""The map drawn on its picture, or a blob's channels as a grid: a PNG."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsurgery.verbs.outputs.record import MapView, Output

if TYPE_CHECKING:
    from netsurgery.maps.classmap import ClassMap

__all__ = ["OUTPUT"]


def _of_map(class_map: ClassMap, view: MapView) -> bytes:
    from netsurgery.maps.heatmap import draw_png

    return draw_png(class_map, class_map.find_class(view.class_))


OUTPUT = Output(
    "picture",
    ".png",
    "Draw the result: a map beside and on its image, a blob's channels as a grid; a folder for "
    "several.",
    of_map=_of_map,
    of_features=lambda features: features.to_png(),
    reads=("class_", "window"),
)
