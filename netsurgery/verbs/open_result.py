"""What the surgeries return has in common: it is open until it is closed, and short when shown."""

from __future__ import annotations

import weakref
from abc import abstractmethod
from contextlib import ExitStack
from typing import TYPE_CHECKING, ClassVar, Protocol

from netsurgery.errors import NetError
from netsurgery.io.closeable import Closeable
from netsurgery.io.short_repr import ShortRepr

if TYPE_CHECKING:
    from netsurgery.io.table import Table

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

    @abstractmethod
    def table(self) -> Table:
        """What was done, in rows."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know."""
        return ()

    def _repr_html_(self) -> str:
        import html

        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        return f"<p>{html.escape(str(self))}</p>\n{self.table().html()}\n{notes}"

    def close(self) -> None:
        """Close the inputs; `net`, once it was asked for, stays open."""
        self._release()
