"""A class map as text: rows of class numbers, then the classes found."""

from __future__ import annotations

from collections.abc import Callable

from netsurgery.maps.classmap import ClassMap, Found
from netsurgery.maps.colors import CLASS_COLORS

__all__ = ["found_text", "map_text"]


def map_text(found: ClassMap, color: bool = False) -> str:
    """The likeliest class of each cell, a line for each row, numbers right-aligned.

    With `color` (a terminal's), each of the most frequent classes has a colour of its own.
    """
    ranks = {one.number: rank for rank, one in enumerate(found.found())} if color else {}
    numbers = found.argmax()
    width = len(str(numbers.max()))
    return "\n".join(
        " ".join(_painted(f"{number:{width}d}", ranks.get(int(number))) for number in row)
        for row in numbers
    )


def found_text(found: ClassMap, color: bool = False, clean: Callable[[str], str] = str) -> str:
    """The classes found, most frequent first: cells, class, best value, label.

    `clean` makes a label fit to print.
    """
    classes = found.found()
    cells = max(len("cells"), *(len(str(one.cells)) for one in classes))
    numbers = max(len("class"), *(len(str(one.number)) for one in classes))
    best = [f"{one.best:.4g}" for one in classes]
    values = max(len(f"best {found.scored}"), *map(len, best))
    head = f"{'cells':>{cells}}  {'class':>{numbers}}  {f'best {found.scored}':>{values}}"
    if found.labels is not None:
        head += "  label"
    lines = [head]
    for rank, (one, value) in enumerate(zip(classes, best, strict=True)):
        number = _painted(f"{one.number:>{numbers}}", rank if color else None)
        lines.append(f"{one.cells:>{cells}}  {number}  {value:>{values}}{clean(_label(one))}")
    return "\n".join(lines)


def _label(one: Found) -> str:
    return f"  {one.label}" if one.label else ""


def _painted(text: str, rank: int | None) -> str:
    if rank is None or rank >= len(CLASS_COLORS):
        return text
    red, green, blue = CLASS_COLORS[rank]
    return f"\x1b[38;2;{red};{green};{blue}m{text}\x1b[0m"
