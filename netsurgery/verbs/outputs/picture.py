"""The map drawn on its picture, or a blob's channels as a grid: PNG, JPEG, WebP or SVG."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from netsurgery.verbs.outputs.record import MapView, Output

if TYPE_CHECKING:
    from netsurgery.maps.channel_view import ChannelView
    from netsurgery.maps.classmap import ClassMap
    from netsurgery.maps.features import Features

__all__ = ["OUTPUT"]


def _of_map(class_map: ClassMap, view: MapView) -> bytes:
    look = replace(view.look, upsample=view.upsample) if view.upsample else view.look
    return class_map.picture_file(view.class_, look=look, suffix=view.suffix)


def _of_features(features: Features, view: ChannelView, suffix: str) -> bytes:
    return features.picture_file(view, suffix)


OUTPUT = Output(
    "picture",
    ".png",
    "Draw the result: a map on its image, a blob's channels as a grid; .png, .jpg, .webp or .svg, "
    "or a folder of .png for several.",
    of_map=_of_map,
    of_features=_of_features,
    reads=("class_", "look", "upsample", "window"),
    explains=True,
)
