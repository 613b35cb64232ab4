"""Protobuf's text format, read with the place of everything in the author's own text.

The grammar has one production, ``name: value`` or ``name { ... }``; which names mean what is not
this module's business. Values keep their (start, end) in the text, so that an edit can be a
splice: see `Edits`. Offsets count characters of the decoded text; text is decoded from UTF-8 with
surrogateescape, so bytes that are not UTF-8 survive a round trip.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from netsurgery.errors import PrototxtError

__all__ = ["Edits", "Field", "Message", "Scalar", "Source", "parse"]

#: Deeper nesting than this is refused; Caffe's own messages need no more than six levels.
MAX_DEPTH = 100

_TOKEN = re.compile(
    r"""
    (?P<space>(?:[ \t\r\n\f\v]+|\#[^\n]*)+)
  | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<number>0[xX][0-9a-fA-F]+|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fF]?)
  | (?P<string>"(?:[^"\\\n]|\\[^\n])*"|'(?:[^'\\\n]|\\[^\n])*')
  | (?P<mark>[{}<>\[\]:;,/.-])
    """,
    re.VERBOSE,
)

_ESCAPE = re.compile(
    rb"""\\(?:
        (?P<octal>[0-7]{1,3})
      | [xX](?P<hex>[0-9a-fA-F]{1,2})
      | u(?P<u4>[0-9a-fA-F]{4})
      | U(?P<u8>[0-9a-fA-F]{8})
      | (?P<plain>[abfnrtv?'"\\])
      | (?P<bad>[\s\S])
    )""",
    re.VERBOSE,
)

_PLAIN = dict(zip(b"abfnrtv?'\"\\", b"\a\b\f\n\r\t\v?'\"\\", strict=True))

_TRUE = frozenset({"true", "True", "t", "1"})
_FALSE = frozenset({"false", "False", "f", "0"})


@dataclass(frozen=True, eq=False)
class Source:
    """One text and the name to call it by in messages."""

    path: str
    text: str

    def error(self, what: str, at: int) -> PrototxtError:
        """A PrototxtError at offset `at`; the line and column are found only here."""
        at = min(at, len(self.text))
        start = self.text.rfind("\n", 0, at) + 1
        end = self.text.find("\n", at)
        line = self.text[start : len(self.text) if end < 0 else end].rstrip("\r")
        return PrototxtError(
            what,
            path=self.path,
            line=self.text.count("\n", 0, at) + 1,
            column=at - start + 1,
            source=line.expandtabs(1)[:400],
        )


@dataclass(eq=False, slots=True)
class Scalar:
    """One value that is no message: ``kind`` is "string", "number" or "word".

    ``text`` is the value as written (adjacent strings and the space between them included).
    """

    source: Source
    kind: str
    start: int
    end: int

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.end]

    def error(self, what: str) -> PrototxtError:
        return self.source.error(what, self.start)

    def as_string(self) -> str:
        """The string's value; raises PrototxtError for a number or a word."""
        if self.kind != "string":
            raise self.error(f"found {self.text}, expected a quoted string")
        pieces = [m for m in _TOKEN.finditer(self.text) if m.lastgroup == "string"]
        raw = b"".join(self._unescape(piece) for piece in pieces)
        return raw.decode("utf-8", "surrogateescape")

    def _unescape(self, piece: re.Match[str]) -> bytes:
        body = piece.group()[1:-1].encode("utf-8", "surrogateescape")
        if b"\\" not in body:
            return body

        def one(match: re.Match[bytes]) -> bytes:
            if match["octal"]:
                return bytes([int(match["octal"], 8) & 0xFF])
            if match["hex"]:
                return bytes([int(match["hex"], 16)])
            code = match["u4"] or match["u8"]
            if code and int(code, 16) < 0x110000:
                return chr(int(code, 16)).encode("utf-8", "surrogatepass")
            if match["plain"]:
                return bytes([_PLAIN[match["plain"][0]]])
            raise self.source.error(
                "a backslash that escapes nothing; write \\\\ for a backslash",
                self.start + piece.start() + 1 + match.start(),
            )

        return _ESCAPE.sub(one, body)

    def as_int(self, low: int = -(2**63), high: int = 2**63 - 1) -> int:
        """The whole number, hexadecimal and octal included, if `low` <= it <= `high`."""
        digits = self.text.replace(" ", "")
        sign, digits = (-1, digits[1:].strip()) if digits.startswith("-") else (1, digits)
        try:
            base = 16 if digits[:2] in ("0x", "0X") else 8 if digits[:1] == "0" else 10
            value = sign * int(digits, base)
        except ValueError:
            raise self.error(f"found {self.text}, expected a whole number") from None
        if self.kind != "number" or not low <= value <= high:
            raise self.error(f"found {self.text}, expected a number from {low} to {high}")
        return value

    def as_float(self) -> float:
        """The number, ``inf`` and ``nan`` included."""
        text = "".join(self.text.split())
        bare = text.lstrip("-").lower()
        try:
            if self.kind == "string":
                raise ValueError
            if bare.startswith("0x") or (bare.isdigit() and bare.startswith("0")):
                return float(self.as_int())
            if self.kind == "word" and bare not in ("inf", "infinity", "nan", "inff", "nanf"):
                raise ValueError
            return float(text[:-1] if bare.endswith("f") and bare != "inf" else text)
        except (ValueError, OverflowError):
            raise self.error(f"found {self.text}, expected a number") from None

    def as_bool(self) -> bool:
        """true or false, as words or as 1 and 0."""
        if self.kind != "string" and self.text in _TRUE:
            return True
        if self.kind != "string" and self.text in _FALSE:
            return False
        raise self.error(f"found {self.text}, expected true or false")

    def as_word(self) -> str:
        """An enum's word, or its number as text."""
        if self.kind == "string":
            raise self.error(f"found {self.text}, expected a bare word")
        return self.text


@dataclass(eq=False, slots=True)
class Field:
    """``name: value`` or ``name { ... }``; a list ``[a, b]`` is one field for each element.

    ``start`` is the name's offset; ``end`` is behind the value (a list's elements all end behind
    the ``]``). ``in_list`` tells elements of a list.
    """

    name: str
    start: int
    end: int
    value: Scalar | Message
    in_list: bool = False


@dataclass(eq=False, slots=True)
class Message:
    """Fields between braces; ``start`` is at the ``{`` and ``end`` behind the ``}``.

    For the whole text they are its first offset and its length.
    """

    source: Source
    start: int
    end: int = 0
    fields: list[Field] = field(default_factory=list)

    def error(self, what: str) -> PrototxtError:
        return self.source.error(what, self.start)

    def all(self, name: str) -> list[Field]:
        """Every field of this name, in file order."""
        return [f for f in self.fields if f.name == name]

    def one(self, name: str) -> Field | None:
        """The field of this name, or None; given twice it is an error, as in Caffe."""
        found = self.all(name)
        if len(found) > 1:
            raise self.source.error(f"{name} is given twice here", found[1].start)
        return found[0] if found else None

    def scalar(self, name: str) -> Scalar | None:
        """The scalar value of this name, or None."""
        found = self.one(name)
        return None if found is None else self._scalar(found)

    def scalars(self, name: str) -> list[Scalar]:
        """Every scalar value of this name."""
        return [self._scalar(f) for f in self.all(name)]

    def message(self, name: str) -> Message | None:
        """The message of this name, or None."""
        found = self.one(name)
        return None if found is None else self._message(found)

    def messages(self, name: str) -> list[Message]:
        """Every message of this name."""
        return [self._message(f) for f in self.all(name)]

    def string(self, name: str, default: str = "") -> str:
        found = self.scalar(name)
        return default if found is None else found.as_string()

    def integer(self, name: str, default: int, low: int = 0, high: int = 2**31 - 1) -> int:
        found = self.scalar(name)
        return default if found is None else found.as_int(low, high)

    def number(self, name: str, default: float) -> float:
        found = self.scalar(name)
        return default if found is None else found.as_float()

    def boolean(self, name: str, default: bool) -> bool:
        found = self.scalar(name)
        return default if found is None else found.as_bool()

    def word(self, name: str, default: str) -> str:
        found = self.scalar(name)
        return default if found is None else found.as_word()

    def _scalar(self, found: Field) -> Scalar:
        if isinstance(found.value, Message):
            raise found.value.error(f"found a message, expected a value for {found.name}")
        return found.value

    def _message(self, found: Field) -> Message:
        if isinstance(found.value, Scalar):
            raise found.value.error(f"found {found.value.text}, expected {found.name} {{ ... }}")
        return found.value


class _Parser:
    """One pass over the text; tokens are made as they are asked for, so it is linear."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.kind = ""
        self.start = self.end = 0
        self.last = 0  # where the token before this one ended
        self.advance()

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.end]

    def advance(self) -> None:
        """Step to the next token; its kind is "" behind the last one."""
        text, at = self.source.text, self.end
        self.last = at
        match = _TOKEN.match(text, at)
        if match and match.lastgroup == "space":
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
            raise self.source.error("letters right behind a number; put a space between", self.end)

    def _stray(self, char: str, at: int) -> PrototxtError:
        if char in "\"'":
            return self.source.error("a string that does not end on its line", at)
        if char == "\ufeff":
            return self.source.error("a byte order mark in the middle of the text", at)
        return self.source.error(f"a stray {char!r}; expected a field name or a value", at)

    def fail(self, expected: str) -> PrototxtError:
        found = self.text if self.kind else "the end of the file"
        return self.source.error(f"found {found}, expected {expected}", self.start)

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
        if self.kind == "mark" and self.text == "[" and colon:
            self.elements(into, name, start, depth)
        else:
            into.fields.append(Field(name, start, 0, self.value(name, bool(colon), depth)))
            into.fields[-1].end = into.fields[-1].value.end
        self.accept(";,")

    def elements(self, into: Message, name: str, start: int, depth: int) -> None:
        first = len(into.fields)
        self.advance()
        while not self.accept("]"):
            if len(into.fields) > first and not self.accept(","):
                raise self.fail(", or ]")
            into.fields.append(Field(name, start, 0, self.value(name, True, depth), in_list=True))
        for element in into.fields[first:]:
            element.end = self.last

    def value(self, name: str, colon: bool, depth: int) -> Scalar | Message:
        if self.kind == "mark" and self.text in "{<":
            return self.message(depth)
        if not colon:
            raise self.fail(f": or {{ after {name}")
        start, kind = self.start, self.kind
        if self.accept("-"):
            kind = self.kind
            if kind not in ("number", "word"):
                raise self.fail("a number after -")
        elif kind == "string":
            while self.kind == "string":
                self.advance()
            return Scalar(self.source, kind, start, self.last)
        elif kind not in ("number", "word"):
            raise self.fail(f"a value for {name}")
        self.advance()
        return Scalar(self.source, kind, start, self.last)

    def message(self, depth: int) -> Message:
        if depth > MAX_DEPTH:
            raise self.source.error(f"nested deeper than {MAX_DEPTH} messages", self.start)
        made = Message(self.source, self.start)
        closing = "}" if self.accept("{<") == "{" else ">"
        while not self.accept(closing):
            if not self.kind:
                raise self.source.error(f"this message is never closed with {closing}", made.start)
            self.field(made, depth + 1)
        made.end = self.last
        return made


def parse(text: str, path: str = "<text>") -> Message:
    """The message that `text` spells; raises PrototxtError with line and column."""
    return _Parser(Source(path, text)).document()


class Edits:
    """Replacements collected over one text and made together, so offsets stay the author's."""

    def __init__(self, source: Source) -> None:
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
        """The edited text; raises ValueError if edits overlap."""
        return "".join(self._pieces())

    def _pieces(self) -> Iterator[str]:
        at = 0
        for (start, end), text in sorted(self._made.items()):
            if start < at:
                raise ValueError(f"edits overlap at [{start}, {end})")
            yield self.source.text[at:start]
            yield text
            at = end
        yield self.source.text[at:]
