"""Which param, and which part of it, an operation means.

    LAYER[INDEX]              a param: conv[0] the weights, conv[1] the bias
    LAYER[INDEX][SLICES]...   a part of it, as in numpy

Names hold ``/``, ``-``, ``=``, ``:`` and brackets, so the layer is the longest name of the net
that the text begins with. Slices, ``[2]``, ``[:, 0]``, ``[..., 1:-1, 1:-1]``, are parsed here and
never evaluated: whole numbers, ``a:b:c`` and ``...`` with commas between.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import EllipsisType
from typing import TYPE_CHECKING

from netsurgery.errors import SurgeryError
from netsurgery.io.shape_text import shape_text
from netsurgery.io.wording import counted, with_article
from netsurgery.net.net import Shape

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

__all__ = [
    "Index",
    "Target",
    "axes_left",
    "layer_before",
    "parse_index",
    "parse_target",
    "part_of",
]

_INDEX = re.compile(r"\[([0-9]{1,6})\]")
_GROUP = re.compile(r"\[([^\[\]]*)\]")
_WHOLE = re.compile(r"[+-]?[0-9]{1,9}")

#: What one pair of brackets selects.
Index = tuple[int | slice | EllipsisType, ...]


@dataclass(frozen=True)
class Target:
    """A layer's param `index`, or the part of it that `slices` select, one after another."""

    layer: str
    index: int
    slices: tuple[Index, ...]
    text: str


def layer_before(text: str, names: Iterable[str], marks: str) -> str | None:
    """The longest of `names` that `text` begins with and one of `marks` follows; None if none."""
    matches = [name for name in names if name and text.startswith(tuple(name + m for m in marks))]
    return max(matches, key=len, default=None)


def parse_target(text: str, names: Iterable[str]) -> tuple[Target, str] | None:
    """The target that `text` begins with and what follows it; None where it begins with none."""
    matches = [name for name in names if _INDEX.match(text, len(name)) and text.startswith(name)]
    if not matches:
        return None
    name = max(matches, key=len)
    index = _INDEX.match(text, len(name))
    assert index is not None
    at = index.end()
    slices = []
    while group := _GROUP.match(text, at):
        slices.append(parse_index(group[1]))
        at = group.end()
    return Target(name, int(index[1]), tuple(slices), text[:at]), text[at:]


def parse_index(text: str) -> Index:
    """The index that `text`, the content of a pair of brackets, spells. Raises SurgeryError."""
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
    the shape, and where nothing at all is selected.
    """
    axes, sizes, whole = list(range(len(shape))), list(shape), with_article(shape_text(shape))
    for group in groups:
        items = _spelled_out(group, sizes)
        left = []
        for position, item in enumerate(items):
            size = sizes[position]
            if isinstance(item, int):
                if not -size <= item < size:
                    raise SurgeryError(f"index {item} of {size} in {whole} param")
            else:
                left.append((axes[position], len(range(*item.indices(size)))))
        axes, sizes = [axis for axis, _ in left], [size for _, size in left]
        if 0 in sizes:
            raise SurgeryError(f"nothing of {whole} param is selected")
    return axes


def _spelled_out(group: Index, sizes: list[int]) -> list[int | slice]:
    """One item for each axis: the ellipsis, or what is left out at the end, as full slices."""
    items: list[int | slice] = [item for item in group if not isinstance(item, EllipsisType)]
    dots = len(group) - len(items)
    if dots > 1:
        raise SurgeryError("two ... in one pair of brackets")
    missing = len(sizes) - len(items)
    if missing < 0:
        raise SurgeryError(f"{counted(len(items), 'index')} for {counted(len(sizes), 'axis')}")
    at = group.index(...) if dots else len(items)
    return [*items[:at], *[slice(None)] * missing, *items[at:]]


def part_of(array: Array, target: Target) -> Array:
    """The selected part, a view of the array (of 0 axes where one number is selected).

    Raises SurgeryError as `axes_left` does.
    """
    axes_left(array.shape, target.slices)
    view = array
    for position, index in enumerate(target.slices):
        last = position == len(target.slices) - 1
        # With ... even one number stays a view.
        view = view[(*index, ...) if last and ... not in index else index]
    return view
