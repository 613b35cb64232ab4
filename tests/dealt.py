"""Every command with every fault, and other such products: a share of the pairs, or all.

The suite has each row and each column some times; `make sweeps` has every row with every column.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import TypeVar

__all__ = ["WHOLE", "dealt"]

Row = TypeVar("Row")
Column = TypeVar("Column")

#: Whether all pairs are wanted.
WHOLE = bool(os.environ.get("NETSURGERY_SWEEPS"))


def dealt(
    rows: Collection[Row], columns: Collection[Column], share: int
) -> list[tuple[Row, Column]]:
    """Each row with every `share`th column, each time from the next one on."""
    assert share <= min(len(rows), len(columns)), "a row or a column would be left out"
    share = 1 if WHOLE else share
    return [
        (row, column)
        for i, row in enumerate(rows)
        for j, column in enumerate(columns)
        if (i + j) % share == 0
    ]
