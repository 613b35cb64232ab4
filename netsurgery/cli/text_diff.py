"""What becomes of a prototxt's text, as a unified diff."""

from __future__ import annotations

from netsurgery.formats.prototxt import Prototxt

__all__ = ["text_diff"]


def text_diff(old: Prototxt, new: str, name: str) -> str:
    """The unified diff to the text `new`, called `name`; comments and layout included."""
    import difflib

    before, after = (text.splitlines(keepends=True) for text in (old.original or old.text, new))
    lines = difflib.unified_diff(before, after, str(old.path), name)
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)
