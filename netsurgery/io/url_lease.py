"""Leases below a URL, as `netsurgery.io.lease` has them in a folder.

A lease is a file that its holder made where there was none and writes again as long as it lives.
Nothing there can be locked: whoever was away for longer than a lease lasts finds it taken, and
leaves it alone then. Two that take over a dead holder's lease may both have it, as may two that
make one at the same moment where the store has no condition for that.
"""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import suppress
from typing import Any

from netsurgery.io.lease import LEASE, holder_lives, is_young, note_of, own_note
from netsurgery.io.url_files import UrlFolder

__all__ = ["UrlLease", "is_url_held", "read_url_lease"]

#: What a note calls whoever took the lease, besides the process.
_TAKER = "taker"


class UrlLease:
    """A lease that this process holds; `end` it, or it ends with the process."""

    def __init__(self, folder: UrlFolder, name: str, note: dict[str, Any], written: float) -> None:
        """note: what the lease says. written: since when, or later, by the monotonic clock."""
        self._folder, self._name, self._own = folder, name, note
        self._written, self._has_it = written, True
        self._turn = threading.RLock()  # a signal may end it in the middle of a call

    @classmethod
    def take(cls, folder: UrlFolder, name: str, note: dict[str, Any]) -> UrlLease | None:
        """Take a lease; None where somebody else holds it. Raises OSError."""
        own = {**own_note(note), _TAKER: os.urandom(8).hex()}
        while True:
            begun = time.monotonic()
            try:
                folder.create(name, _content(own))
            except FileExistsError:
                before = read_url_lease(folder, name)
                # A library asks again where an answer is lost, and then finds what it has made.
                if before.get(_TAKER) != own[_TAKER]:
                    if _holds(folder, name, before):
                        return None
                    folder.remove(name)
                    continue
            return cls(folder, name, own, begun)

    def write(self, note: dict[str, Any]) -> None:
        """Replace the note, and renew the lease. Raises OSError."""
        with self._turn:
            self._own = {**own_note(note), _TAKER: self._own[_TAKER]}
            self._write()

    def renew(self) -> None:
        """Have the lease begin again, for others. Raises OSError."""
        with self._turn:
            self._write()

    def end(self) -> None:
        """Give the lease back, unless it was taken by others; else it ends by its age."""
        with self._turn, suppress(OSError):
            if self._is_own():
                self._has_it = False
                self._folder.remove(self._name)

    def _write(self) -> None:
        if self._is_own():
            begun = time.monotonic()  # it counts from then, or later
            self._folder.write(self._name, _content(self._own))
            self._written = begun

    def _is_own(self) -> bool:
        """Whether nobody has taken it; before half of its time is over, nobody can have."""
        if self._has_it and time.monotonic() - self._written > LEASE / 2:
            note = read_url_lease(self._folder, self._name)
            self._has_it = note.get(_TAKER) == self._own[_TAKER]
        return self._has_it


def read_url_lease(folder: UrlFolder, name: str) -> dict[str, Any]:
    """What a lease says, whether it is held or not; {} where there is none. Raises OSError."""
    try:
        return note_of(folder.read(name))
    except FileNotFoundError:
        return {}


def is_url_held(folder: UrlFolder, name: str) -> bool:
    """Whether somebody holds the lease: it is there, and its holder lives. Raises OSError."""
    return _holds(folder, name, read_url_lease(folder, name))


def _holds(folder: UrlFolder, name: str, note: dict[str, Any]) -> bool:
    """Whether whoever wrote the note of a lease still holds it."""
    lives = holder_lives(note)
    if lives is not None:
        return lives
    try:
        return is_young(folder.age(name))
    except FileNotFoundError:
        return False


def _content(note: dict[str, Any]) -> bytes:
    return json.dumps(note).encode()
