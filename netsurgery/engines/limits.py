"""Bounds on what Caffe's process takes: memory, and the files it writes.

Both follow the nets it has loaded, by their estimates (caffe_claim.py), and are set from outside:
the process itself, once confined, may not move its limits. Memory is what it had before its first
net and, generously, what the nets take; files hold no more than what is handed back in them, arrays
or a caffemodel. A net whose shapes are not all known may take the whole budget. A GPU's driver maps
the GPU's memory and all the machine's besides: memory is then not bounded.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
from typing import TYPE_CHECKING

from netsurgery.io.memory import allowed, size_text

if TYPE_CHECKING:
    from netsurgery.engines.contract import EngineOptions

__all__ = ["Limits", "no_limits"]

#: What libraries map besides, not all of it used: heaps of their threads, buffers.
_HEADROOM = 2 << 30
#: Of a save, Caffe holds the params twice more; memory that was given back stays mapped.
_TIMES = 3
#: A file holds names, and a caffemodel its layers' own parameters; blobs may be asked for twice.
_TEXT = 64 << 20
_TIMES_WRITTEN = 2

_OUT_OF_MEMORY = re.compile(
    r"host allocation|bad_alloc|MemoryError|(allocate|out of) memory(?!, perhaps)|malloc",
    re.IGNORECASE,
)


def no_limits() -> str:
    """Why no process can be limited from outside here; "" where it can."""
    return "" if hasattr(resource, "prlimit") else "only Linux limits a process from outside"


class Limits:
    """The limits of one process, for the nets in it, which are known by their numbers."""

    def __init__(self, pid: int, leader: int, options: EngineOptions) -> None:
        """`pid` is the process by its own account, `leader` the one that we started.

        They differ where a launcher stays in between, and then only the session says whose it is.
        """
        self._before = _mapped(pid) if _same_session(pid, leader) else 0
        self.reason = no_limits() or ("" if self._before else "its number is not known here")
        self._pid, self._options = pid, options
        self._nets: dict[int, int | None] = {}
        self._most = 0
        self._set()

    def expect(self, number: int, count: int | None) -> None:
        """Leave room for a net that takes `count` bytes, at its next shapes; None: not known."""
        self._nets[number] = count
        self._set()

    def forget(self, number: int) -> None:
        """The net was closed. What it had may stay mapped, so that no limit is lowered."""
        self._nets.pop(number, None)

    def explain(self, words: str) -> str:
        """What to add to words that say memory ran out; "" to others."""
        if self.reason or self._options.gpu is not None or not _OUT_OF_MEMORY.search(words):
            return ""
        return f"; its process may take {size_text(self._memory())} for nets of these shapes"

    def _estimated(self) -> int:
        """What all nets take together."""
        known = [count for count in self._nets.values() if count is not None]
        if len(known) < len(self._nets) or "python" in self._options.allow:
            return allowed()
        return sum(known)

    def _memory(self) -> int:
        return _TIMES * self._most + _HEADROOM

    def _set(self) -> None:
        if self.reason:
            return
        self._most = max(self._most, self._estimated())
        if self._options.gpu is None:
            self._limit(resource.RLIMIT_AS, self._before + self._memory())
        if "writes" not in self._options.allow:
            self._limit(resource.RLIMIT_FSIZE, _TIMES_WRITTEN * self._most + _TEXT)

    def _limit(self, which: int, soft: int) -> None:
        """Set the limit, which may also be higher than it was, but not than it can be."""
        with contextlib.suppress(OSError):  # it has ended
            hard = resource.prlimit(self._pid, which)[1]
            soft = soft if hard == resource.RLIM_INFINITY else min(soft, hard)
            resource.prlimit(self._pid, which, (soft, hard))


def _same_session(pid: int, leader: int) -> bool:
    try:
        return os.getsid(pid) == leader
    except OSError:
        return False


def _mapped(pid: int) -> int:
    """Bytes of address space that the process has."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except (OSError, ValueError):
        return 0
