"""The objects that no cell got, by class and by why: as lines, and as plain values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from netsurgery.io.wording import counted

__all__ = ["missed_by_reason", "missed_lines", "missed_records"]

#: How many objects, by the class's name and why no cell got them.
Missed = Mapping[tuple[str, str], int]


def missed_by_reason(missed: Missed) -> Counter[str]:
    """How many objects no cell got, by why.

    >>> missed_by_reason({("cat", "too small"): 2, ("dog", "too small"): 1})
    Counter({'too small': 3})
    """
    reasons: Counter[str] = Counter()
    for (_, reason), count in missed.items():
        reasons[reason] += count
    return reasons


def missed_lines(missed: Missed) -> Iterator[str]:
    """What is said of them.

    >>> list(missed_lines({("cat", "too small"): 2}))
    ['2 objects that no cell got: too small']
    """
    for reason, count in missed_by_reason(missed).items():
        yield f"{counted(count, 'object')} that no cell got: {reason}"


def missed_records(missed: Missed) -> list[dict[str, Any]]:
    """As JSON has them."""
    return [
        {"class": label, "reason": reason, "objects": count}
        for (label, reason), count in sorted(missed.items())
    ]
