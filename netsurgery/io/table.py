"""Tables, as lines of text that fit a width and as HTML."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from netsurgery.io.terminal import cell, printable, shortened

__all__ = ["CellPaint", "Column", "Table", "rule_under"]

#: How many characters a cell has at most, before escapes.
WIDEST = 80

#: What a column of text may be shortened to before a column of a rank is dropped, and before one
#: without: less says nothing.
_LEAST, _TINIEST = 14, 8
_GAP = "  "

#: Colours a cell, which is as wide as its column, by the numbers of its row and column.
CellPaint = Callable[[str, int, int], str]


class Column(NamedTuple):
    """A column: its title, whether its cells are numbers, and when it goes.

    rank: where a table is too wide, columns of the highest rank are dropped first; those of rank 0
    last, from the right, but for one. Numbers are right-aligned and never shortened, text may be.
    """

    title: str
    rank: int = 0
    number: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of cells under columns.

    >>> table = Table((Column("layer"), Column("type", 1), Column("params", number=True)))
    >>> table.add("conv1", "Convolution", "416")
    >>> print("\\n".join(table.lines()))
    layer  type         params
    conv1  Convolution     416
    >>> print("\\n".join(table.lines(width=16)))
    layer  params
    conv1     416
    """

    columns: Sequence[Column]
    rows: list[Sequence[str]] = field(default_factory=list)

    def add(self, *cells: str) -> None:
        """One more row, a cell for each column."""
        assert len(cells) == len(self.columns)
        self.rows.append(cells)

    def lines(self, width: int | None = None, paint: CellPaint | None = None) -> list[str]:
        """The header and the rows, none wider than `width`; whole without one.

        A cell is cut even then where it is very long, and would make all of its column as wide.
        """
        texts = [
            [*(cell(text, WIDEST) for text in row[:-1]), cell(row[-1])]
            for row in self._with_titles()
        ]
        widths = [max(map(_width, column)) for column in zip(*texts, strict=True)]
        if width is not None:
            widths = self._fitted(widths, max(1, width))
        head, *rows = [self._cells(row, widths) for row in texts]
        if paint is not None:
            rows = [
                {at: paint(text, number, at) for at, text in row.items()}
                for number, row in enumerate(rows)
            ]
        return [_GAP.join(row.values()).rstrip() for row in (head, *rows)]

    def _with_titles(self) -> list[Sequence[str]]:
        return [[column.title for column in self.columns], *self.rows]

    def _cells(self, row: Sequence[str], widths: Sequence[int]) -> dict[int, str]:
        """Number of a column that is shown -> the cell, as wide as the column."""
        cells = {}
        for at, (text, width) in enumerate(zip(row, widths, strict=True)):
            if width:
                fitting = _cut(text, width)
                blank = " " * (width - _width(fitting))
                cells[at] = blank + fitting if self.columns[at].number else fitting + blank
        return cells

    def _fitted(self, widths: Sequence[int], width: int) -> list[int]:
        """The widths at which the table is no wider than `width`; 0 for a column that goes."""
        columns = range(len(widths))
        ranked = sorted(columns, key=lambda at: -self.columns[at].rank)
        going = [at for at in ranked if self.columns[at].rank]
        last = [at for at in columns if not self.columns[at].rank][:0:-1]
        result = list(widths)
        for least, indices in ((_LEAST, going), (_TINIEST, last)):
            for index in indices:
                if _total(self._least(result, least)) > width:
                    result[index] = 0
        for least in (_LEAST, _TINIEST, 1):
            if _total(self._least(result, least)) <= width:
                return _shrunk(result, self._least(result, least), width)
        return [min(each, width) for each in result]

    def _least(self, widths: Sequence[int], least: int) -> list[int]:
        return [
            width if column.number else min(width, least)
            for width, column in zip(widths, self.columns, strict=True)
        ]

    def html(self) -> str:
        """The table as HTML, with all its columns and whole cells."""
        head = "".join(
            f"<th{_align(column)}>{_escaped(column.title)}</th>" for column in self.columns
        )
        rows = "".join(f"<tr>{self._html_cells(row)}</tr>\n" for row in self.rows)
        return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>"

    def _html_cells(self, row: Sequence[str]) -> Iterable[str]:
        return "".join(
            f"<td{_align(column)}>{_escaped(text)}</td>"
            for text, column in zip(row, self.columns, strict=True)
        )


def _align(column: Column) -> str:
    return f' style="text-align: {"right" if column.number else "left"}"'


def _escaped(text: str) -> str:
    import html

    return html.escape(printable(text))


def rule_under(lines: Iterable[str]) -> str:
    """The line between a table's header and its rows, as wide as the widest line.

    >>> rule_under(["class", "猫 cat"])
    '------'
    """
    return "-" * max(map(_width, lines))


def _width(text: str) -> int:
    """How many columns of a terminal the text takes; ideographs and the like take two."""
    if text.isascii():
        return len(text)
    import unicodedata

    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    # Vowel signs, as of Thai, have no class as combining ones, and no column either.
    marks = sum(
        unicodedata.combining(char) > 0 or unicodedata.category(char) in ("Mn", "Me")
        for char in text
    )
    return len(text) + wide - marks


def _cut(text: str, width: int) -> str:
    """The text, shortened to what takes no more than `width` columns."""
    most = width
    while _width(text) > width:
        text, most = shortened(text, most), most - 1
    return text


def _total(widths: Sequence[int]) -> int:
    shown = [width for width in widths if width]
    return sum(shown) + len(_GAP) * (len(shown) - 1)


def _shrunk(widths: Sequence[int], least: Sequence[int], width: int) -> list[int]:
    """The widths, the largest of them made smaller until all fit; none below `least`."""
    result = list(widths)
    while _total(result) > width:
        widest = max(
            (i for i in range(len(result)) if result[i] > least[i]), key=lambda i: result[i]
        )
        result[widest] -= 1
    return result
