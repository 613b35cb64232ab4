"""What standard output and standard error are."""

from __future__ import annotations

import os
import sys
from typing import TextIO

__all__ = ["on_terminal", "stdout_in_color"]


def on_terminal(stream: TextIO | None) -> bool:
    """Whether the stream is a terminal; Python has None for one that was closed at the start."""
    return stream is not None and stream.isatty()


def stdout_in_color() -> bool:
    """Whether to colour: on a terminal that can, unless NO_COLOR is set to anything."""
    able = on_terminal(sys.stdout) and os.environ.get("TERM") != "dumb"
    return able and not os.environ.get("NO_COLOR")
