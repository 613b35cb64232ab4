"""The boxes found in all pictures, in COCO's form of results, written as the pictures are done.

A picture's id is its place in the order of the pictures, from 1 on, also where one before it
failed. A part is a picture's boxes without that id.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from netsurgery.errors import NetsurgeryError
from netsurgery.io.files import OutputFile
from netsurgery.verbs.outputs.record import MapTable, MapView, Output, trouble_named

if TYPE_CHECKING:
    from netsurgery.maps.classmap import ClassMap

__all__ = ["OUTPUT"]

#: What a box takes while its record is made, besides the names in it.
_BOX = 2000


def _of_map(class_map: ClassMap, view: MapView) -> bytes:
    from netsurgery.maps.boxes import map_boxes, named_background
    from netsurgery.maps.coco_results import coco_box
    from netsurgery.maps.row_blocks import claim_more

    boxes = class_map.boxes
    if boxes is None:  # the rules that hold where none are given
        boxes = tuple(map_boxes(class_map, background=named_background(class_map)))
    label = 0 if class_map.labels is None else max(map(len, class_map.labels.lines))
    claim_more(
        class_map, (_BOX + 12 * (len(class_map.image) + label)) * len(boxes), "its boxes as JSON"
    )
    records = []
    for each in boxes:
        named = {} if class_map.labels is None else {"category_name": class_map.label(each.number)}
        records.append(
            {
                "file_name": class_map.image,
                "category_id": each.number,
                **named,
                **coco_box(each.box, each.score),
            }
        )
    return json.dumps(records, allow_nan=False).encode()


def _of_error(image: str, error: NetsurgeryError) -> bytes:
    return b"[]"


class BoxList(MapTable):
    """The file in the making."""

    def __init__(self, output: OutputFile) -> None:
        from netsurgery.maps.coco_results import CocoResults

        self._path, self._pictures = output.path, 0
        self._file = os.fdopen(os.dup(output.fd), "wb")
        self._results = CocoResults(self._file)

    def add(self, part: bytes) -> None:
        self._pictures += 1
        records = json.loads(part)
        with trouble_named(self._path):
            for record in records:
                self._results.add({"image_id": self._pictures, **record})

    def close(self) -> None:
        with trouble_named(self._path), self._file:
            self._results.end()


OUTPUT = Output(
    "boxes",
    ".json",
    "Find boxes, the windows of cells that are sure of a class, and write those of all images as "
    "COCO's results: image_id, the image's place in the order given from 1 on, file_name, "
    "category_id, the number of the class, bbox and score. A picture shows them, JSON has them.",
    of_map=_of_map,
    of_error=_of_error,
    table=BoxList,
    reads=("window",),
)
