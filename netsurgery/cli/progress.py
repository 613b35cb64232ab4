"""How far long work has come, and the time left: click's bar, on a terminal alone."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from netsurgery.cli.printing import cell, echo_over, on_terminal, terminal_width
from netsurgery.io.cleanup import Undo
from netsurgery.io.closeable import Closeable
from netsurgery.io.terminal import say

__all__ = ["LateProgress", "Progress", "bytes_written"]

#: Work that takes less time shows no bar; seconds.
_MOMENT = 1.0


class _LastLine(io.StringIO):
    """Where click draws: the last line of standard error, wiped where click would end it."""

    def write(self, text: str) -> int:
        # A line longer than the terminal would wrap, and could not be wiped.
        echo_over(click.unstyle(text).strip()[: terminal_width() - 1])
        return len(text)

    def isatty(self) -> bool:
        # click draws nothing elsewhere; `Progress` has asked standard error itself.
        return True


class Progress:
    """A bar over `total` steps, shown after `moment` seconds; `clear` it before other output.

    before: steps that an earlier process has done, which say nothing of the time left.
    """

    def __init__(
        self,
        total: int,
        quiet: bool = False,
        *,
        before: int = 0,
        moment: float = 0.0,
        **looks: Any,
    ) -> None:
        self._moment, self._done, self._before = moment, 0, before
        self._began = time.time()
        self._on_screen: Undo | None = None
        self._bar: Any = None
        if total > 1 and not quiet and on_terminal(sys.stderr):
            self._bar = click.progressbar(
                length=total,
                file=_LastLine(),
                # The end of a path says more than its beginning.
                item_show_func=lambda item: item and cell(item)[-36:],
                update_min_steps=0,  # a new item shows without a step
                width=24,
                empty_char="-",
                **looks,
            )

    def step_to(self, done: int, item: str = "") -> None:
        """Show that `done` steps are over and `item` is in work."""
        if self._bar is None:
            return
        # A hidden bar counts steps, so that its time left is right when it appears.
        now = time.time()
        self._bar.hidden = now < self._began + self._moment
        if done > self._before:
            # click takes all steps to have been made since then.
            self._bar.start = now - (now - self._began) * done / (done - self._before)
        if not self._bar.hidden:
            self._on_screen = self._on_screen or Undo(_next_line)
        self._bar.update(done - self._done, item)
        self._done = done

    def clear(self) -> None:
        """Wipe the bar."""
        if self._on_screen is not None:
            self._bar.render_finish()
            self._on_screen.forget()
            self._on_screen = None


class LateProgress(Closeable):
    """A bar whose number of steps the first call says; `close` wipes it.

    What is over at the first call was so before, where the work `goes_on`: it says
    nothing of the time that is left.
    """

    def __init__(self, quiet: bool = False, *, goes_on: bool = False, **looks: Any) -> None:
        self._quiet, self._goes_on, self._looks = quiet, goes_on, looks
        self._progress: Progress | None = None

    def step_to(self, done: int, total: int, item: str = "") -> None:
        """Show that `done` steps of `total` are over and `item` is in work."""
        if self._progress is None:
            before = done if self._goes_on else 0
            self._progress = Progress(total, self._quiet, before=before, **self._looks)
        self._progress.step_to(done, item)

    def close(self) -> None:
        if self._progress is not None:
            self._progress.clear()


def _next_line() -> None:
    """For the shell's prompt, where a signal ends the command after a bar."""
    say("\n")


@contextmanager
def bytes_written(quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A function to call with the bytes written and those in all; None where nothing is shown."""
    if quiet or not on_terminal(sys.stderr):
        yield None
        return
    from netsurgery.io.memory import size_text

    with LateProgress(moment=_MOMENT) as bar:
        yield lambda done, total: bar.step_to(
            done, total, f"{size_text(done)} of {size_text(total)}"
        )
