"""Tables, as lines of text that fit a width and as HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from netsurgery.io.terminal import printable

__all__ = ["Column", "Table", "cell", "joined", "shortened"]

#: How many characters a line has at most, and how many a cell of a table, before escapes.
LONGEST, WIDEST = 1500, 80

#: How many of a list a cell shows.
_SHOWN = 4

#: What a column of text may be shortened to before another column is dropped, and after.
_LEAST, _TINIEST = 14, 4
_GAP = "  "


def shortened(text: str, most: int) -> str:
    """`text`, or its beginning and its end where it is longer than `most`.

    >>> shortened("inception_4a/output", 12)
    'incept...put'
    """
    if len(text) <= most:
        return text
    if most <= 3:
        return text[:most]
    end = (most - 3) // 3
    return f"{text[: most - end - 3]}...{text[len(text) - end :]}"


def cell(text: str, most: int = LONGEST) -> str:
    """`text` on one line, not endless, with what could steer a terminal escaped."""
    return printable(shortened(text, most)).replace("\n", "\\n").replace("\t", "\\t")


def joined(parts: Sequence[str]) -> str:
    """The parts with commas between; of many the first few, and how many more.

    >>> joined(["a", "b", "c", "d", "e", "f"])
    'a, b, c, d, 2 more'
    """
    if len(parts) > _SHOWN + 1:
        return f"{', '.join(parts[:_SHOWN])}, {len(parts) - _SHOWN} more"
    return ", ".join(parts)


@dataclass(frozen=True)
class Column:
    """A column: its title, whether its cells are numbers, and when it goes.

    rank: where a table is too wide, columns of the highest rank are dropped first; those of rank 0
    stay. Numbers are right-aligned and never shortened, text may be.
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

    def lines(self, width: int | None = None) -> list[str]:
        """The header and the rows, none wider than `width`; whole without one.

        A cell is cut even then where it is very long: it would make all of its column as wide.
        """
        texts = [[cell(text, WIDEST) for text in row] for row in self._with_titles()]
        widths = [max(map(_width, column)) for column in zip(*texts, strict=True)]
        if width is not None:
            widths = self._fitted(widths, max(1, width))
        return [self._line(row, widths) for row in texts]

    def _with_titles(self) -> list[Sequence[str]]:
        return [[column.title for column in self.columns], *self.rows]

    def _line(self, row: Sequence[str], widths: Sequence[int]) -> str:
        cells = []
        for text, width, column in zip(row, widths, self.columns, strict=True):
            if width:
                fitting = _cut(text, width)
                blank = " " * (width - _width(fitting))
                cells.append(blank + fitting if column.number else fitting + blank)
        return _GAP.join(cells).rstrip()

    def _fitted(self, widths: Sequence[int], width: int) -> list[int]:
        """The widths at which the table is no wider than `width`; 0 for a column that goes."""
        by_rank = sorted(range(len(widths)), key=lambda i: -self.columns[i].rank)
        going = [index for index in by_rank if self.columns[index].rank]
        result = list(widths)
        while _total(self._least(result, _LEAST)) > width and going:
            result[going.pop(0)] = 0
        for least in (_LEAST, _TINIEST, 1):
            if _total(self._least(result, least)) <= width:
                return _shrunk(result, self._least(result, least), width)
        return _squeezed(result, width)

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


def _width(text: str) -> int:
    """How many columns of a terminal the text takes; ideographs and the like take two."""
    if text.isascii():
        return len(text)
    import unicodedata

    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    marks = sum(unicodedata.combining(char) > 0 for char in text)
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


def _squeezed(widths: Sequence[int], width: int) -> list[int]:
    """As many of the columns as there is room for, from the left: the terminal is very narrow."""
    result = [0] * len(widths)
    for index, each in enumerate(widths):
        room = width - _total(result) - (len(_GAP) if any(result) else 0)
        result[index] = max(0, min(each, room if any(result) else width))
        if not result[index]:
            break
    return result
