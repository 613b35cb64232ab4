"""Printing for people: text that cannot steer a terminal, tables, differences of prototxts."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TextIO

from netsurgery.errors import NetsurgeryError
from netsurgery.io.terminal import printable

if TYPE_CHECKING:
    from netsurgery.formats.prototxt import Prototxt

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
    "text_diff",
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


#: How many of a list a cell shows.
_SHOWN = 4


#: How many characters a line has at most, and how many a cell of a table, before escapes.
LONGEST, WIDEST = 1500, 80


def shortened(text: str, most: int) -> str:
    """`text`, or its beginning and its end where it is longer than `most`."""
    if len(text) <= most:
        return text
    end = most // 3
    return f"{text[: most - end - 3]}...{text[-end:]}"


def cell(text: str, most: int = LONGEST) -> str:
    """`text` on one line, not endless, with what could steer a terminal escaped."""
    return printable(shortened(text, most)).replace("\n", "\\n").replace("\t", "\\t")


def joined(parts: Sequence[str]) -> str:
    """The parts with commas between; of many the first few, and how many more."""
    if len(parts) > _SHOWN + 1:
        return f"{', '.join(parts[:_SHOWN])}, {len(parts) - _SHOWN} more"
    return ", ".join(parts)


def echo_table(rows: Iterable[Sequence[str]], right: str = "", *, err: bool = False) -> None:
    """Print rows, to standard error if `err`; `right` has an "r" for each right-aligned column.

    A long cell is cut: it would make all of its column as wide. JSON has it whole.
    """
    cleaned = [[cell(text, WIDEST) for text in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cleaned, strict=True)]
    for row in cleaned:
        cells = [
            text.rjust(width) if right[i : i + 1] == "r" else text.ljust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        _write(f"{'  '.join(cells).rstrip()}\n", err)


def on_terminal(stream: TextIO | None) -> bool:
    """Whether the stream is a terminal; Python has None for one that was closed at the start."""
    return stream is not None and stream.isatty()


def text_diff(old: Prototxt, new: str, name: str) -> str:
    """The unified diff to the text `new`, called `name`; comments and layout included."""
    from netsurgery.cli.line_diff import unified

    before, after = (text.splitlines(keepends=True) for text in (old.original or old.text, new))
    lines = unified(before, after, cell(str(old.path)), cell(name))
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)
