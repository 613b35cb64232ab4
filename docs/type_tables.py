"""The tables of docs/formats.md: every layer type and all that its record says.

    python docs/type_tables.py [--check]

writes them between their marks; with --check it only says, by its exit status, whether they are
those of the records.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from netsurgery.net import types
from netsurgery.net.effect import Effect
from netsurgery.net.types.elementwise import no_edges
from netsurgery.net.types.fields import free
from netsurgery.net.types.record import MANY, LayerType, ParamSpec

__all__ = ["PATH", "current", "tables"]

PATH = Path(__file__).with_name("formats.md")

#: What stands before and behind the tables.
BEGIN, END = "<!-- the types, by make types-table -->\n", "<!-- end of the types -->\n"

#: An answer that depends on the layer's own parameters.
BY_TEXT = "by its text"
UNKNOWN = "not known"


def tables() -> str:
    """All of them, as they stand between the marks."""
    records = list(types.RECORDS.values())
    with_params = [each for each in records if each.params != ()]
    return "\n".join(
        [
            "What each is called, whose definition counts, and what it reads:\n",
            _table(_NAMES, records),
            "What each does:\n",
            _table(_DOES, records),
            "The params of those that have some, in order:\n",
            _table(_PARAMS, with_params),
        ]
    )


def current() -> bool:
    """Whether the file has the tables of the records."""
    return _written(PATH.read_text("utf-8")) == PATH.read_text("utf-8")


def _written(text: str) -> str:
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{PATH}: the marks of the tables are not there")
    return f"{head}{begin}\n{tables()}\n{end}{tail}"


def _table(columns: Sequence[tuple[str, Callable[[LayerType], str]]], records: Any) -> str:
    lines = [[name for name, _ in columns], ["---"] * len(columns)]
    lines += [[cell(record) for _, cell in columns] for record in records]
    return "".join(f"| {' | '.join(line)} |\n".replace("|  ", "| ") for line in lines)


def _said(answer: object) -> str:
    """An enum's value, or that the layer's text says it."""
    return (
        BY_TEXT if callable(answer) else str(answer.value if isinstance(answer, Enum) else answer)
    )


def _count(answer: Any) -> str:
    if callable(answer):
        return BY_TEXT
    low, high = answer
    if low == high:
        return str(low)
    return f"{low} or more" if high >= MANY else f"{low} to {high}"


def _roles(record: LayerType) -> str:
    if callable(record.roles):
        return BY_TEXT
    return ", ".join(role.value for role in record.roles)


def _message(record: LayerType) -> str:
    names = ", ".join(f"`{field}`" for field in record.fields)
    own = f"`{record.message}`" if record.message else "none"
    return f"{own}; {names}" if names else own


def _known(answer: object | None) -> str:
    return UNKNOWN if answer is None else "known"


def _yes(answer: object) -> str:
    return "yes" if answer else ""


def _edges(record: LayerType) -> str:
    if record.edges is None:
        return UNKNOWN
    return "as elsewhere" if record.edges is no_edges else "in a way of its own"


def _effects(record: LayerType) -> str:
    if callable(record.effects):
        return BY_TEXT
    words = {Effect.READS: "reads", Effect.WRITES: "writes", Effect.IMPORTS: "imports"}
    return ", ".join(words[effect] for effect in record.effects)


def _cost(record: LayerType) -> str:
    if record.multiply_adds is None:
        return UNKNOWN
    return "none" if record.multiply_adds is free else "counted"


def _params(record: LayerType) -> str:
    if record.params is None:
        return UNKNOWN
    return BY_TEXT if callable(record.params) else _in_words(record.params)


def _in_words(params: Iterable[ParamSpec]) -> str:
    return ", ".join(
        param.role.value
        + (f" (`{param.filler}`, else {param.fills:g})" if param.filler else f" ({param.fills:g})")
        + (", linear" if param.linear else "")
        for param in params
    )


_NAMES: list[tuple[str, Callable[[LayerType], str]]] = [
    ("type", lambda record: record.name),
    ("also called", lambda record: ", ".join(record.aliases)),
    ("of", lambda record: record.origin),
    ("its message; fields of forks", _message),
    ("bottoms", lambda record: _count(record.bottoms)),
    ("read for", _roles),
    ("tops", lambda record: _count(record.tops)),
    ("in place", lambda record: _said(record.in_place)),
    ("runs", lambda record: _yes(record.runs)),
    ("for training", lambda record: _yes(record.training)),
]
_DOES: list[tuple[str, Callable[[LayerType], str]]] = [
    ("type", lambda record: record.name),
    ("shapes", lambda record: _known(record.shapes)),
    ("height and width", lambda record: _said(record.space)),
    ("a window", lambda record: _yes(record.window)),
    ("field", lambda record: _known(record.field)),
    ("edges", _edges),
    ("channels", lambda record: _said(record.channels)),
    ("numbers", lambda record: _said(record.values)),
    ("signs", lambda record: _said(record.signs)),
    ("without bottoms", lambda record: record.source.value),
    ("multiply-adds", _cost),
    ("files and modules", _effects),
]
_PARAMS: list[tuple[str, Callable[[LayerType], str]]] = [
    ("type", lambda record: record.name),
    ("params (filler, else the number)", _params),
    ("weight", lambda record: "" if record.layout is None else _said(record.layout)),
    ("factor and shift by channel", lambda record: _yes(record.affine)),
]


def main(arguments: Sequence[str]) -> int:
    if "--check" in arguments:
        return 0 if current() else 1
    PATH.write_text(_written(PATH.read_text("utf-8")), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
