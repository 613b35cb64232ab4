"""What the steps of an upgrade share: their record, and splices that keep comments."""

from __future__ import annotations

import re
from dataclasses import dataclass

from netsurgery.formats.textformat import Edits, Message, separated
from netsurgery.formats.texttree import STRING

__all__ = [
    "UpgradeStep",
    "block",
    "comments",
    "cut",
    "indent_of",
    "indent_step",
    "line_end",
    "not_in_v0",
    "own_line",
    "trailing",
]

_COMMENT = re.compile(rf"{STRING}|(?P<comment>\#[^\n]*)", re.VERBOSE)


@dataclass(frozen=True)
class UpgradeStep:
    """One thing an upgrade does; `layer` is None where it is done to the net itself.

    what: in words. fields: the old names of those that change. before, after: their value, or
    where they stand; None where there is none, or none that can be said in a line.
    """

    layer: str | None
    what: str
    fields: tuple[str, ...] = ()
    before: str | None = None
    after: str | None = None

    def __str__(self) -> str:
        return self.what if self.layer is None else f"layer {self.layer!r}: {self.what}"


def not_in_v0(field: str) -> UpgradeStep:
    """The step by which a field of the net goes."""
    return UpgradeStep(None, f"{field}, which V0 nets do not have, is left out", (field,))


def comments(text: str) -> list[str]:
    """The comments in `text`, without what looks like one inside a string."""
    return [match["comment"].rstrip() for match in _COMMENT.finditer(text) if match["comment"]]


def line_end(source: str) -> str:
    """How the text ends its lines, by its first."""
    first = source.find("\n")
    return "\r\n" if first > 0 and source[first - 1] == "\r" else "\n"


def own_line(source: str, start: int, end: int) -> tuple[int, int] | None:
    """The whole lines, last line end included, that [start, end) has but for comments, or None."""
    line = source.rfind("\n", 0, start) + 1
    newline = source.find("\n", end)
    stop = len(source) if newline < 0 else newline + 1
    behind = source[end:stop].strip(" \t\r\n;,")
    if source[line:start].strip() or (behind and not behind.startswith("#")):
        return None
    return line, stop


def trailing(source: str, start: int, end: int) -> tuple[str, int]:
    """The comment on a field's own line and where it ends; "" and `end` where there is none."""
    lines = own_line(source, start, end)
    match = _COMMENT.search(source, end, lines[1]) if lines else None
    if match is None:
        return "", end
    comment = match.group().rstrip()
    return comment, match.start() + len(comment)


def cut(edits: Edits, start: int, end: int, moved: int = 0) -> None:
    """Take out what is written from `start` to `end`, and its line if it has one to itself.

    Comments in it and after it stay, but for those before `moved`: they are written elsewhere.
    """
    source = edits.source.text
    newline, end = line_end(source), separated(source, end)
    lines = own_line(source, start, end)
    if lines is None:
        while source[end : end + 1] in (" ", "\t", ";", ","):
            end += 1
        remarks = comments(source[max(start, moved) : end])
        edits.replace(start, end, "".join(f"{comment}{newline}" for comment in remarks))
        return
    indent = source[lines[0] : start]
    remarks = comments(source[max(start, moved) : lines[1]])
    edits.replace(*lines, "".join(f"{indent}{comment}{newline}" for comment in remarks))


def block(name: str, lines: list[str], indent: str, step: str, newline: str) -> str:
    """``name {`` and the lines, a step further in than `indent`, and ``}``; no indent before it."""
    inside = "".join(f"{newline}{indent}{step}{line}" for line in lines)
    return f"{name} {{{inside}{newline}{indent}}}"


def indent_of(source: str, start: int) -> str:
    """What stands before `start` on its line where that is blank, else ""."""
    before = source[source.rfind("\n", 0, start) + 1 : start]
    return "" if before.strip() else before


def indent_step(message: Message) -> str:
    """How much further in than `message` its fields are; two spaces where that is unknown."""
    source = message.source.text
    line = source.rfind("\n", 0, message.start) + 1
    outer = source[line : len(source)]
    outer = outer[: len(outer) - len(outer.lstrip(" \t"))]
    for field in message.fields:
        inner = indent_of(source, field.start)
        if inner.startswith(outer) and inner != outer:
            return inner[len(outer) :]
    return "  "
