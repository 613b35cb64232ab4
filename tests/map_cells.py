"""The cells of a record of `classify-map --json`, one by one, by what docs/json.md says of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

__all__ = ["Cell", "cells_of"]


class Cell(NamedTuple):
    """window: x0, y0, x1, y1. scores: class -> score, likeliest first."""

    row: int
    column: int
    window: list[float]
    scores: dict[int, float]


def cells_of(record: dict[str, Any]) -> Iterator[Cell]:
    """Row by row."""
    (rows, columns), windows = record["map_size"], record["windows"]
    for row in range(rows):
        for column in range(columns):
            top = windows["start"][0] + row * windows["stride"][0]
            left = windows["start"][1] + column * windows["stride"][1]
            height, width = windows["size"]
            planes = zip(record["classes"], record["scores"], strict=True)
            scores = {classes[row][column]: scores[row][column] for classes, scores in planes}
            yield Cell(row, column, [left, top, left + width, top + height], scores)
