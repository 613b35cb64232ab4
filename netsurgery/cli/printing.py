"""Printing for people: text that cannot steer a terminal, tables, differences of prototxts."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, TextIO

from netsurgery.cli.colors import BAD, DOUBTFUL, GOOD, PLACE, Color, bold, mark
from netsurgery.errors import NetsurgeryError
from netsurgery.io.terminal import STDIN, cell, printable

if TYPE_CHECKING:
    from pathlib import Path

    from netsurgery.io.table import Table

__all__ = [
    "NotePrinter",
    "cell",
    "echo",
    "echo_colored",
    "echo_diff",
    "echo_failed",
    "echo_json",
    "echo_json_text",
    "echo_labelled",
    "echo_notes",
    "echo_over",
    "echo_table",
    "echo_text",
    "on_terminal",
    "show_as",
    "terminal_width",
]


#: The colours of the words that lines begin with.
_LABELS = {"error": BAD, "warning": DOUBTFUL, "note": PLACE}

#: To the start of the line, and the rest of it wiped.
_WIPE = "\r\x1b[K"
_COLOR = r"(\x1b\[[\d;]*m)"


#: Path -> what is printed in its place.
_NAMES: dict[str, str] = {}


def show_as(path: Path, name: str) -> None:
    """From now on print a temporary file's path as `name`."""
    _NAMES[str(path)] = name


def _stream(err: bool) -> TextIO | None:
    return sys.stderr if err else sys.stdout


def _write(text: str, err: bool) -> None:
    """Every word of the command line passes here; Python has None for a stream that is closed."""
    for path, name in _NAMES.items():
        text = text.replace(path, name)
    stream = _stream(err)
    if stream is not None:
        # Past the escaping of `streams`: colours are in it. What tests put in place has no `steer`.
        getattr(stream, "steer", stream.write)(text)
        # Standard output and error may be the same terminal: lines stay in their order.
        stream.flush()


def echo(text: str = "", *, err: bool = False, color: Color | None = None) -> None:
    """`text` as one line, with what could steer a terminal escaped, to standard output (or error).

    A newline in it, of somebody's name, begins no line of its own; and no line is endless.
    """
    _write(f"{mark(cell(text), color, _stream(err))}\n", err)


def echo_labelled(label: str, text: str, *, err: bool = False) -> None:
    """A line that begins "error: ", "warning: " or "note: ", the label in its colour."""
    stream = _stream(err)
    painted = mark(f"{label}:", _LABELS.get(label), stream)
    _write(f"{painted}{cell(f' {text}')}\n", err)


def echo_diff(text: str, *, err: bool = False) -> None:
    """A unified diff, its lines in colours."""
    stream = _stream(err)
    for line in text.removesuffix("\n").split("\n") if text else ():
        _write(f"{mark(cell(line), _diff_color(line), stream)}\n", err)


def _diff_color(line: str) -> Color | None:
    if line.startswith(("---", "+++")):
        return None
    return {"-": BAD, "+": GOOD, "@": PLACE}.get(line[:1])


def echo_text(text: str, *, err: bool = False) -> None:
    """The same for text of any number of lines."""
    _write(printable(text if text.endswith("\n") or not text else f"{text}\n"), err)


def echo_colored(text: str) -> None:
    """The same where colours are in it: names in `text` must have been through `cell`."""
    # The group in the pattern keeps the colours, as every second part.
    parts = re.split(_COLOR, text)
    _write("".join(p if i % 2 else printable(p) for i, p in enumerate(parts)) + "\n", False)


def echo_json(value: object) -> None:
    """A value as JSON, indented."""
    import json

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
        echo_labelled("note", note, err=err)


class NotePrinter:
    """Prints the notes on pictures on standard error, each kind once; none with -q.

    records: whether the records of maps are printed, or written, which cells without windows are
    only missed in.
    """

    def __init__(self, quiet: bool, *, records: bool = False) -> None:
        self._quiet = quiet
        self._done = set() if records else {"windows"}

    def say(self, notes: Mapping[str, str]) -> None:
        """Print what is of a new kind; notes: kind -> a line."""
        if not self._quiet:
            echo_notes((note for kind, note in notes.items() if kind not in self._done), err=True)
            self._done |= set(notes)


def echo_failed(image: str, error: NetsurgeryError, *, alone: bool = False) -> None:
    """The error's line, to standard error.

    With the image's name where the error does not say it, unless it is the one image there is.
    """
    name = STDIN if image == "-" else image
    named = alone or f" {name}: " in f" {error}"
    echo_labelled("error", str(error) if named else f"{name}: {error}", err=True)


def echo_table(table: Table, *, colors: Sequence[Color | None] = (), err: bool = False) -> None:
    """Print a table, to standard error if `err`: as wide as the terminal at most, whole elsewhere.

    colors: those of the rows, where they mean something.
    """
    from netsurgery.io.table import rule_under

    stream = _stream(err)
    head, *lines = table.lines(terminal_width() if on_terminal(stream) else None)
    # `colors` may be empty.
    painted = [mark(line, color, stream) for line, color in zip_longest(lines, colors)]
    rule = [rule_under((head, *lines))] if on_terminal(stream) else []
    _write("".join(f"{line}\n" for line in (bold(head, stream), *rule, *painted)), err)


def terminal_width() -> int:
    """How many columns the terminal has."""
    import shutil

    return shutil.get_terminal_size().columns


def on_terminal(stream: TextIO | None) -> bool:
    """Whether the stream is a terminal; Python has None for one that was closed at the start."""
    return stream is not None and stream.isatty()
