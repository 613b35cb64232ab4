"""The likeliest classes of each cell as a .npz: small where the whole map would be gigabytes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from netsurgery.io.files import OutputFile
from netsurgery.verbs.outputs.npz import NpzWriter
from netsurgery.verbs.outputs.record import Content, MapView, Output

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from netsurgery.maps.classmap import ClassMap

__all__ = ["OUTPUT"]

#: Bytes that a class of a cell takes, with its score, until they are written.
_NUMBER = 24


def _of_map(class_map: ClassMap, view: MapView) -> Content:
    """Probabilities are float16, which has them to a thousandth part; scores may not fit in it."""
    import numpy as np

    from netsurgery.maps.row_blocks import claim_more

    count = min(view.top_k, class_map.classes)
    claim_more(class_map, _NUMBER * count * math.prod(class_map.shape), "its likeliest classes")
    top = class_map.top(count)
    scores = np.take_along_axis(class_map.values, top, axis=0)
    arrays = {
        "classes": top.astype(np.uint16 if class_map.classes <= 1 << 16 else np.uint32),
        "scores": scores.astype(np.float16) if class_map.is_probability else scores,
        **dict(_windows(class_map)),
    }

    def write(output: OutputFile) -> None:
        with NpzWriter(output) as file:
            for key, values in arrays.items():
                file.write(key, values)

    return write


def _windows(class_map: ClassMap) -> Iterator[tuple[str, NDArray[Any]]]:
    """The first cell's window and how far it is to the next, (down, across); as in JSON."""
    import numpy as np

    from netsurgery.maps.cell_places import first_window

    for key, value in (first_window(class_map) or {}).items():
        yield f"window_{key}", np.array(value, np.float64)


OUTPUT = Output(
    "npz",
    ".npz",
    "Write the K likeliest classes of each cell, uint16, and their scores, float16 of "
    "probabilities, K x H x W each; a folder for several images.",
    of_map=_of_map,
    reads=("top_k", "window"),
)
