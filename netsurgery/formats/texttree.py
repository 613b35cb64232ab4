"""The parts of a text-format document: scalars, fields and messages, each with its place.

`textformat.parse` makes them. Text is decoded from UTF-8 with surrogateescape, and offsets count
characters of it.
"""

from __future__ import annotations

import re
import sys
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from netsurgery.errors import PrototxtError
from netsurgery.io.memory import Claim
from netsurgery.io.wording import counted

__all__ = [
    "FIELD_MEMORY",
    "MAX_ESCAPES",
    "STRING",
    "EmptyList",
    "Message",
    "Scalar",
    "SourceText",
    "TextField",
    "respelled",
    "shortened",
]

#: One quoted string on one line. re needs some hundred bytes for each repeat of a group, so that
#: there is none for every character, and an end to those for escapes.
MAX_ESCAPES = 100_000
STRING = rf"""(?P<string>
    "[^"\\\n]*(?:\\[^\n][^"\\\n]*){{0,{MAX_ESCAPES}}}"
  | '[^'\\\n]*(?:\\[^\n][^'\\\n]*){{0,{MAX_ESCAPES}}}'
  )"""

#: The strings of one value, and the comments between them.
_PIECES = rf"{STRING}|\#[^\n]*"

_ESCAPE = rb"""\\(?:
        (?P<octal>[0-7]{1,3})
      | [xX](?P<hex>[0-9a-fA-F]{1,2})
      | u(?P<u4>[0-9a-fA-F]{4})
      | U(?P<u8>[0-9a-fA-F]{8})
      | (?P<plain>[abfnrtv?'"\\])
      | (?P<bad>[\s\S])
    )"""

_PLAIN = dict(zip(b"abfnrtv?'\"\\", b"\a\b\f\n\r\t\v?'\"\\", strict=True))

#: What a field and its value take, and what a net makes of them: about 250 and 100 bytes.
FIELD_MEMORY = 400

#: What protobuf's text format takes for a bool.
_TRUE = frozenset({"true", "True", "t", "1"})
_FALSE = frozenset({"false", "False", "f", "0"})


def shortened(text: str) -> str:
    """`text`, or its beginning and its length where it is long."""
    return text if len(text) <= 80 else f"{text[:60]}... ({counted(len(text), 'character')})"


@dataclass(frozen=True, eq=False)
class SourceText:
    """One text and the name to call it by in messages."""

    path: str
    text: str = field(repr=False)
    #: The memory of the text and of all that is read from it, which lives as long.
    claim: Claim = field(init=False, repr=False)

    def __post_init__(self) -> None:
        claim = Claim(sys.getsizeof(self.text), f"{self.path}: what is read from its text")
        object.__setattr__(self, "claim", claim)

    def error(self, what: str, at: int) -> PrototxtError:
        """A PrototxtError at offset `at`; the line and column are found only here."""
        at = min(at, len(self.text))
        line = bisect_right(self._starts, at)
        start = self._starts[line - 1]
        end = self._starts[line] - 1 if line < len(self._starts) else len(self.text)
        return PrototxtError(
            what,
            path=self.path,
            line=line,
            column=at - start + 1,
            # A tab is shown as one blank: the caret counts characters.
            source=self.text[start : min(end, start + 400)].rstrip("\r").expandtabs(1),
        )

    @cached_property
    def _starts(self) -> list[int]:
        """Where each line begins: who asks for one place, in notes say, asks for thousands."""
        return [0, *(match.end() for match in re.finditer("\n", self.text))]


@dataclass(eq=False, slots=True)
class Scalar:
    """One value that is not a message: ``kind`` is "string", "number" or "word".

    ``text`` is the value as written (adjacent strings and the space between them included).
    """

    source: SourceText = field(repr=False)
    kind: str
    start: int
    end: int

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.end]

    @property
    def shown(self) -> str:
        """The text for a message, shortened."""
        return shortened(self.text)

    def error(self, what: str) -> PrototxtError:
        return self.source.error(what, self.start)

    def as_string(self) -> str:
        """The string's value; raises PrototxtError for a number or a word."""
        if self.kind != "string":
            raise self.error(f"found {self.shown}, expected a quoted string")
        text = self.text
        if "\\" not in text and text.find(text[0], 1) == len(text) - 1:  # as nearly all are
            return text[1:-1]
        raw = bytearray()
        for match in re.finditer(_PIECES, text, re.VERBOSE):
            if match["string"]:
                raw += self._unescape(match)
        return raw.decode("utf-8", "surrogateescape")

    def _unescape(self, piece: re.Match[str]) -> bytes:
        body = piece.group()[1:-1].encode("utf-8", "surrogateescape")
        if b"\\" not in body:
            return body

        def byte(match: re.Match[bytes]) -> bytes:
            if match["octal"]:
                return bytes([int(match["octal"], 8) & 0xFF])  # \400 to \777 lose a bit, as in C++
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

        return re.sub(_ESCAPE, byte, body, flags=re.VERBOSE)

    def as_int(self, low: int = -(2**63), high: int = 2**63 - 1) -> int:
        """The whole number, hexadecimal and octal included, if `low` <= it <= `high`."""
        digits = self.text.replace(" ", "")
        sign, digits = (-1, digits[1:].strip()) if digits.startswith("-") else (1, digits)
        try:
            # As in C, and in protobuf's tokenizer: 010 is 8.
            base = 16 if digits[:2] in ("0x", "0X") else 8 if digits[:1] == "0" else 10
            value = sign * int(digits, base)
        except ValueError:
            raise self.error(f"found {self.shown}, expected a whole number") from None
        if self.kind != "number" or not low <= value <= high:
            raise self.error(f"found {self.shown}, expected a number from {low} to {high}")
        return value

    def as_float(self) -> float:
        """The number, ``inf`` and ``nan`` included."""
        text = "".join(self.text.split())
        bare = text.lstrip("-").lower()
        try:
            if self.kind == "string":
                raise ValueError
            # A whole number as C has it, where float would take 010 for ten.
            if bare.startswith("0x") or (bare.isdigit() and bare.startswith("0")):
                return float(self.as_int())
            if self.kind == "word" and bare not in ("inf", "infinity", "nan", "inff", "nanf"):
                raise ValueError
            # As in C, a number may end in f.
            return float(text[:-1] if bare.endswith("f") and bare != "inf" else text)
        except (ValueError, OverflowError):
            raise self.error(f"found {self.shown}, expected a number") from None

    def as_bool(self) -> bool:
        """true or false, as words or as 1 and 0."""
        if self.kind != "string" and self.text in _TRUE:
            return True
        if self.kind != "string" and self.text in _FALSE:
            return False
        raise self.error(f"found {self.shown}, expected true or false")

    def as_word(self) -> str:
        """An enum's word, or its number as text."""
        if self.kind == "string":
            raise self.error(f"found {self.shown}, expected a bare word")
        return self.text


@dataclass(eq=False, slots=True)
class TextField:
    """``name: value`` or ``name { ... }``; a list ``[a, b]`` is one field for each element.

    ``start`` is the name's offset; ``end`` is after the value (a list's elements all end after
    the ``]``). ``in_list``: whether it is an element of a list.
    """

    name: str
    start: int
    end: int
    value: Scalar | Message
    in_list: bool = False


class EmptyList(NamedTuple):
    """``name: []``: no field to whoever reads, but text that an edit may have to take out."""

    name: str
    start: int
    end: int


@dataclass(eq=False, slots=True)
class Message:
    """Fields between braces; ``start`` is at the ``{`` and ``end`` after the ``}``.

    For the whole text they are its first offset and its length.
    """

    source: SourceText = field(repr=False)
    start: int
    end: int = 0
    fields: list[TextField] = field(default_factory=list, repr=False)
    empty_lists: list[EmptyList] = field(default_factory=list, repr=False)

    def error(self, what: str) -> PrototxtError:
        return self.source.error(what, self.start)

    @property
    def written(self) -> list[TextField | EmptyList]:
        """All fields as written, in file order."""
        return sorted([*self.fields, *self.empty_lists], key=lambda each: each.start)

    def places(self, *names: str) -> list[tuple[int, int]]:
        """Where fields of these names are written, in file order.

        The elements of a list are in one place together; a list without any is in a place too.
        """
        spans = ((each.start, each.end) for each in self.written if each.name in names)
        return list(dict.fromkeys(spans))

    def all(self, name: str) -> list[TextField]:
        """Every field of this name, in file order."""
        return [f for f in self.fields if f.name == name]

    def single(self, name: str) -> TextField | None:
        """The field of this name, or None; given twice it is an error, as in Caffe."""
        matches = self.all(name)
        if len(matches) > 1:
            raise self.source.error(f"{name} is given twice here", matches[1].start)
        return matches[0] if matches else None

    def scalar(self, name: str) -> Scalar | None:
        """The scalar value of this name, or None."""
        field = self.single(name)
        return None if field is None else self._scalar(field)

    def scalars(self, name: str) -> list[Scalar]:
        """Every scalar value of this name."""
        return [self._scalar(f) for f in self.all(name)]

    def message(self, name: str) -> Message | None:
        """The message of this name, or None."""
        field = self.single(name)
        return None if field is None else self._message(field)

    def messages(self, name: str) -> list[Message]:
        """Every message of this name."""
        return [self._message(f) for f in self.all(name)]

    def string(self, name: str, default: str = "") -> str:
        scalar = self.scalar(name)
        return default if scalar is None else scalar.as_string()

    def integer(self, name: str, default: int, low: int = 0, high: int = 2**31 - 1) -> int:
        scalar = self.scalar(name)
        return default if scalar is None else scalar.as_int(low, high)

    def number(self, name: str, default: float) -> float:
        scalar = self.scalar(name)
        return default if scalar is None else scalar.as_float()

    def boolean(self, name: str, default: bool) -> bool:
        scalar = self.scalar(name)
        return default if scalar is None else scalar.as_bool()

    def word(self, name: str, default: str) -> str:
        scalar = self.scalar(name)
        return default if scalar is None else scalar.as_word()

    def _scalar(self, field: TextField) -> Scalar:
        if isinstance(field.value, Message):
            raise field.value.error(f"found a message, expected a value for {field.name}")
        return field.value

    def _message(self, field: TextField) -> Message:
        if isinstance(field.value, Scalar):
            raise field.value.error(f"found {field.value.shown}, expected {field.name} {{ ... }}")
        return field.value


def respelled(root: Message, spellings: Mapping[Scalar, str]) -> Message:
    """The document `root` with some of its scalars respelled, without parsing it again.

    A spelling has to be of the scalar's kind, and not empty.
    """
    text, at = root.source.text, 0
    pieces: list[str] = []
    ends, shifts = [0], [0]  # how far what follows each end moves
    for scalar in sorted(spellings, key=lambda each: each.start):
        new = spellings[scalar]
        pieces += [text[at : scalar.start], new]
        at = scalar.end
        ends.append(scalar.end)
        shifts.append(shifts[-1] + len(new) - (scalar.end - scalar.start))
    source = SourceText(root.source.path, "".join([*pieces, text[at:]]))

    def moved(offset: int) -> int:
        # Fields begin and end at tokens, so that no offset is inside of a scalar.
        return offset + shifts[bisect_right(ends, offset) - 1]

    def copied(message: Message) -> Message:
        source.claim.add(FIELD_MEMORY * len(message.fields))
        copy = Message(source, moved(message.start), moved(message.end))
        for each in message.fields:
            old = each.value
            value: Scalar | Message = (
                copied(old)
                if isinstance(old, Message)
                else Scalar(source, old.kind, moved(old.start), moved(old.end))
            )
            field = TextField(each.name, moved(each.start), moved(each.end), value, each.in_list)
            copy.fields.append(field)
        copy.empty_lists += [
            EmptyList(each.name, moved(each.start), moved(each.end)) for each in message.empty_lists
        ]
        return copy

    return copied(root)
