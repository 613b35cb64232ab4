"""Parts of a param blob written as numpy writes them: ``[2]``, ``[:, 0]``, ``[..., 1:-1, 1:-1]``.

Read by hand, never evaluated: whole numbers, ``a:b:c`` and ``...`` with commas between.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from types import EllipsisType

from netsurgery.errors import SurgeryError
from netsurgery.net.net import Shape
from netsurgery.net.shapes import describe

__all__ = ["Index", "axes_left", "parse_index"]

#: What stands between one pair of brackets.
Index = tuple[int | slice | EllipsisType, ...]

_WHOLE = re.compile(r"[+-]?[0-9]{1,9}")


def parse_index(text: str) -> Index:
    """The index that `text`, what stands between the brackets, spells. Raises SurgeryError."""
    return tuple(_item(item.strip(), text) for item in text.split(","))


def _item(item: str, text: str) -> int | slice | EllipsisType:
    if item == "...":
        return ...
    if _WHOLE.fullmatch(item):
        return int(item)
    parts = [part.strip() for part in item.split(":")]
    if len(parts) in (2, 3) and all(not part or _WHOLE.fullmatch(part) for part in parts):
        numbers = [int(part) if part else None for part in parts]
        if numbers[2:] == [0]:
            raise SurgeryError(f"[{text}]: a step of 0")
        return slice(*numbers)
    raise SurgeryError(f"[{text}]: found {item!r}, expected a number, a:b, a:b:c or ...")


def axes_left(shape: Shape, groups: Sequence[Index]) -> list[int]:
    """The axes of `shape` that are left when one index after another is taken of it.

    Raises SurgeryError, naming the index, for one that is out of range or has more axes than
    there are, and where nothing at all is left.
    """
    axes, sizes = list(range(len(shape))), list(shape)
    for group in groups:
        items = _spelled_out(group, sizes)
        kept = []
        for position, item in enumerate(items):
            size = sizes[position]
            if isinstance(item, int):
                if not -size <= item < size:
                    raise SurgeryError(f"index {item} of {size} in a {describe(shape)} blob")
            else:
                kept.append((axes[position], len(range(*item.indices(size)))))
        axes, sizes = [axis for axis, _ in kept], [size for _, size in kept]
        if 0 in sizes:
            raise SurgeryError(f"nothing of a {describe(shape)} blob is chosen")
    return axes


def _spelled_out(group: Index, sizes: list[int]) -> list[int | slice]:
    """One item for each axis: the ellipsis, or what is left out at the end, as full slices."""
    given: list[int | slice] = [item for item in group if not isinstance(item, EllipsisType)]
    dots = len(group) - len(given)
    if dots > 1:
        raise SurgeryError("two ... in one pair of brackets")
    missing = len(sizes) - len(given)
    if missing < 0:
        raise SurgeryError(f"{len(given)} indices for {len(sizes)} axes")
    at = group.index(...) if dots else len(given)
    return [*given[:at], *[slice(None)] * missing, *given[at:]]
