"""The colours of every sheet, its paper and what is written and drawn on it; and named colours."""

from __future__ import annotations

from typing import TypeAlias

__all__ = ["FRAME", "INK", "PALE", "PAPER", "Color", "Tone", "hex_color"]

#: Red, green and blue, 0..255.
Color: TypeAlias = tuple[int, int, int]

PAPER: Color = (250, 250, 248)
INK: Color = (28, 32, 40)
#: Of text that explains, and of the lines around images.
PALE: Color = (92, 96, 106)
FRAME: Color = (198, 200, 204)


class Tone(tuple[int, int, int]):
    """A colour with a name, and what SVG shows for it to those who prefer dark.

    >>> ink = Tone("ink", "#16191f", "#eceef2")
    >>> ink, ink.name, ink.dark
    ((22, 25, 31), 'ink', '#eceef2')
    """

    name: str
    dark: str

    def __new__(cls, name: str, light: str, dark: str) -> Tone:
        """light, dark: as "#16191f"."""
        tone = super().__new__(cls, bytes.fromhex(light[1:]))
        tone.name, tone.dark = name, dark
        return tone


def hex_color(color: Color) -> str:
    """As SVG writes it: "#16191f"."""
    return "#{:02x}{:02x}{:02x}".format(*color)
