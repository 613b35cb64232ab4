"""What must be removed when the process ends before its work does.

Whoever makes something that must not stay (a temporary file, a folder, a process) says here how it
goes. Leaving its ``with`` does that in the ordinary way, after an error too. Where a signal ends
the command (`netsurgery.__main__`), nothing is unwound: `end` does all that is left to do, from
whichever thread, and the process exits. So no exception comes out of nowhere, in the middle of a
``finally`` least of all, and a second signal finds nothing to disturb.

A `step` is what no signal may come between: making a thing and saying how it goes, or putting all
outputs in place. `end` waits for the step that is being taken, so steps are short.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from types import TracebackType

__all__ = ["Undo", "end", "end_after_step", "step"]


#: In the order made; a dict for its order.
_left: dict[Undo, None] = {}


class Undo:
    """How to remove something: call it, once, or `forget` it where it is to stay.

    early: before all that is not, however late it was made; for processes, which write to files.
    """

    def __init__(self, action: Callable[[], None], *, early: bool = False) -> None:
        self.action, self.early = action, early
        _left[self] = None

    def __call__(self) -> None:
        if self in _left:
            self.action()
            self.forget()

    def forget(self) -> None:
        """Leave it."""
        _left.pop(self, None)


class _Step:
    """See the module; steps may stand in one another."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.depth = 0
        #: The exit code asked for while a step was taken, or being carried out.
        self.code: int | None = None
        self.ending = False

    def __enter__(self) -> None:
        self.lock.acquire()
        self.depth += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.depth -= 1
        over = self.depth == 0
        self.lock.release()
        if over and self.code is not None:
            end(self.code)


step = _Step()


def end(code: int) -> None:
    """Undo what is left and exit with `code`, at once; returns only where that is under way."""
    step.lock.acquire()  # for ever: who wants a step now, or to end, waits for the exit
    if step.ending:
        return
    step.ending = True
    try:
        for undo in _in_order():
            with contextlib.suppress(Exception):
                undo()
    finally:
        os._exit(code)


def _in_order() -> list[Undo]:
    """What is left to be undone, the last made first."""
    undos = list(reversed(_left))
    return [undo for undo in undos if undo.early] + [undo for undo in undos if not undo.early]


def end_after_step(code: int) -> None:
    """The same for a thread that may be taking a step itself, as a signal's handler meets it."""
    step.code = code
    if not step.depth:
        end(code)
