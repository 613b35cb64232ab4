"""Shapes as every message, table and note prints them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import SupportsFloat

__all__ = ["shape_text", "stride_text"]


def shape_text(shape: Iterable[object]) -> str:
    """(1, 3, 227, 227) is "1x3x227x227"; a shape without axes is "scalar"."""
    return "x".join(map(str, shape)) or "scalar"


def stride_text(steps: Iterable[SupportsFloat]) -> str:
    """A stride as it is printed: two distances, not a shape.

    >>> stride_text((8.0, 8.0))
    '8 x 8'
    """
    return " x ".join(f"{float(step):g}" for step in steps)
