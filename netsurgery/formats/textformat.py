"""Protobuf's text format, read with the place of everything in the author's own text.

The grammar has one production, ``name: value`` or ``name { ... }``; which names mean what is not
this module's business. Values keep their (start, end) in the text, so that an edit can be a
splice: see `Edits`. Bytes that are not UTF-8 survive a round trip (see `texttree`).
"""

from __future__ import annotations

import re

from netsurgery.errors import PrototxtError
from netsurgery.formats.texttree import (
    FIELD_MEMORY,
    MAX_ESCAPES,
    STRING,
    EmptyList,
    Message,
    Scalar,
    SourceText,
    TextField,
    shortened,
)

__all__ = [
    "Edits",
    "EmptyList",
    "Message",
    "Scalar",
    "SourceText",
    "TextField",
    "parse",
    "separated",
]

#: Deeper nesting than this is refused; Caffe's own messages need no more than six levels.
MAX_DEPTH = 100

#: So many fields are claimed at once.
_FIELDS = 256

#: What may stand between a field and its separator, which may have a line of its own. There may be
#: more of it: re needs memory for each repeat of a group.
_BETWEEN = re.compile(r"\s*(?:#[^\n]*\n\s*){0,1000}")

#: Blanks are taken a thousand at a time: re needs memory for each repeat of a group. A sign is a
#: token by itself, after which protobuf takes blanks.
_TOKEN = re.compile(
    rf"""
    (?P<space>(?:[ \t\r\n\f\v]+|\#[^\n]*){{1,1000}})
  | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<number>0[xX][0-9a-fA-F]+|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fF]?)
  | {STRING}
  | (?P<mark>[{{}}<>\[\]:;,/.-])
    """,
    re.VERBOSE,
)


class _Parser:
    """One pass over the text; tokens are made as they are asked for, so it is linear."""

    def __init__(self, source: SourceText) -> None:
        self.source = source
        self.kind = ""
        self.start = self.end = 0
        self.last = 0  # where the token before this one ended
        self.values = 0
        self.advance()

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.end]

    def advance(self) -> None:
        """Step to the next token; its kind is "" after the last one."""
        text, at = self.source.text, self.end
        self.last = at
        match = _TOKEN.match(text, at)
        while match and match.lastgroup == "space":
            at = match.end()
            match = _TOKEN.match(text, at)
        self.start = at
        if match is None:
            if at < len(text):
                raise self._stray(text[at], at)
            self.kind, self.end = "", at
            return
        self.kind, self.end = match.lastgroup or "", match.end()
        if self.kind == "number" and text[self.end : self.end + 1].isidentifier():
            # protobuf's tokenizer refuses `3x` too.
            raise self.source.error("letters right after a number; put a space between", self.end)

    def _stray(self, char: str, at: int) -> PrototxtError:
        if char in "\"'":
            line = self.source.text[at:].partition("\n")[0]
            many = line.count("\\") > MAX_ESCAPES
            what = f"has over {MAX_ESCAPES} escapes" if many else "does not end on its line"
            return self.source.error(f"a string that {what}", at)
        if char == "\ufeff":
            return self.source.error("a byte order mark in the middle of the text", at)
        # What surrogateescape made of a byte that is no UTF-8.
        if "\udc80" <= char <= "\udcff":
            return self.source.error(f"the byte 0x{ord(char) - 0xDC00:02x} outside a string", at)
        return self.source.error(f"a stray {char!r}; expected a field name or a value", at)

    def fail(self, expected: str) -> PrototxtError:
        seen = shortened(self.text) if self.kind else "the end of the file"
        return self.source.error(f"found {seen}, expected {expected}", self.start)

    def accept(self, marks: str) -> str:
        """Step over one of `marks` and return it, or return ""."""
        if self.kind == "mark" and self.text in marks:
            mark = self.text
            self.advance()
            return mark
        return ""

    def document(self) -> Message:
        root = Message(self.source, 0, len(self.source.text))
        while self.kind:
            self.field(root, 1)
        return root

    def field(self, into: Message, depth: int) -> None:
        start, name = self.start, self.text
        if self.kind != "word":
            raise self.fail("a field name" if into.start == 0 else "a field name or }")
        self.advance()
        colon = self.accept(":")
        if self.kind == "mark" and self.text == "[":
            self.elements(into, name, start, bool(colon), depth)
        else:
            into.fields.append(TextField(name, start, 0, self.value(name, bool(colon), depth)))
            into.fields[-1].end = into.fields[-1].value.end
        self.accept(";,")  # protobuf takes one separator, or none

    def elements(self, into: Message, name: str, start: int, colon: bool, depth: int) -> None:
        first = len(into.fields)
        self.advance()
        while not self.accept("]"):
            if len(into.fields) > first and not self.accept(","):
                raise self.fail(", or ]")
            into.fields.append(
                TextField(name, start, 0, self.value(name, colon, depth), in_list=True)
            )
        # Only now is the end of the list known, which is that of each of its elements.
        for element in into.fields[first:]:
            element.end = self.last
        if len(into.fields) == first:
            self.source.claim.add(FIELD_MEMORY)
            into.empty_lists.append(EmptyList(name, start, self.last))

    def value(self, name: str, colon: bool, depth: int) -> Scalar | Message:
        if self.values % _FIELDS == 0:
            self.source.claim.add(_FIELDS * FIELD_MEMORY)
        self.values += 1
        if self.kind == "mark" and self.text in "{<":
            return self.message(depth)
        if not colon:
            raise self.fail(f": or {{ after {shortened(name)}")
        start, kind = self.start, self.kind
        if self.accept("-"):
            kind = self.kind
            if kind not in ("number", "word"):
                raise self.fail("a number after -")
        elif kind == "string":
            while self.kind == "string":  # adjacent strings are one, as in C
                self.advance()
            return Scalar(self.source, kind, start, self.last)
        elif kind not in ("number", "word"):
            raise self.fail(f"a value for {shortened(name)}")
        self.advance()
        return Scalar(self.source, kind, start, self.last)

    def message(self, depth: int) -> Message:
        if depth > MAX_DEPTH:
            raise self.source.error(f"nested deeper than {MAX_DEPTH} messages", self.start)
        message = Message(self.source, self.start)
        closing = "}" if self.accept("{<") == "{" else ">"
        while not self.accept(closing):
            if not self.kind:
                raise self.source.error(
                    f"this message is never closed with {closing}", message.start
                )
            self.field(message, depth + 1)
        message.end = self.last
        return message


def parse(text: str, path: str = "<text>") -> Message:
    """The message that `text` spells; raises PrototxtError with line and column."""
    return _Parser(SourceText(path, text)).document()


class Edits:
    """Replacements collected over one text and made together, so offsets stay the author's."""

    def __init__(self, source: SourceText) -> None:
        self.source = source
        self._made: dict[tuple[int, int], str] = {}

    def __len__(self) -> int:
        return len(self._made)

    def replace(self, start: int, end: int, text: str) -> None:
        """Put `text` in place of [start, end); the same edit twice is one edit."""
        if self._made.get((start, end), text) != text:
            raise ValueError(f"two different edits of [{start}, {end})")
        self._made[start, end] = text

    def insert(self, at: int, text: str) -> None:
        """Put `text` before offset `at`; several insertions at one place follow one another."""
        self._made[at, at] = self._made.get((at, at), "") + text

    def apply(self) -> str:
        """The edited text; raises ValueError if edits overlap.

        Blanks that an edit at the end of a line would leave there go with it.
        """
        source, at = self.source.text, 0
        pieces: list[str] = []
        # An insertion sorts before the replacement that begins where it goes.
        for (start, end), text in sorted(self._made.items()):
            if start < at:
                raise ValueError(f"edits overlap at [{start}, {end})")
            pieces += [source[at:start], text]
            at = end
            if source[end : end + 1] in ("", "\r", "\n"):
                _strip_end(pieces)
        return "".join([*pieces, source[at:]])


def _strip_end(pieces: list[str]) -> None:
    """Take the blanks off the end of the text that `pieces` make."""
    while pieces:
        pieces[-1] = pieces[-1].rstrip(" \t")
        if pieces[-1]:
            return
        pieces.pop()


def separated(source: str, end: int) -> int:
    """Where a field ends with the separator after it, if there is one."""
    at, match = end, _BETWEEN.match(source, end)
    while match and match.end() > at:  # the pattern ends after a thousand comments
        at, match = match.end(), _BETWEEN.match(source, match.end())
    return at + 1 if source[at : at + 1] in (";", ",") else end
