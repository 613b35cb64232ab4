"""What the surgeries return has in common: it is open until it is closed, and short when shown."""

from __future__ import annotations

import weakref
from contextlib import ExitStack
from typing import ClassVar, Protocol

from netsurgery.errors import NetError
from netsurgery.io.closeable import Closeable
from netsurgery.io.short_repr import ShortRepr

__all__ = ["OpenResult"]


class _Input(Protocol):
    def check_unchanged(self) -> None: ...


class OpenResult(ShortRepr, Closeable):
    """A result that reads its inputs when it is saved; they are closed with it, or collected."""

    #: What messages call it.
    noun: ClassVar[str]

    def __init__(self, source: ExitStack, *inputs: _Input) -> None:
        """source: closes the inputs."""
        self._inputs = inputs
        # Unlike __del__ it also runs at exit, and only once; `alive` says whether it has run.
        self._release = weakref.finalize(self, source.close)

    def check_open(self) -> None:
        """Raise NetError once it is closed, CaffemodelError where an input has changed since."""
        if not self._release.alive:
            raise NetError(f"the {self.noun} is closed")
        for each in self._inputs:
            each.check_unchanged()

    def close(self) -> None:
        """Close the inputs; `net`, once it was asked for, stays open."""
        self._release()
