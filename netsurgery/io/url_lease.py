"""Leases below a URL, as `netsurgery.io.lease` has them in a folder.

A lease is a file that its holder made where there was none and writes again as long as it lives.
Nothing there can be locked: whoever was away for longer than a lease lasts finds it taken, and
leaves it alone then. Two that take over a dead holder's lease may both have it, as may two that
make one at the same moment where the store has no condition for that.
"""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from typing import Any

from netsurgery.io.lease import LEASE, holder_lives, note_of, own_note
from netsurgery.io.url_files import UrlFolder

__all__ = ["UrlLease", "is_url_held", "read_url_lease"]


class UrlLease:
    """A lease that this process holds; `end` it, or it ends with the process."""

    def __init__(self, folder: UrlFolder, name: str, note: dict[str, Any]) -> None:
        self._folder, self._name, self._own = folder, name, own_note(note)
        self._written, self._has_it = time.monotonic(), True
        self._turn = threading.RLock()  # a signal may end it in the middle of a call

    @classmethod
    def take(cls, folder: UrlFolder, name: str, note: dict[str, Any]) -> UrlLease | None:
        """Take a lease; None where somebody else holds it. Raises OSError."""
        while True:
            try:
                folder.create(name, _content(own_note(note)))
            except FileExistsError:
                if is_url_held(folder, name):
                    return None
                folder.remove(name)
            else:
                return cls(folder, name, note)

    def write(self, note: dict[str, Any]) -> None:
        """Replace the note, and renew the lease. Raises OSError."""
        with self._turn:
            self._own = own_note(note)
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
            self._folder.write(self._name, _content(self._own))
            self._written = time.monotonic()

    def _is_own(self) -> bool:
        """Whether nobody has taken it; before half of its time is over, nobody can have."""
        if self._has_it and time.monotonic() - self._written > LEASE / 2:
            note = read_url_lease(self._folder, self._name)
            holder = ("place", "pid", "started")
            self._has_it = all(note.get(key) == self._own[key] for key in holder)
        return self._has_it


def read_url_lease(folder: UrlFolder, name: str) -> dict[str, Any]:
    """What a lease says, whether it is held or not; {} where there is none. Raises OSError."""
    try:
        return note_of(folder.read(name))
    except FileNotFoundError:
        return {}


def is_url_held(folder: UrlFolder, name: str) -> bool:
    """Whether somebody holds the lease: it is there, and its holder lives. Raises OSError."""
    lives = holder_lives(read_url_lease(folder, name))
    if lives is not None:
        return lives
    try:
        return folder.age(name) < LEASE
    except FileNotFoundError:
        return False


def _content(note: dict[str, Any]) -> bytes:
    return json.dumps(note).encode()
