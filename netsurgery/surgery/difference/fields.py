"""Fields of two messages compared by what they say, not by how they are written.

A message is taken as a tree: field name -> its values in file order. The order of fields does not
matter, as in protobuf; the order of one field's values does. Comments, layout, quotes, `[a, b]`
for repeated fields, 1.0 for 1 and 5e-1 for 0.5 (as float32) make no difference. Nothing is known
here of what a field is: see `meaning`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple, TypeAlias

from netsurgery.errors import PrototxtError
from netsurgery.formats.prototxt import quoted
from netsurgery.formats.textformat import Message, Scalar

__all__ = [
    "FieldChange",
    "FieldValues",
    "Tree",
    "field_changes",
    "field_tree",
    "float_text",
    "text_of",
]

Tree: TypeAlias = "dict[str, list[str | Tree]]"
FieldValues: TypeAlias = "list[str | Tree]"

#: Text format's other words for a bool; none of them is a word of an enum.
_BOOLS = {"True": "true", "t": "true", "False": "false", "f": "false"}
#: The two spellings of a bool.
_SAME = {("true", "1"), ("1", "true"), ("false", "0"), ("0", "false")}


class FieldChange(NamedTuple):
    """One field that differs: ``convolution_param.kernel_size``, "1", "3".

    A value is as text format writes it, None where the field is not there. renamed_to: the other
    net's name of the field, where the field as such is another (its own fields are compared).
    """

    path: str
    old: str | None
    new: str | None
    renamed_to: str = ""

    def __str__(self) -> str:
        if self.renamed_to:
            return f"{self.path} -> {self.renamed_to}"
        old, new = ("(none)" if value is None else value for value in (self.old, self.new))
        return f"{self.path}: {old} -> {new}"


def field_tree(message: Message, skip: frozenset[str] = frozenset()) -> Tree:
    """The message as a tree, without the fields in `skip`.

    Raises PrototxtError for a value that cannot be read.
    """
    tree: Tree = {}
    for field in message.fields:
        if field.name in skip:
            continue
        if isinstance(field.value, Message):
            leaf: str | Tree = field_tree(field.value)
        else:
            leaf = _canonical(field.value)
        tree.setdefault(field.name, []).append(leaf)
    return tree


def _canonical(scalar: Scalar) -> str:
    if scalar.kind == "string":
        return quoted(scalar.as_string())
    # Text format lets blanks stand after a minus.
    text = "".join(scalar.text.split())
    if scalar.kind == "word" and not text.startswith("-"):
        return _BOOLS.get(text, text)
    try:
        return str(scalar.as_int())
    except PrototxtError:
        return float_text(scalar.as_float())


def float_text(value: float) -> str:
    """The shortest text that gives the same float32; the value itself where that overflows."""
    try:
        single = _single(value)
    except OverflowError:
        return repr(value)
    # Below 2^24 every whole number is a float32.
    if abs(single) < 1 << 24 and single == int(single):
        return str(int(single))
    for digits in range(1, 9):
        text = f"{single:.{digits}g}"
        if _single(float(text)) == single:
            return text
    # Nine digits are enough for any float32.
    return f"{single:.9g}"


def _single(value: float) -> float:
    rounded: float = struct.unpack("<f", struct.pack("<f", value))[0]
    return rounded


def text_of(value: str | Tree) -> str:
    """A value on one line: a scalar's text, or ``{ type: "xavier" std: 0.1 }``."""
    if isinstance(value, str):
        return value
    inner = [
        f"{name}: {text_of(element)}" if isinstance(element, str) else f"{name} {text_of(element)}"
        for name, several in value.items()
        for element in several
    ]
    return f"{{ {' '.join(inner)} }}" if inner else "{ }"


def field_changes(
    old: Mapping[str, list[str | Tree]], new: Tree, path: str = ""
) -> list[FieldChange]:
    """What differs, in the order of the old fields, then of the new; paths begin with `path`."""
    changes: list[FieldChange] = []
    for name in dict.fromkeys([*old, *new]):
        changes += _changes(f"{path}{name}", old.get(name, []), new.get(name, []))
    return changes


def _changes(path: str, old: list[str | Tree], new: list[str | Tree]) -> Iterator[FieldChange]:
    if all(isinstance(value, str) for value in [*old, *new]):
        if not _same(old, new):
            yield FieldChange(path, _listed(old), _listed(new))
        return
    count = max(len(old), len(new))
    for index in range(count):
        own = path if count == 1 else f"{path}[{index}]"
        before = old[index] if index < len(old) else None
        after = new[index] if index < len(new) else None
        if isinstance(before, dict) and isinstance(after, dict):
            yield from field_changes(before, after, f"{own}.")
        elif before != after:
            yield FieldChange(own, _listed(old[index : index + 1]), _listed(new[index : index + 1]))


def _same(old: list[str | Tree], new: list[str | Tree]) -> bool:
    return len(old) == len(new) and all(
        before == after or (before, after) in _SAME for before, after in zip(old, new, strict=True)
    )


def _listed(values: list[str | Tree]) -> str | None:
    if len(values) < 2:
        return text_of(values[0]) if values else None
    return f"[{', '.join(map(text_of, values))}]"
