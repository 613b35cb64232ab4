"""Files, named by text or by a path."""

from __future__ import annotations

from pathlib import Path

__all__ = ["AnyPath", "as_path"]

#: A file's name; "~" and variables are not expanded.
AnyPath = str | Path


def as_path(path: AnyPath | None) -> Path | None:
    """The same as a Path, None where it is."""
    return None if path is None else Path(path)
