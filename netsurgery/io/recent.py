"""The last few of the things that are worked out by key."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Recent"]

T = TypeVar("T")


class Recent(Generic[T]):
    """What was worked out for the `most` keys that were asked for last.

    >>> squares = Recent[int](most=2)
    >>> squares.get(3, lambda: 3 * 3), squares.get(3, lambda: 0)
    (9, 9)
    """

    def __init__(self, most: int = 16) -> None:
        self._most = most
        self._kept: OrderedDict[object, T] = OrderedDict()

    def get(self, key: object, work_out: Callable[[], T]) -> T:
        """What there is for the key, or what `work_out` gives, unless that raises."""
        if key not in self._kept:
            self._kept[key] = work_out()
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]
