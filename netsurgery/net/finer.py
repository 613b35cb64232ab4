"""Finer total strides: which of them a map can have, and how many cells then lie where one did."""

from __future__ import annotations

from fractions import Fraction
from math import gcd

from netsurgery.errors import NetError
from netsurgery.io.shape_text import stride_text
from netsurgery.io.wording import argument
from netsurgery.net.geometry import Pair

__all__ = ["cells_for_one", "check_finer", "finer_strides"]


def cells_for_one(stride: Pair, requested: int) -> tuple[int, int]:
    """How many cells come to lie where a blob of this total stride had one; along each axis.

    requested: the total stride of the maps. The blob's own becomes the greatest common divisor of
    both: so a blob that is finer already stays as it is, and every stride divides those behind it.

    >>> cells_for_one((Fraction(32), Fraction(32)), 8), cells_for_one((Fraction(4), Fraction(4)), 8)
    ((4, 4), (1, 1))
    """
    height, width = (_cells(step, requested) for step in stride)
    return height, width


def _cells(step: Fraction, requested: int) -> int:
    # A stride of 0 moves nowhere, a fraction is finer than any whole number asked for.
    whole = step.denominator == 1 and step > 0
    return int(step) // gcd(int(step), requested) if whole else 1


def finer_strides(stride: Pair) -> list[int]:
    """The total strides that a map of this one can be given, largest first.

    >>> finer_strides((Fraction(32), Fraction(16)))
    [16, 8, 4, 2, 1]
    """
    if any(step.denominator != 1 or step < 1 for step in stride):
        return []
    height, width = (int(step) for step in stride)
    common = gcd(height, width)
    return [n for n in range(common, 0, -1) if common % n == 0 and n < max(height, width)]


def check_finer(path: str, blob: str, stride: Pair, requested: int) -> None:
    """Raise NetError, with those that can, where a map's stride cannot become `requested`."""
    possible = finer_strides(stride)
    if requested not in possible:
        expected = f"expected {_either(possible)}" if possible else "it has no finer one"
        raise NetError(
            f"{path}: {argument(f'--stride {requested}')}: the total stride of {blob!r} is "
            f"{stride_text(stride)}; {expected}"
        )


def _either(numbers: list[int]) -> str:
    *others, last = map(str, numbers)
    return f"{', '.join(others)} or {last}" if others else last
