"""A class map as text: the likeliest class of each cell, and the table of classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from netsurgery.io.shape_text import shape_text
from netsurgery.io.table import Column, Table, rule_under
from netsurgery.io.wording import counted
from netsurgery.maps.row_blocks import claim_more, thinning_step

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from netsurgery.maps.classmap import ClassCount, ClassMap

    Numbers = NDArray[np.unsignedinteger[Any]]

__all__ = [
    "TextStyle",
    "class_table",
    "head_text",
    "map_text",
    "summary_text",
    "table_text",
    "whole_text",
]

#: Paints a text in the colour of a class: its rank among those in colour, and that of the colour
#: behind it; None for no colour, which is the background's.
Paint = Callable[[str, int | None, int | None], str]

#: What stands for the classes, one character a cell; the first is the background's, or where there
#: is none the commonest class's.
_SIGNS = ".abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_RARE = "?"
#: Copies of the text while it is made and printed, and what colors add to a cell of it, at most.
_COPIES, _PAINT = 6, 40
_HALF, _LOWER = "\u2580", "\u2584"


def _plain(text: str, rank: int | None, behind: int | None = None) -> str:
    return text


@dataclass(frozen=True)
class TextStyle:
    """How a map is printed.

    columns: characters of a line, None for no limit (a file). paint: colours text for a terminal.
    colored: whether it does. bold: makes a table's header bold. clean: makes a label fit to print.
    """

    columns: int | None = None
    paint: Paint = _plain
    colored: bool = False
    bold: Callable[[str], str] = str
    clean: Callable[[str], str] = str


PLAIN = TextStyle()


def whole_text(
    class_map: ClassMap, style: TextStyle | None = None, *, summary: bool = False
) -> str:
    """What the map is of, the class of each cell, and the table of classes, or this `summary`."""
    style = style or PLAIN
    parts = [table_text(class_map, style)]
    if not summary:
        parts = [f"{head_text(class_map, style)}\n{map_text(class_map, style)}", *parts]
    return "\n\n".join(parts)


def map_text(class_map: ClassMap, style: TextStyle = PLAIN) -> str:
    """The likeliest class of each cell, a line for each row; no line is longer than `columns`.

    Class numbers where they fit, else half blocks in the classes' colours, two rows a line, or
    without colours a character a cell, "." for the background or else the commonest class, and a
    legend. The background has no colour. Of very many cells some are left out.
    """
    numbers = class_map.likeliest
    ranks = _color_ranks(class_map)
    width = len(str(numbers.max()))
    step = thinning_step(class_map.shape)
    shown = _sampled(numbers, step)
    numbered = style.columns is None or shown.shape[1] * (width + 1) - 1 <= style.columns
    if not numbered:
        step = -(-numbers.shape[1] // (style.columns or 1))
        shown = _sampled(numbers, step)
    of_cell = width + 1 + _PAINT * style.colored
    claim_more(class_map, _COPIES * of_cell * shown.size, "its map as text")
    if numbered:
        text = "\n".join(
            " ".join(
                style.paint(f"{number:{width}d}", ranks[number], None) for number in row.tolist()
            )
            for row in shown
        )
    elif style.colored:
        text = _blocks(shown, ranks, style)
    else:
        text = _letters(shown, _background_first(class_map), style)
    return text if step == 1 else f"{text}\n(step: {counted(step, 'cell')})"


def _sampled(numbers: Numbers, step: int) -> Numbers:
    """Every `step`th row and column, from the middle of the cells left out on."""
    return numbers[step // 2 :: step, step // 2 :: step] if step > 1 else numbers


def _background_first(class_map: ClassMap) -> list[ClassCount]:
    """The table of the map, the background before all others."""
    return sorted(class_map.summary(), key=lambda row: row.number != class_map.background)


def _color_ranks(class_map: ClassMap) -> dict[int, int | None]:
    """Class -> the rank of its colour, the same as on the picture; the background has none."""
    ranks: dict[int, int | None] = {row.number: None for row in class_map.summary()}
    return ranks | {row.number: rank for rank, row in enumerate(class_map.foreground())}


def _blocks(numbers: Numbers, ranks: dict[int, int | None], style: TextStyle) -> str:
    """Two rows a line: the upper half of a character in one colour, the lower behind it."""
    lines = []
    rows: list[list[int | None]] = [[ranks[number] for number in row] for row in numbers.tolist()]
    for row in range(0, len(rows), 2):
        upper = rows[row]
        lower = rows[row + 1] if row + 1 < len(rows) else [None] * len(upper)
        runs = groupby(zip(upper, lower, strict=True))
        lines.append("".join(_half(len(list(run)), *pair, style) for pair, run in runs))
    return "\n".join(lines)


def _half(count: int, upper: int | None, lower: int | None, style: TextStyle) -> str:
    """Half blocks; a half without a colour is blank, so that the terminal's own is seen."""
    if upper is None:
        blank = " " if lower is None else _LOWER
        return style.paint(blank * count, lower, None)
    return style.paint(_HALF * count, upper, lower)


def _letters(numbers: Numbers, table: list[ClassCount], style: TextStyle) -> str:
    signs = dict(zip((row.number for row in table), _SIGNS, strict=False))
    last = len(_SIGNS)
    lines = ["".join(signs.get(number, _RARE) for number in row) for row in numbers.tolist()]
    legend = [f"{sign} {row.number}" for sign, row in zip(_SIGNS, table, strict=False)]
    if len(table) > last:
        legend.append(f"{_RARE} {counted(len(table) - last, 'more class')}")
    return "\n".join([*lines, "", *_filled(legend, style.columns or 80)])


def _filled(words: list[str], columns: int) -> list[str]:
    """The words in lines of at most `columns`, two blanks between."""
    lines = [""]
    for word in words:
        longer = f"{lines[-1]}  {word}" if lines[-1] else word
        if len(longer) <= columns or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def table_text(class_map: ClassMap, style: TextStyle = PLAIN, most: int | None = None) -> str:
    """The classes of the map, most cells first: cells, class, best value, label.

    most: rows at most; the rest are counted.
    """
    rows = class_map.summary()
    table = class_table(class_map, rows[:most], style.clean)
    head, *lines = table.lines(style.columns)
    ranks = _color_ranks(class_map)
    rule = [rule_under((head, *lines))] if style.columns is not None else []
    _, *painted = table.lines(
        style.columns,
        lambda text, row, column: (
            style.paint(text, ranks[rows[row].number], None)
            if table.columns[column].title == "class"
            else text
        ),
    )
    more = len(rows) - len(table.rows)
    return "\n".join(
        [
            style.bold(head),
            *rule,
            *painted,
            *([f"and {counted(more, 'more class')}"] if more else []),
        ]
    )


def class_table(
    class_map: ClassMap, rows: Sequence[ClassCount], clean: Callable[[str], str] = str
) -> Table:
    """These classes as a table; the labels' ids, where they have any, in a column of their own."""
    labels = class_map.labels
    columns = [
        Column("cells", 1, number=True),
        Column("class", number=True),
        Column(f"best {class_map.scored}", 2, number=True),
    ]
    with_ids = labels is not None and any(labels.split(row.number)[0] for row in rows)
    if with_ids:
        columns.append(Column("id", 3))
    if labels is not None:
        columns.append(Column("label"))
    table = Table(columns)
    for row in rows:
        names = () if labels is None else labels.split(row.number)[0 if with_ids else 1 :]
        table.add(str(row.cells), str(row.number), f"{row.best:.4g}", *map(clean, names))
    return table


def head_text(class_map: ClassMap, style: TextStyle = PLAIN) -> str:
    """What the map is of, on one line."""
    placement = class_map.geometry.placement
    image = style.clean(class_map.picture.shown)
    engine = f", by {style.clean(class_map.engine)}" if class_map.engine else ""
    size, cells = shape_text(placement.input), shape_text(class_map.shape)
    return f"{image}: input {size}, map {cells} of {style.clean(class_map.blob)}{engine}"


def summary_text(class_map: ClassMap, rows: int) -> str:
    """What the map is of, and the classes of most cells."""
    return f"{head_text(class_map)}\n\n{table_text(class_map, most=rows)}"
