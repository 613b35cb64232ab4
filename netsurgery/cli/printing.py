"""Printing for people: what comes from files cannot steer a terminal."""

from __future__ import annotations

from collections.abc import Iterable

import click

from netsurgery.errors import NetsurgeryError

__all__ = ["echo", "echo_failed", "echo_notes", "printable"]


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
