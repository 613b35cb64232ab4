"""How far long work has come, on standard error; on a terminal only."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from netsurgery.cli.printing import cell, echo_over, on_terminal
from netsurgery.io.cleanup import Undo
from netsurgery.io.terminal import say

__all__ = ["Progress", "bytes_written"]

_WIDTH = 24
#: What takes less long is not told of; seconds.
_MOMENT = 1.0


class Progress:
    """A bar for several files: `step` before each, `clear` before anything else is printed."""

    def __init__(self, total: int, quiet: bool = False) -> None:
        self.total, self.done = total, 0
        self.shown = total > 1 and not quiet and on_terminal(sys.stderr)
        self._bar: Undo | None = None

    def step(self, name: str) -> None:
        """Show that `name` is being worked on."""
        full = _WIDTH * self.done // max(self.total, 1)
        self.done += 1
        if self.shown:
            self._bar = self._bar or Undo(_next_line)
            bar = "#" * full + "-" * (_WIDTH - full)
            # A line longer than the terminal would wrap, and could not be wiped.
            echo_over(f"[{bar}] {self.done}/{self.total} {cell(name)[-36:]}")

    def clear(self) -> None:
        """Wipe the bar."""
        if self._bar is not None:
            echo_over("")
            self._bar.forget()
            self._bar = None


def _next_line() -> None:
    """For the shell's prompt, where a signal ends the command behind a bar."""
    say("\n")


@contextmanager
def bytes_written(quiet: bool) -> Iterator[Callable[[int], None] | None]:
    """Something to call with the bytes written so far; None where nothing is shown."""
    if quiet or not on_terminal(sys.stderr):
        yield None
        return
    from netsurgery.io.memory import size_text

    due, shown = time.monotonic() + _MOMENT, Undo(_next_line)

    def tell(done: int) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + _MOMENT / 5
            echo_over(f"{size_text(done)} written")

    try:
        yield tell
    finally:
        echo_over("")
        shown.forget()
