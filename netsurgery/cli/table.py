"""Tables for people: aligned columns, and cells that cannot break them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from netsurgery.cli.printing import echo, printable

__all__ = ["cell", "echo_table", "joined", "size_text"]

#: How many of a list a cell shows.
_SHOWN = 4


def cell(text: str) -> str:
    """`text` on one line, with control characters escaped."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def joined(parts: Sequence[str]) -> str:
    """The parts with commas between; of many the first few, and how many more."""
    if len(parts) > _SHOWN + 1:
        return f"{', '.join(parts[:_SHOWN])}, {len(parts) - _SHOWN} more"
    return ", ".join(parts)


def echo_table(rows: Iterable[Sequence[str]], right: str = "", *, err: bool = False) -> None:
    """Print rows, to standard error if `err`; `right` has an "r" for each right-aligned column."""
    cleaned = [[cell(text) for text in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cleaned, strict=True)]
    for row in cleaned:
        cells = [
            text.rjust(width) if right[i : i + 1] == "r" else text.ljust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        echo("  ".join(cells).rstrip(), err=err)


def size_text(count: int) -> str:
    """A number of bytes as "512 B", "1.5 KiB", "232.6 MiB"."""
    size, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB"]
    while size >= 1024 and len(units) > 1:
        size, units = size / 1024, units[1:]
    return f"{size:.0f} B" if units[0] == "B" else f"{size:.1f} {units[0]}"
