"""The table of a run as Markdown, and its place in a document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "BEGIN",
    "END",
    "Row",
    "at_least",
    "at_most",
    "head",
    "line",
    "pasted",
    "seconds",
    "size",
    "table",
]

BEGIN = "<!-- make bench writes from here -->"
END = "<!-- to here -->"
_HEAD = ("ratio", "target", "met", "what", "netsurgery", "compared with", "lower bound")


@dataclass(frozen=True)
class Row:
    """One line of the table, every cell as text; `reached` is None where nothing is to reach."""

    ratio: str
    reach: str
    reached: bool | None
    what: str
    ours: str
    theirs: str
    bound: str

    def cells(self) -> tuple[str, ...]:
        """The cells in the order of the head."""
        met = {True: "yes", False: "**no**", None: ""}[self.reached]
        return self.ratio, self.reach, met, self.what, self.ours, self.theirs, self.bound


def at_least(
    target: float, theirs: float, ours: float, *, word: str = "faster"
) -> tuple[str, str, bool]:
    """Ratio, reach and reached of something that is to be so many times less than the other."""
    ratio = theirs / ours
    return f"{ratio:.3g} x {word}", f"at least {target:g} x", ratio >= target


def at_most(target: float, theirs: float, ours: float) -> tuple[str, str, bool]:
    """Ratio, reach and reached of something that may be so many times the other."""
    ratio = ours / theirs
    return f"{ratio:.2f} times", f"at most {target:g} times", ratio <= target


def seconds(value: float) -> str:
    """A time for people: "0.31 s", "4.6 ms"."""
    return f"{value:.3g} s" if value >= 0.1 else f"{value * 1000:.3g} ms"


def size(count: float) -> str:
    """A number of bytes for people, in MB or GB (powers of ten)."""
    return f"{count / 1e9:.3g} GB" if count >= 1e9 else f"{count / 1e6:.3g} MB"


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table, ending in a line end."""
    return head(_HEAD) + "".join(line(row.cells()) for row in rows)


def head(cells: Sequence[str]) -> str:
    """The first two lines of a Markdown table."""
    return line(cells) + line(["---"] * len(cells))


def line(cells: Sequence[str]) -> str:
    """A line of a Markdown table, with its end."""
    return f"| {' | '.join(cells)} |\n"


def pasted(document: str, block: str, opening: str = BEGIN) -> str:
    """The document with what is between `opening` and END replaced.

    Raises ValueError without them.
    """
    before, begin, rest = document.partition(opening)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document has no {opening!r} with {END!r} behind it")
    return f"{before}{opening}\n\n{block.strip()}\n\n{END}{after}"
