"""Printing for people: text that cannot steer a terminal, tables, differences of prototxts."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from itertools import count
from typing import TextIO

from netsurgery.cli.colors import color_count
from netsurgery.errors import NetsurgeryError
from netsurgery.io.table import Column, Table, cell, joined
from netsurgery.io.terminal import printable

__all__ = [
    "cell",
    "echo",
    "echo_colored",
    "echo_failed",
    "echo_json",
    "echo_json_text",
    "echo_notes",
    "echo_over",
    "echo_table",
    "echo_text",
    "joined",
    "on_terminal",
]


#: To the start of the line, and the rest of it wiped.
_WIPE = "\r\x1b[K"
_COLOR = re.compile(r"(\x1b\[[\d;]*m)")


def _write(text: str, err: bool) -> None:
    """Every word of the command line passes here; Python has None for a stream that is closed."""
    stream = sys.stderr if err else sys.stdout
    if stream is not None:
        getattr(stream, "steer", stream.write)(text)
        stream.flush()


def echo(text: str = "", *, err: bool = False) -> None:
    """`text` as one line, with what could steer a terminal escaped, to standard output (or error).

    A newline in it, of somebody's name, begins no line of its own; and no line is endless.
    """
    _write(f"{cell(text)}\n", err)


def echo_text(text: str, *, err: bool = False) -> None:
    """The same for text of any number of lines."""
    _write(printable(text if text.endswith("\n") or not text else f"{text}\n"), err)


def echo_colored(text: str) -> None:
    """The same where colours are in it: names in `text` must have been through `cell`."""
    parts = _COLOR.split(text)
    _write("".join(p if i % 2 else printable(p) for i, p in enumerate(parts)) + "\n", False)


def echo_json(value: object) -> None:
    """A value as JSON, indented."""
    echo_json_text(json.dumps(value, indent=2, allow_nan=False))


def echo_json_text(text: str) -> None:
    """JSON, which escapes by itself all but DEL."""
    echo_text(text.replace("\x7f", "\\u007f"))


def echo_over(text: str) -> None:
    """`text` on standard error's last line, in the place of what is there; "" wipes it."""
    _write(f"{_WIPE}{cell(text)}", True)


def echo_notes(notes: Iterable[str], *, err: bool = False) -> None:
    """What the user should know, a line each."""
    for note in notes:
        echo(f"note: {note}", err=err)


def echo_failed(image: str, error: NetsurgeryError, *, alone: bool = False) -> None:
    """The error's line, to standard error.

    With the image's name where the error does not say it, unless it is the one image there is.
    """
    name = "standard input" if image == "-" else image
    named = alone or str(error).startswith(f"{name}:")
    echo(f"error: {error}" if named else f"error: {name}: {error}", err=True)


def echo_table(
    table: Table | Iterable[Sequence[str]], right: str = "", *, err: bool = False
) -> None:
    """Print a table, to standard error if `err`: as wide as the terminal at most, whole elsewhere.

    Of rows the first is the header; `right` has an "r" for each column of numbers.
    """
    if not isinstance(table, Table):
        head, *rows = table
        numbers = (right[i : i + 1] == "r" for i in range(len(head)))
        table = Table([Column(*column) for column in zip(head, count(), numbers)], rows)
    stream = sys.stderr if err else sys.stdout
    if not on_terminal(stream):
        _write("".join(f"{line}\n" for line in table.lines()), err)
        return
    head, *lines = table.lines(terminal_width())
    bold = f"\x1b[1m{head}\x1b[0m" if color_count(stream) else head
    rule = "-" * max(map(len, (head, *lines)))
    _write("".join(f"{line}\n" for line in (bold, rule, *lines)), err)


def terminal_width() -> int:
    """The columns of the terminal, one less where a full line would wrap."""
    return shutil.get_terminal_size().columns


def on_terminal(stream: TextIO | None) -> bool:
    """Whether the stream is a terminal; Python has None for one that was closed at the start."""
    return stream is not None and stream.isatty()
