"""The map drawn on its picture, or a blob's channels as a grid: a PNG."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from netsurgery.verbs.outputs.record import MapView, Output

if TYPE_CHECKING:
    from netsurgery.maps.classmap import ClassMap
    from netsurgery.maps.features import Features

__all__ = ["OUTPUT"]


def _of_map(class_map: ClassMap, view: MapView) -> bytes:
    from netsurgery.maps.heatmap import draw_png

    return draw_png(class_map, class_map.find_class(view.class_))


def _of_features(features: Features) -> bytes:
    from netsurgery.formats.blob import shape_text
    from netsurgery.maps.grid import draw_grid_png

    image = "standard input" if features.image == "-" else Path(features.image).name
    subtitle = f"{image}: {shape_text(features.values.shape)} (channels x height x width)"
    return draw_grid_png(features.values, features.blob, subtitle)


OUTPUT = Output(
    "picture",
    ".png",
    "Draw the result: a map beside and on its image, a blob's channels as a grid; a folder for "
    "several.",
    of_map=_of_map,
    of_features=_of_features,
)
