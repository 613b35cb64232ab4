"""A bar on standard error while several files are worked on; on a terminal only."""

from __future__ import annotations

import sys

import click

from netsurgery.cli.printing import printable
from netsurgery.cli.terminal import on_terminal

__all__ = ["Progress"]

_WIDTH = 24


class Progress:
    """Call `step` before each file and `clear` before anything else is printed."""

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
            click.echo(f"\r\x1b[K[{bar}] {self.done}/{self.total} {told[-36:]}", err=True, nl=False)

    def clear(self) -> None:
        """Wipe the bar."""
        if self.shown:
            click.echo("\r\x1b[K", err=True, nl=False)
