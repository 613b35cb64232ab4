"""Names as a caller of the library gives them: a single one, or several."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["as_names"]


def as_names(names: str | Iterable[str], what: str) -> list[str]:
    """The names in order, of any iterable; text is a single name.

    what: the argument's name. Raises TypeError for anything else.
    """
    if isinstance(names, str):
        return [names]
    listed = list(names) if isinstance(names, Iterable) else [names]
    for name in listed:
        if not isinstance(name, str):
            raise TypeError(f"{what}: found {name!r}, expected text")
    return listed
