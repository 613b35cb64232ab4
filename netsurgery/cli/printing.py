"""Printing for people: text that cannot steer a terminal, tables, differences of prototxts."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TextIO

import click

from netsurgery.errors import NetsurgeryError

if TYPE_CHECKING:
    from netsurgery.formats.prototxt import Prototxt

__all__ = [
    "cell",
    "echo",
    "echo_failed",
    "echo_notes",
    "echo_table",
    "joined",
    "on_terminal",
    "printable",
    "stdout_in_color",
    "text_diff",
]


def printable(text: str) -> str:
    """`text` with control characters (but newline and tab) and lone surrogates escaped."""
    return "".join(c if c in "\n\t" or _harmless(c) else _escaped(c) for c in text)


def _harmless(char: str) -> bool:
    return char.isprintable() and not 0xD800 <= ord(char) < 0xE000


def _escaped(char: str) -> str:
    if 0xDC80 <= ord(char) < 0xDD00:  # a byte that was not UTF-8
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


def echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """`text`, made printable, to standard output (or error)."""
    click.echo(printable(text), err=err, nl=nl)


def echo_notes(notes: Iterable[str], *, err: bool = False) -> None:
    """What the user should know, a line each."""
    for note in notes:
        echo(f"note: {note}", err=err)


def echo_failed(image: str, error: NetsurgeryError) -> None:
    """The error's line, with the image's name where it does not say it, to standard error."""
    name = "standard input" if image == "-" else image
    told = str(error) if str(error).startswith(f"{name}:") else f"{name}: {error}"
    echo(f"error: {told}", err=True)


#: How many of a list a cell shows.
_SHOWN = 4


def cell(text: str) -> str:
    """`text` on one line, with control characters escaped."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def joined(parts: Sequence[str]) -> str:
    """The parts with commas between; of many the first few, and how many more."""
    if len(parts) > _SHOWN + 1:
        return f"{', '.join(parts[:_SHOWN])}, {len(parts) - _SHOWN} more"
    return ", ".join(parts)


def echo_table(rows: Iterable[Sequence[str]], right: str = "", *, err: bool = False) -> None:
    """Print rows, to standard error if `err`; `right` has an "r" for each right-aligned column."""
    cleaned = [[cell(text) for text in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cleaned, strict=True)]
    for row in cleaned:
        cells = [
            text.rjust(width) if right[i : i + 1] == "r" else text.ljust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        echo("  ".join(cells).rstrip(), err=err)


def on_terminal(stream: TextIO | None) -> bool:
    """Whether the stream is a terminal; Python has None for one that was closed at the start."""
    return stream is not None and stream.isatty()


def stdout_in_color() -> bool:
    """Whether to colour: on a terminal that can, unless NO_COLOR is set to anything."""
    able = on_terminal(sys.stdout) and os.environ.get("TERM") != "dumb"
    return able and not os.environ.get("NO_COLOR")


def text_diff(old: Prototxt, new: str, name: str) -> str:
    """The unified diff to the text `new`, called `name`; comments and layout included."""
    import difflib

    before, after = (text.splitlines(keepends=True) for text in (old.original or old.text, new))
    lines = difflib.unified_diff(before, after, str(old.path), name)
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)
