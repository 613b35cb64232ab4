"""A command that fails: its line on standard error, and with --json a record on standard output."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from netsurgery import errors
from netsurgery.cli.printing import echo_json_text, echo_labelled, echo_text, on_terminal
from netsurgery.cli.usage import usage_help, usage_line, usage_message
from netsurgery.errors import BrokenImages, NetsurgeryError, PrototxtError

__all__ = ["error_record", "report", "report_usage"]

#: How a message begins that is about a place in a file; which prefix is the file shows elsewhere.
_PLACE = re.compile(r"(?s)(?P<file>.*?)(?::(?P<line>\d+)(?::(?P<column>\d+))?)?: ")
_LAYER = re.compile(r"\blayer ('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")")


def report(error: NetsurgeryError, words: Sequence[str]) -> int:
    """Show an error of the command line `words`, and return its exit code.

    One line on stderr, and for text a caret under the place on a terminal; where several pictures
    are broken, a line for each and one for all.
    """
    several = error.errors if isinstance(error, BrokenImages) and len(error.errors) > 1 else ()
    for each in several:
        echo_labelled("error", str(each), err=True)
    summary = error.summary if isinstance(error, BrokenImages) and several else str(error)
    echo_labelled("error", summary, err=True)
    if isinstance(error, PrototxtError) and error.caret and on_terminal(sys.stderr):
        echo_text(error.caret, err=True)
    if _as_json(words):
        _print(error_record(error, words))
    return getattr(error, "exit_code", 1)


def report_usage(error: click.ClickException, words: Sequence[str]) -> int:
    """The same for a wrong command line; for no words at all, the help.

    It may hold names from the command line, so from a shell's *.
    """
    ctx = getattr(error, "ctx", None)
    # The whole help is for netsurgery alone; `usage` has one line for a group such as `caffe`.
    if isinstance(error, click.exceptions.NoArgsIsHelpError) and ctx is not None and not ctx.parent:
        echo_text(ctx.get_help(), err=True)
        return error.exit_code
    echo_labelled("error", usage_line(error), err=True)
    if _as_json(words):
        _print(_record("UsageError", usage_message(error), hint=usage_help(error)))
    return error.exit_code


def error_record(error: NetsurgeryError, words: Sequence[str] = ()) -> dict[str, Any]:
    """What --json prints of an error: docs/json/error.schema.json.

    words: the command line, which names files that may not exist.
    """
    import ast  # for a rare failure, not for each command

    message = str(error)
    place = _place(error, message, words)
    layer = _LAYER.search(message)
    # What to try comes last, after a semicolon, unless that joins one more refusal.
    last = message.rpartition("; ")[2] if "; " in message else None
    return _record(
        _public_name(type(error)),
        message,
        **place,
        layer=None if layer is None else ast.literal_eval(layer[1]),
        hint=None if last is None or last.startswith("layer ") else last,
    )


def _record(kind: str, message: str, **known: Any) -> dict[str, Any]:
    keys = ("file", "line", "column", "layer", "hint")
    return {"type": kind, "message": message, **{key: known.get(key) for key in keys}}


def _place(error: NetsurgeryError, message: str, words: Sequence[str]) -> Mapping[str, Any]:
    """The file, line and column that an error is about, as far as it says so."""
    if isinstance(error, PrototxtError):
        return {"file": error.path, "line": error.line or None, "column": error.column or None}
    if isinstance(error, errors.CaffemodelError):
        return {"file": error.path}
    match = _PLACE.match(message)
    if match is None or not _is_file(match["file"], words):
        return {}
    line, column = (int(match[key]) if match[key] else None for key in ("line", "column"))
    return {"file": match["file"], "line": line, "column": column}


def _is_file(name: str, words: Sequence[str]) -> bool:
    """Whether it exists, or is named on the command line and looks like a file's name."""
    looks = "." in os.path.basename(name) and not set("[=").intersection(name)
    return os.path.lexists(name) or (looks and name in words)


def _public_name(kind: type[NetsurgeryError]) -> str:
    """The class's name, or that of the nearest one above it that is public."""
    return next(each.__name__ for each in kind.__mro__ if each.__name__ in errors.__all__)


def _as_json(words: Sequence[str]) -> bool:
    """Whether --json is on the command line, and no output that is to go to standard output."""
    options = words[: words.index("--")] if "--" in words else words
    return "--json" in options and not _printed(options)


def _printed(options: Sequence[str]) -> bool:
    """Whether an option of an output has standard output for it."""
    from netsurgery.cli.output_options import output_flags

    # By the words, since click may have failed to parse them.
    flags = "|".join(map(re.escape, output_flags("of_map", "of_features")))
    option = rf"(?<!\S)(-o|--output|{flags}|--[a-z]+-out) -(?!\S)"
    return re.search(option, " ".join(options)) is not None


def _print(record: Mapping[str, Any]) -> None:
    """On one line, which may follow the records of pictures."""
    import json

    echo_json_text(json.dumps({"error": record}, allow_nan=False))
