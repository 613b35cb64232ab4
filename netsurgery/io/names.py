"""File names in UTF-8 text, such as a netsurgery.toml.

To the system a name is bytes. Where the locale's encoding is another, Python turns the same bytes
into other characters, and cannot encode some that the text has.
"""

from __future__ import annotations

import os

__all__ = ["name_in_text", "name_of_file"]


def name_of_file(text: str) -> str:
    """A name in a text, as a name to open."""
    return os.fsdecode(text.encode("utf-8", "surrogateescape"))


def name_in_text(name: str) -> str:
    """A file's name for a text; lone surrogates where it is not UTF-8."""
    return os.fsencode(name).decode("utf-8", "surrogateescape")
