"""A prototxt as a document: the layers in it, and edits that keep the author's style.

Three generations of Caffe wrote layers differently:

V2 (2014 on)   ``layer { type: "InnerProduct" }``
V1 (2014)      ``layers { type: INNER_PRODUCT }``
V0 (2013)      ``layers { layer { type: "innerproduct" } }``

A file that mixes ``layer`` and ``layers`` is refused, as Caffe 1.0 refuses it. A text
that holds no net is named for what it is: a solver, a label map, another program's settings.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from netsurgery.errors import FormatError, PrototxtError
from netsurgery.formats.limits import MAX_PROTOTXT
from netsurgery.formats.schema.index import caffe_fields
from netsurgery.formats.textformat import Edits, Message, Scalar, TextField, parse
from netsurgery.formats.texttree import respelled
from netsurgery.io.reader import Reader, open_source, read_head, read_whole
from netsurgery.io.sniff import HDF5, HEAD, refusal, what_it_is
from netsurgery.io.terminal import STDIN
from netsurgery.io.unreadable import unreadable
from netsurgery.io.wording import counted

__all__ = [
    "Prototxt",
    "check_is_net",
    "insert_field",
    "is_prototxt",
    "quoted",
    "remove_field",
]

_EXPECTED = "a prototxt"
_EXCHANGED = "are the prototxt and the caffemodel exchanged?"


@dataclass(frozen=True, eq=False)
class Prototxt:
    """One prototxt: its text, and the messages in it with their places.

    ``bom``: whether the file begins with a byte order mark, which Caffe cannot read; it is not
    part of ``text``. ``generation`` is "V0", "V1" or "V2". ``original`` is the author's text where
    ``text`` is what was made of it, None where that is the author's.
    """

    path: str
    text: str = field(repr=False)
    root: Message = field(repr=False)
    layers: tuple[Message, ...] = field(repr=False)
    generation: str
    bom: bool = False
    original: str | None = field(default=None, repr=False)

    @classmethod
    def read(cls, path: Path | str, *, known: bool = True) -> Prototxt:
        """Read a file, or standard input for "-".

        known: refuse a field at the top that no known NetParameter has.
        Raises PrototxtError, for what holds no net too, or FormatError if it cannot be opened or
        is something else.
        """
        name = STDIN if str(path) == "-" else str(path)
        try:
            data = _standard_input() if str(path) == "-" else _content(Path(path))
        except OSError as error:
            raise FormatError(": ".join(unreadable(name, error, _EXPECTED))) from None
        reason = refusal(data[:HEAD], _EXPECTED)
        if not reason and b"\0" in data:
            reason = f"is binary data, expected {_EXPECTED}; {_EXCHANGED}"
        if reason:
            raise FormatError(f"{name}: {reason}")
        # Bytes that are no UTF-8, in old comments, survive: the text is written back.
        prototxt = cls.parse(data.decode("utf-8", "surrogateescape"), name)
        check_is_net(prototxt.root, name, known=known)
        return prototxt

    @classmethod
    def parse(cls, text: str, path: str = "<text>") -> Prototxt:
        """Read a text. Raises PrototxtError with line and column."""
        bom = text.startswith("\ufeff")
        text = text.removeprefix("\ufeff")
        root = parse(text, path)
        layers, generation = _layers(root)
        return cls(path, text, root, layers, generation, bom)

    @property
    def name(self) -> str:
        """The net's name, "" if it has none."""
        return self.root.string("name")

    @cached_property
    def layer_names(self) -> Counter[str]:
        """How many layers bear each name, of all states."""
        return Counter(layer.string("name") for layer in self.layers)

    def field_of(self, layer: Message) -> TextField:
        """The field that one of the layers is the value of."""
        return self._fields[id(layer)]

    @cached_property
    def _fields(self) -> dict[int, TextField]:
        return {id(field.value): field for field in self.root.fields}

    def edits(self) -> Edits:
        """An empty set of edits over this text."""
        return Edits(self.root.source)

    def respelled(self, spellings: Mapping[Scalar, str]) -> Prototxt:
        """The same with some scalars respelled, without parsing it again."""
        root = respelled(self.root, spellings)
        layers, _ = _layers(root)
        return replace(self, text=root.source.text, root=root, layers=layers)

    def to_bytes(self, text: str | None = None) -> bytes:
        """`text` (default: the document's own) as it is written to a file, never with a BOM."""
        return (self.text if text is None else text).encode("utf-8", "surrogateescape")


def _standard_input() -> bytes:
    if sys.stdin is None:  # it was closed before we began
        raise FormatError(f"{STDIN}: is closed")
    # One byte more, to know what is too long from what just fits.
    data = sys.stdin.buffer.read(MAX_PROTOTXT + 1)
    if len(data) > MAX_PROTOTXT:
        raise FormatError(f"{STDIN}: more than {MAX_PROTOTXT} bytes, expected a prototxt")
    return data


def _content(path: Path) -> bytes:
    size = path.stat().st_size
    # Before it is read: a caffemodel given by mistake has hundreds of MiB.
    if os.path.isfile(path) and size > MAX_PROTOTXT:
        what = refusal(read_head(path, HEAD), _EXPECTED)
        too_long = (
            f"{counted(size, 'byte')}, expected a prototxt of at most {MAX_PROTOTXT}; {_EXCHANGED}"
        )
        raise FormatError(f"{path}: {what or too_long}")
    return read_whole(path, MAX_PROTOTXT)


def _layers(root: Message) -> tuple[tuple[Message, ...], str]:
    new, old = root.all("layer"), root.all("layers")
    if new and old:
        line = root.source.error("", old[0].start).line
        raise root.source.error(
            f"`layer` here and `layers` in line {line}; Caffe reads only files of one kind",
            new[0].start,
        )
    if new:
        return tuple(root.messages("layer")), "V2"
    layers = tuple(root.messages("layers"))
    # As upgrade_proto.cpp: a single layer of V0 makes the net one of V0.
    nested = any(layer.all("layer") for layer in layers)
    return layers, ("V0" if nested else "V1" if layers else "V2")


def quoted(value: str, like: Scalar | None = None) -> str:
    """`value` as a quoted string, with the quote character that `like` has."""
    quote = like.text[0] if like is not None and like.kind == "string" else '"'
    escapes = {"\\": "\\\\", quote: "\\" + quote, "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return quote + "".join(escapes.get(c, c) for c in value) + quote


def insert_field(edits: Edits, after: TextField, text: str) -> None:
    """Insert the field `text` after the field `after`, laid out as `after` is.

    Where `after` has its line to itself (but for a comment) the new field gets a line of its own
    with the same indentation and line end; else it follows on the same line.
    """
    source = edits.source.text
    line, indent, end = _own_line(source, after)
    if end is None:
        edits.insert(after.end, " " + text)
        return
    # At the end of the file the line may have no end; the one before it does.
    newline = "\r\n" if source.startswith("\r\n", end) or source.endswith("\r\n", 0, line) else "\n"
    edits.insert(end, newline + indent + text)


def remove_field(edits: Edits, field: TextField) -> None:
    """Take out a field; with its line, and the comment on it, where it has the line to itself."""
    source = edits.source.text
    line, _, end = _own_line(source, field)
    if end is not None:
        newline = source.find("\n", end)
        edits.replace(line, len(source) if newline < 0 else newline + 1, "")
        return
    after = field.end
    while source[after : after + 1] in (" ", "\t", ";", ","):
        after += 1
    edits.replace(field.start, after, "")


def _own_line(source: str, field: TextField) -> tuple[int, str, int | None]:
    """Where the field's line begins, what stands before the field, and where the line ends.

    The end is None where the field shares its line with another, or spans several of a list.
    """
    line = source.rfind("\n", 0, field.start) + 1
    before = source[line : field.start]
    end = source.find("\n", field.end)
    end = len(source) if end < 0 else end
    behind = source[field.end : end].strip(" \t\r;,")
    if before.strip() or (behind and not behind.startswith("#")):
        return line, before, None
    # The \r is part of the line's end.
    return line, before, end - 1 if source.endswith("\r", 0, end) else end


#: Fields of Caffe's SolverParameter that no fork's NetParameter has, and by which one is known.
_SOLVER = frozenset(
    """
    base_lr iter_size lr_policy max_iter net net_param solver_mode solver_type stepsize
    test_interval test_iter test_net test_net_param train_net train_net_param
    """.split()
)
_NAMED = ("net", "train_net", "test_net")
_INSIDE = ("net_param", "train_net_param", "test_net_param")


def check_is_net(root: Message, path: str, *, known: bool = True) -> None:
    """Raise PrototxtError, saying what it is, for a text without a net.

    A net is layers, or inputs and nothing else. With layers, a field at the top that neither
    Caffe's NetParameter nor a known fork's has is the error, unless not all need be `known`.
    """
    names = {field.name for field in root.fields}
    if names & _SOLVER:
        raise PrototxtError(f"is a solver, not a net; {_nets_of(root)}", path=path)
    strange = [field for field in root.fields if field.name not in caffe_fields("NetParameter")]
    if root.all("layer") or root.all("layers"):
        if strange and known:
            _check_forks(root, strange)
        return
    if root.all("item"):
        what = "is a label map (item { ... }), not a net"
    elif strange:
        line = root.source.error("", strange[0].start).line
        what = f"is not a net: it has no layer, and {strange[0].name!r} in line {line}"
    elif root.all("input") and (root.all("input_shape") or root.all("input_dim")):
        return
    else:
        what = "is not a net: it has no layer" if root.fields else "is not a net: it is empty"
    raise PrototxtError(what, path=path)


def _check_forks(root: Message, strange: Sequence[TextField]) -> None:
    """Raise PrototxtError for the first of these fields that no fork's NetParameter has."""
    from netsurgery.formats.schema.index import fields_of_forks

    known = fields_of_forks("NetParameter")
    unknown = [each.start for each in strange if each.name not in known]
    if unknown:
        from netsurgery.formats.schema.problems import problems

        raise next(each.error for each in problems(root) if each.at == unknown[0])


def _nets_of(root: Message) -> str:
    """Where the net, or the nets, of a solver are."""
    files = [repr(each.as_string()) for name in _NAMED for each in root.scalars(name)]
    if files:
        return f"its net is {files[0]}" if len(files) == 1 else f"its nets are {', '.join(files)}"
    inside = [name for name in _INSIDE if root.all(name)]
    return f"its net is inside it, in {inside[0]} {{ ... }}" if inside else "it names no net"


_TEXT = re.compile(rb"[\t\n\v\f\r\x20-\x7e\x80-\xff]*")
#: A field's name and what follows it, after comments; protobuf's own tags look otherwise.
_FIELD = re.compile(rb"(?:\xef\xbb\xbf)?(?:\s|#[^\n]*\n)*[A-Za-z_]\w*\s*[:{]")
_EITHER = "a prototxt or a caffemodel"


def is_prototxt(path: Path) -> bool:
    """Whether the file begins as text does, well written or not; all else counts as weights.

    Standard input, "-", is taken for a prototxt: weights are read at any place of their file.
    Raises FormatError for a file that cannot be read, and for one that is known to be something
    else, such as a picture or a web page.
    """
    if str(path) == "-":
        return True
    with open_source(path, _EITHER) as source:
        reader = Reader(source)
        head = reader.head(HEAD)
    reason = "" if what_it_is(head) == HDF5 else refusal(head, _EITHER)
    if reason:
        raise reader.error(reason)
    # A control character by mistake is the parser's to report, with its place.
    begins_with_field = b"\0" not in head and _FIELD.match(head) is not None
    return bool(head) and (begins_with_field or _TEXT.fullmatch(head) is not None)
