"""Shapes as every message, table and note prints them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import SupportsFloat

__all__ = ["shape_text", "sides_text", "stride_text"]


def shape_text(shape: Iterable[object]) -> str:
    """(1, 3, 227, 227) is "1x3x227x227"; a shape without axes is "scalar"."""
    return "x".join(map(str, shape)) or "scalar"


def sides_text(numbers: Sequence[int]) -> str:
    """A pad, stride or dilation: one number where all axes have the same.

    >>> sides_text((2, 2)), sides_text((2, 1))
    ('2', '2x1')
    """
    return shape_text(numbers[:1] if len(set(numbers)) == 1 else numbers)


def stride_text(steps: Iterable[SupportsFloat]) -> str:
    """A stride as it is printed: two distances, not a shape.

    >>> stride_text((8.0, 8.0))
    '8 x 8'
    """
    return " x ".join(f"{float(step):g}" for step in steps)
