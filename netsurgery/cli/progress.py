"""How far long work has come, on standard error; on a terminal only."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from netsurgery.cli.printing import on_terminal, printable

__all__ = ["Progress", "bytes_written"]

_WIDTH = 24
#: What takes less long is not told of; seconds.
_MOMENT = 1.0
_WIPE = "\r\x1b[K"


class Progress:
    """A bar for several files: `step` before each, `clear` before anything else is printed."""

    def __init__(self, total: int, quiet: bool = False) -> None:
        self.total, self.done = total, 0
        self.shown = total > 1 and not quiet and on_terminal(sys.stderr)

    def step(self, name: str) -> None:
        """Show that `name` is being worked on."""
        full = _WIDTH * self.done // max(self.total, 1)
        self.done += 1
        if self.shown:
            bar = "#" * full + "-" * (_WIDTH - full)
            told = printable(name).replace("\n", "?").replace("\t", " ")
            # A line longer than the terminal would wrap, and could not be wiped.
            click.echo(f"{_WIPE}[{bar}] {self.done}/{self.total} {told[-36:]}", err=True, nl=False)

    def clear(self) -> None:
        """Wipe the bar."""
        if self.shown:
            click.echo(_WIPE, err=True, nl=False)


@contextmanager
def bytes_written(quiet: bool) -> Iterator[Callable[[int], None] | None]:
    """Something to call with the bytes written so far; None where nothing is shown."""
    if quiet or not on_terminal(sys.stderr):
        yield None
        return
    from netsurgery.io.memory import size_text

    due = time.monotonic() + _MOMENT

    def tell(done: int) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + _MOMENT / 5
            click.echo(f"{_WIPE}{size_text(done)} written", err=True, nl=False)

    try:
        yield tell
    finally:
        click.echo(_WIPE, err=True, nl=False)
