"""A height and a width, in every form that a call or an option takes one; and whole shapes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from netsurgery.errors import NetError, SettingsError
from netsurgery.io.argument_types import shown, whole_numbers

__all__ = ["AnySize", "as_shape", "as_size", "parse_size"]

#: (height, width), or one number for a square; text as on the command line is taken too.
AnySize: TypeAlias = int | Sequence[int]

_MOST = 1_000_000


def as_size(size: Any, name: str = "size", words: str = "") -> tuple[int, int]:
    """(height, width) of what a call was given: a pair, one number, or text as `parse_size` reads.

    name: the argument's. words: what else it may be, for the message of the SettingsError.

    >>> as_size([4, 6]), as_size(8), as_size("4x6")
    ((4, 6), (8, 8), (4, 6))
    """
    try:
        if isinstance(size, str):
            return parse_size(size)
        pair = (size, size) if not hasattr(size, "__len__") else tuple(size)
        height, width = map(int, pair)
        exact = (height, width) == pair and not any(isinstance(side, bool) for side in pair)
    except (TypeError, ValueError, OverflowError):
        exact = False
    if not exact or not (0 < height <= _MOST and 0 < width <= _MOST):
        raise SettingsError(
            f"{name} {shown(size)}: expected {words}(height, width) or one number for a square, "
            f"from 1 to {_MOST}"
        )
    return height, width


def as_shape(shape: Any, where: str) -> tuple[int, ...]:
    """The shape of a blob, as a call gives it; numpy's numbers become Python's.

    Raises NetError, which begins with `where`, for anything but whole numbers.

    >>> as_shape([1, 3, 8, 8], "input 'data'")
    (1, 3, 8, 8)
    """
    sizes = whole_numbers(shape) if isinstance(shape, Iterable) else None
    if sizes is None:
        raise NetError(f"{where}: found the shape {shown(shape)}, expected sizes")
    return sizes


def parse_size(text: str) -> tuple[int, int]:
    """``"451x600"`` is (451, 600): height, width, as Caffe orders them; one number is a square.

    Raises ValueError for anything else, zero and negative numbers included.
    """
    parts = text.lower().split("x")
    if len(parts) not in (1, 2) or not all(part.isascii() and part.isdigit() for part in parts):
        raise ValueError(f"{text[:60]!r} is not HEIGHTxWIDTH")
    if max(map(len, parts)) > 7:  # int() has a limit of its own
        raise ValueError(f"{text[:60]!r} is not a size between 1 and {_MOST}")
    height, width = int(parts[0]), int(parts[-1])
    if not (0 < height <= _MOST and 0 < width <= _MOST):
        raise ValueError(f"{text!r} is not a size between 1 and {_MOST}")
    return height, width
