"""What standard output is."""

from __future__ import annotations

import os
import sys

__all__ = ["stdout_in_color"]


def stdout_in_color() -> bool:
    """Whether to colour: on a terminal that can, unless NO_COLOR is set to anything."""
    able = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    return able and not os.environ.get("NO_COLOR")
