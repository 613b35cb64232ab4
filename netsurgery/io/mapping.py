"""Which files are mapped into memory, since one that becomes shorter ends the process by SIGBUS.

The command line asks to be called (`guard`) when the first file is mapped, so that it can say which
file it was and clean up. In a program of others the signal is theirs.
"""

from __future__ import annotations

import os
from collections.abc import Callable

__all__ = ["guard", "shortened", "watch"]

_guards: list[Callable[[], None]] = []
#: Path -> the size it had when it was mapped. A few files a run; none is taken out.
_mapped: dict[str, int] = {}


def guard(action: Callable[[], None]) -> None:
    """Have `action` called, once, before the first file is mapped."""
    _guards.append(action)


def watch(path: str, size: int) -> None:
    """Note that the file is about to be mapped, by us or by a library."""
    _mapped[os.path.abspath(path)] = size
    while _guards:
        _guards.pop()()


def shortened() -> str:
    """The message about a mapped file that can no longer be read."""
    for path, size in _mapped.items():
        try:
            if os.stat(path).st_size < size:
                return f"{path}: became shorter while it was being read"
        except OSError:
            continue
    return f"cannot be read any more: {', '.join(_mapped)}"
