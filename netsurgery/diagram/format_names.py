"""What the forms of a drawing are called; `formats.py` makes them."""

from __future__ import annotations

from typing import Literal, TypeAlias

__all__ = ["FormatName"]

FormatName: TypeAlias = Literal["svg", "png", "html", "mermaid", "dot"]
