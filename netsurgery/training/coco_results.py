"""Boxes found in annotated pictures, as COCO's evaluation reads them.

The ids are those of the annotations where these are COCO's; else pictures and classes are numbered
from 1 on, in the order of the annotations.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import NamedTuple

from netsurgery.maps.coco_results import CocoResults, coco_box
from netsurgery.training.objects import Annotations, Box, CocoIds

__all__ = ["CocoBox", "coco_ids", "coco_results"]


class CocoBox(NamedTuple):
    """A box that is found: the ids, left, top, right, bottom, and the score."""

    image: int
    category: int
    box: Box
    score: float


def coco_ids(annotations: Annotations) -> CocoIds:
    """The ids for boxes that are found in the annotations' pictures."""
    return annotations.ids or CocoIds(
        {picture.name: number for number, picture in enumerate(annotations.pictures, 1)},
        {name: number for number, name in enumerate(annotations.classes, 1)},
    )


def coco_results(boxes: Iterable[CocoBox]) -> bytes:
    """The file's bytes, a line a box.

    >>> print(coco_results([CocoBox(7, 2, (1.0, 2.0, 4.0, 8.0), 0.5)]).decode(), end="")
    [
    {"image_id": 7, "category_id": 2, "bbox": [1.0, 2.0, 3.0, 6.0], "score": 0.5}
    ]
    """
    file = io.BytesIO()
    results = CocoResults(file)
    for each in boxes:
        ids = {"image_id": each.image, "category_id": each.category}
        results.add({**ids, **coco_box(each.box, each.score)})
    results.end()
    return file.getvalue()
