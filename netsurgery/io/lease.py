"""Leases: who is at what, among processes and machines that share a folder and no server.

A lease is a file that its holder made with O_EXCL and touches as long as it lives. It ends with its
holder: a process of this machine is looked up by its number and start; of one elsewhere all that is
seen is the file's age, by the clock of the file system that both share. Two that take over the
same dead holder's lease at the same moment may both have it: what is done under a lease must come
to the same if it is done twice.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import time
from functools import cache
from pathlib import Path
from typing import Any

from netsurgery.io.segments import close_quietly

__all__ = [
    "LEASE",
    "Lease",
    "holder_lives",
    "is_held",
    "is_young",
    "names_holder",
    "note_of",
    "own_note",
    "read_lease",
]

#: Seconds after which a lease that was not renewed from another machine is over.
LEASE = 60.0

#: Bytes of a lease, written at once: nobody reads half of it.
_SIZE = 1024


class Lease:
    """A lease that this process holds; `end` it, or it ends with the process.

    note: what the next holder should know; `write` replaces it.
    """

    def __init__(self, path: Path, fd: int, note: dict[str, Any]) -> None:
        self.path, self._fd = path, fd
        try:
            self.write(note)
        except BaseException:  # else it would be one of nobody knows whom, and waited for
            self.end()
            raise

    @classmethod
    def take(cls, path: Path, note: dict[str, Any]) -> Lease | None:
        """Take a lease; None where somebody else holds it. Raises OSError."""
        while True:
            try:
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
            except FileExistsError:
                if is_held(path):
                    return None
                _unlink(path)
            else:
                return cls(path, fd, note)

    def write(self, note: dict[str, Any]) -> None:
        """Replace the note, and renew the lease."""
        text = json.dumps(own_note(note))
        os.pwrite(self._fd, text.encode().ljust(_SIZE), 0)

    def renew(self) -> None:
        """Have the lease begin again, for others."""
        os.utime(self._fd)

    def end(self) -> None:
        """Give the lease back, unless it was taken by others."""
        if self._fd < 0:
            return
        try:
            own = os.path.samestat(os.stat(self.path), os.fstat(self._fd))
        except FileNotFoundError:
            own = False
        if own:
            _unlink(self.path)
        close_quietly(self._fd)
        self._fd = -1


def read_lease(path: Path) -> dict[str, Any]:
    """What a lease says, whether it is held or not; {} where there is none, or nothing in it yet.

    Raises OSError.
    """
    try:
        return note_of(path.read_bytes())
    except FileNotFoundError:
        return {}


def is_held(path: Path) -> bool:
    """Whether somebody holds the lease: it is there, and its holder lives. Raises OSError."""
    lives = holder_lives(read_lease(path))
    if lives is not None:
        return lives
    try:
        return is_young(_clock(path.parent) - path.stat().st_mtime)
    except FileNotFoundError:
        return False


def is_young(age: float) -> bool:
    """Whether a lease that was renewed so long ago is still held.

    One from the future was renewed before the clock was set back: its holder would have done so
    again since.
    """
    return abs(age) < LEASE


def own_note(note: dict[str, Any]) -> dict[str, Any]:
    """What a lease of this process says: a note, and who holds it."""
    return {**note, "place": _place(), "pid": os.getpid(), "started": _start_of(os.getpid())}


def note_of(content: bytes) -> dict[str, Any]:
    """What the bytes of a lease say; {} where nothing is in it yet."""
    try:
        value = json.loads(content)
    except (RecursionError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def names_holder(note: dict[str, Any]) -> bool:
    """Whether a lease says who holds it, as one of ours does."""
    return isinstance(note.get("place"), str) and type(note.get("pid")) is int


def holder_lives(note: dict[str, Any]) -> bool | None:
    """Whether a lease's holder, a process of this machine, lives; None for one of elsewhere."""
    if note.get("place") == _place() and isinstance(note.get("pid"), int):
        return _start_of(note["pid"]) == note.get("started")
    return None


@cache
def _place() -> str:
    """Where process numbers mean what they mean here: a machine since its start, a container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # no Linux: processes are not looked up
        return f"{socket.gethostname()} {os.urandom(8).hex()}"


def _start_of(pid: int) -> str:
    """When a process started, in the kernel's ticks; "" where it is gone, or waits to be reaped."""
    try:
        # Its name, in parentheses, may hold blanks.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def _clock(folder: Path) -> float:
    """The time by which the folder's file system dates files; a server's is not this machine's."""
    path = folder / f".{os.urandom(6).hex()}.clock"
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):  # whoever only looks
            return time.time()
        raise
    try:
        os.write(fd, b"\n")
        return os.fstat(fd).st_mtime
    finally:
        os.close(fd)
        _unlink(path)


def _unlink(path: Path) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
