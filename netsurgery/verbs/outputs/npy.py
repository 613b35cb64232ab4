"""The numbers as a .npy: a class map's, or one blob's with its geometry as JSON beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from netsurgery.io.files import OutputFile
from netsurgery.verbs.outputs.record import Collection, Content, FeatureFile, MapView, Output

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from netsurgery.maps.classmap import ClassMap
    from netsurgery.maps.features import Features

__all__ = ["COLLECTION", "OUTPUT"]


class NpyFile(FeatureFile):
    """The array, and its geometry beside it."""

    def __init__(self, outputs: Sequence[OutputFile]) -> None:
        self._array, self._geometry = outputs

    def add(self, name: str, features: Features) -> None:
        from netsurgery.io.npy import write_npy

        write_npy(self._array, features.values)
        self._geometry.write((json.dumps(features.to_json(), indent=2) + "\n").encode())

    def close(self) -> None:
        """Both are whole as soon as they are added."""


def _of_map(class_map: ClassMap, view: MapView) -> Content:
    if view.upsample is None:
        return _content(class_map.values)
    from netsurgery.io.npy import write_npy_parts
    from netsurgery.maps.upsampled import Upsampled

    upsampled = Upsampled.of(class_map)
    return lambda output: write_npy_parts(output, upsampled.shape, upsampled.by_class)


def _content(values: NDArray[np.float32]) -> Content:
    from netsurgery.io.npy import write_npy

    return lambda output: write_npy(output, values)


OUTPUT = Output(
    "npy",
    ".npy",
    "Write the whole map, float32 C x H x W; a folder for several images.",
    of_map=_of_map,
    of_values=lambda values: _content(values),
    reads=("upsample",),
    explains=True,
)

COLLECTION = Collection((".npy",), NpyFile, beside=".json", single=True)
