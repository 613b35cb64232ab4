"""One budget of memory for all that files, options and nets make this process allocate.

Whoever is about to allocate something whose size a file, a net or an option says asks here first:

    with Claim(count, f"{path}: its array"):
        ...                                # the memory is in use until the end of the block

    claim = Claim(0, f"{path}: the list of its layers")
    claim.add(200)                         # it grows; what holds the memory holds the claim

    values = empty(shape, "f4", what)      # an array, claimed for as long as it lives

More than is left is a MemoryLimitError. How much there is (`set_max_memory`) is by default three
quarters of what is free when the first of it is claimed. What stays small whatever the input is
not claimed, so that the process may have some tens of MiB more than the budget.
"""

from __future__ import annotations

import gc
import math
import re
import threading
import weakref
from typing import TYPE_CHECKING, Any, TypeVar

from netsurgery.errors import MemoryLimitError, NetsurgeryError
from netsurgery.io.argument_types import checks_arguments
from netsurgery.io.closeable import Closeable
from netsurgery.io.wording import argument

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

__all__ = [
    "Claim",
    "allowed",
    "claim_for",
    "empty",
    "left",
    "max_memory",
    "parse_memory",
    "set_max_memory",
    "size_text",
    "without_frames",
]

T = TypeVar("T")
AnyError = TypeVar("AnyError", bound=Exception)

#: Less than this is given without asking the system what is free, which takes time.
_SMALL = 16 << 20

_UNITS = {
    "B": 1,
    **{f"{letter}B": 1000**power for power, letter in enumerate("KMGT", 1)},
    **{f"{letter}iB": 1024**power for power, letter in enumerate("KMGT", 1)},
}
_WORDS = {unit.lower(): count for unit, count in _UNITS.items()}


class _Budget:
    """The process's budget: `limit` is the user's, or None; `taken` is in use."""

    def __init__(self) -> None:
        self.lock = threading.RLock()  # a claim may be collected, and given back, in any place
        self.limit: int | None = None
        self.found: int | None = None
        self.taken = 0

    def allowed(self) -> int:
        """The limit; free memory is measured again when nothing is in use."""
        if self.limit is not None:
            return self.limit
        if self.found is None or not self.taken:
            from netsurgery.io.free_memory import free_memory

            self.found = self.taken + free_memory() * 3 // 4
        return self.found

    def take(self, count: int, what: str, more: bool) -> None:
        if self._took(count):
            return
        if count <= self.allowed():
            # An error that was caught may hold arrays of the calls that it came through, in a
            # cycle, for as long as Python does not look for those.
            gc.collect()
        if not self._took(count):
            raise _refusal(count, what, more, self.allowed(), self.taken)

    def _took(self, count: int) -> bool:
        """Whether there was as much."""
        with self.lock:
            small = self.limit is None and self.taken + count <= _SMALL
            if not small and self.taken + count > self.allowed():
                return False
            self.taken += count
            return True

    def give(self, count: int) -> None:
        with self.lock:
            self.taken -= count


_BUDGET = _Budget()


def _refusal(count: int, what: str, more: bool, limit: int, taken: int) -> MemoryLimitError:
    use = f", {size_text(taken)} of it in use" if taken else ""
    needs = f"needs {'more than ' if more else ''}{size_text(count)} of memory"
    return MemoryLimitError(
        f"{what} {needs}; {size_text(limit)} may be used ({argument('--max-memory')}){use}",
        what=what,
        needed=count,
        allowed=limit,
        left=limit - taken,
    )


class Claim(Closeable):
    """`count` bytes of the budget, for `what`: the subject of "... needs 2.0 GiB of memory".

    Given back by `close`, at the end of a ``with``, or when nothing holds the claim any more.
    Raises MemoryLimitError where less is left.
    """

    _budget = _BUDGET  # claims may be collected when the module is gone

    def __init__(self, count: int, what: str) -> None:
        self._count, self._what = 0, what
        self._budget.take(count, what, more=False)
        self._count = count

    @property
    def count(self) -> int:
        """How many bytes are claimed."""
        return self._count

    def add(self, count: int) -> None:
        """Claim `count` more bytes, keeping what is claimed. Raises MemoryLimitError."""
        self._grow(count, more=True)

    def at_least(self, count: int, what: str | None = None) -> None:
        """Grow the claim to `count` bytes in total; `what` replaces its name in messages."""
        self._what = what or self._what
        if count > self._count:
            self._grow(count - self._count, more=False)

    def _grow(self, count: int, more: bool) -> None:
        """Claim `count` bytes more; a refusal is of all that is claimed here together."""
        try:
            self._budget.take(count, self._what, more=more)
        except MemoryLimitError as error:
            total = self._count + count
            taken = self._budget.taken - self._count
            raise _refusal(total, self._what, more, error.allowed, taken) from None
        self._count += count

    def at_most(self, count: int) -> None:
        """Give back what is more than `count` bytes."""
        more = max(0, self._count - count)
        self._count -= more
        self._budget.give(more)

    def close(self) -> None:
        """Give it back. May be called again."""
        count, self._count = self._count, 0
        self._budget.give(count)

    def __del__(self) -> None:
        self.close()


def claim_for(holder: T, claim: Claim) -> T:
    """Keep `claim` for as long as `holder`, an array for example, lives; returns `holder`."""
    weakref.finalize(holder, claim.close).atexit = False
    return holder


def empty(shape: tuple[int, ...], kind: DTypeLike, what: str) -> NDArray[Any]:
    """An array to be filled, its memory claimed for as long as it lives.

    Raises MemoryLimitError.
    """
    import numpy as np

    claim = Claim(math.prod(shape) * np.dtype(kind).itemsize, what)
    return claim_for(np.empty(shape, kind), claim)


@checks_arguments()
def set_max_memory(limit: int | str | None) -> None:
    """Let what inputs ask for take `limit` bytes at most, or a size such as "4GiB".

    None: three quarters of what is free when the first of it is claimed. It holds for the whole
    process. What needs more raises MemoryLimitError before it is allocated; engines that run in
    this process or another count, too. Raises ValueError for what is not a size.

    Example:

        netsurgery.set_max_memory("4GiB")

    >>> set_max_memory("4GiB")
    >>> set_max_memory(None)
    """
    if isinstance(limit, str):
        limit = parse_memory(limit)
    if limit is not None and limit <= 0:
        raise ValueError(f"{limit} is not a number of bytes above 0")
    _BUDGET.limit, _BUDGET.found = limit, None


def max_memory() -> int | None:
    """What `set_max_memory` has set."""
    return _BUDGET.limit


def allowed() -> int:
    """Bytes that may be in use at once, including those in use now."""
    with _BUDGET.lock:
        return _BUDGET.allowed()


def left() -> int:
    """Bytes that may be claimed besides those in use now."""
    with _BUDGET.lock:
        return _BUDGET.allowed() - _BUDGET.taken


def parse_memory(text: str) -> int:
    """``"4GiB"``, ``"500 MB"``: bytes. Raises ValueError for what is not a size above 0."""
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,6})?)\s*([a-z]+)", text.strip().lower(), re.ASCII)
    count = int(float(match[1]) * _WORDS.get(match[2], 0)) if match else 0
    if not 0 < count < 1 << 62:
        raise ValueError(f"{text[:60]!r} is not a size of memory, such as 500MiB, 4GiB or 2.5GB")
    return count


def size_text(count: int) -> str:
    """A number of bytes as "512 B", "1.5 KiB", "232.6 MiB"."""
    size, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB"]
    while size >= 1024 and len(units) > 1:
        size, units = size / 1024, units[1:]
    return f"{size:.0f} B" if units[0] == "B" else f"{size:.1f} {units[0]}"


def without_frames(error: AnyError) -> AnyError:
    """An error that is kept; one of ours without the calls that it came through, whose arrays it
    would keep, too.

    >>> try:
    ...     raise MemoryLimitError("a.png: too large", what="", needed=0, allowed=0, left=0)
    ... except MemoryLimitError as error:
    ...     without_frames(error).__traceback__ is None
    True
    """
    chain: list[BaseException | None] = [error if isinstance(error, NetsurgeryError) else None]
    for each in chain:  # which grows, and may lead back to where it began
        if each is not None:
            each.__traceback__ = None
            before = each.__cause__, each.__context__
            chain += [link for link in before if link not in chain]
    return error
