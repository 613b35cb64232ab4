"""Shapes as every message, table and note prints them."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["shape_text"]


def shape_text(shape: Iterable[object]) -> str:
    """(1, 3, 227, 227) is "1x3x227x227"; a shape without axes is "scalar"."""
    return "x".join(map(str, shape)) or "scalar"
