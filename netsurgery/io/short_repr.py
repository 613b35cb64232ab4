"""A `repr` on one line of a terminal, for what holds much."""

from __future__ import annotations

from netsurgery.io.terminal import cell, shortened

__all__ = ["ShortRepr", "short_repr"]

_LONGEST = 120


def short_repr(text: str) -> str:
    """The text in angle brackets, escaped, and shortened in the middle.

    >>> short_repr("Net 'n': 1 layer")
    "<Net 'n': 1 layer>"
    """
    return f"<{shortened(cell(text), _LONGEST - 2)}>"


class ShortRepr:
    """Shown by its class and the first line of its text."""

    def __repr__(self) -> str:
        return short_repr(f"{type(self).__name__}: {str(self).partition(chr(10))[0]}")
