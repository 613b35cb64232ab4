"""File names in UTF-8 text, such as a netsurgery.toml.

To the system a name is bytes. Where the locale's encoding is another, Python turns the same bytes
into other characters, and cannot encode some that the text has. Many libraries take UTF-8 alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["escaped", "name_in_text", "name_of_file", "utf8_path"]


def name_of_file(text: str) -> str:
    """A name in a text, as a name to open."""
    return os.fsdecode(text.encode("utf-8", "surrogateescape"))


def name_in_text(name: str) -> str:
    """A file's name for a text; lone surrogates where it is not UTF-8."""
    return os.fsencode(name).decode("utf-8", "surrogateescape")


def escaped(text: str) -> str:
    r"""A text for what holds UTF-8 alone: of a name that is not, the bytes as escapes.

    >>> print(escaped("caf\udce9.png"))
    caf\udce9.png
    """
    return text.encode("utf-8", "backslashreplace").decode()


@contextmanager
def utf8_path(path: str) -> Iterator[str]:
    """A path to a file for what takes names in UTF-8 alone, as long as the context lasts.

    Where the file's own is none it leads by a descriptor. Raises OSError.
    """
    if os.fsencode(path) == path.encode("utf-8", "replace"):
        yield path
        return
    fd = os.open(path, os.O_RDONLY)
    try:
        by_descriptor = f"/proc/self/fd/{fd}"
        yield by_descriptor if os.path.exists(by_descriptor) else path
    finally:
        os.close(fd)
