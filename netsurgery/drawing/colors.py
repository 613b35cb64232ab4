"""The colours of every sheet: its paper, what is written and drawn on it."""

from __future__ import annotations

__all__ = ["FRAME", "INK", "PALE", "PAPER", "Color"]

#: Red, green and blue, 0..255.
Color = tuple[int, int, int]

PAPER: Color = (250, 250, 248)
INK: Color = (28, 32, 40)
#: Of text that explains, and of the lines around images.
PALE: Color = (92, 96, 106)
FRAME: Color = (198, 200, 204)
