"""Boxes as COCO's evaluation reads them: a JSON list, written box by box, a line each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, BinaryIO

__all__ = ["CocoResults", "coco_box"]


def coco_box(box: tuple[float, float, float, float], score: float) -> dict[str, Any]:
    """What a record has of a box itself, given by left, top, right and bottom.

    >>> coco_box((1.0, 2.0, 4.0, 8.0), 0.5)
    {'bbox': [1.0, 2.0, 3.0, 6.0], 'score': 0.5}
    """
    left, top, right, bottom = box
    return {"bbox": [left, top, right - left, bottom - top], "score": score}


class CocoResults:
    """The list in the making; `end` makes it whole."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._before = file, b"[\n"

    def add(self, record: Mapping[str, Any]) -> None:
        """Write one box."""
        self._file.write(self._before + json.dumps(record, allow_nan=False).encode())
        self._before = b",\n"

    def end(self) -> None:
        """Write what closes the list."""
        self._file.write(b"[\n]\n" if self._before == b"[\n" else b"\n]\n")
