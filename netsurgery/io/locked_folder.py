"""Folders of one process, which a later one removes where their maker was killed.

Such a folder is locked for as long as the process that made it lives, however that ends. Nothing
but the lock says whether it does. Locks on folders are known on their own machine alone, also where
a file system is shared: so a folder's name says which machine made it, since its last start, and
only there is it looked at.
"""

from __future__ import annotations

import errno
import os
import re
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache

from netsurgery.io.locks import held, lock
from netsurgery.io.segments import close_quietly

__all__ = [
    "lock_folder",
    "machine_mark",
    "make_locked_folder",
    "remove_dead_folders",
    "short_text",
    "unlock_folder",
]

#: Of folders that could not be locked, which are nobody's to remove.
_NO_MACHINE = "0000"
#: Names that are tried, as many as Python's own tempfile does.
_TRIES = 10_000
_OPEN = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
#: Seconds between two removals of dead folders from one: listing it takes as long as it is large.
_CLEARING = 1.0


def make_locked_folder(name: Callable[[str], str], mode: int = 0o777) -> tuple[str, int]:
    """Make a folder, and lock it: its path, and the descriptor for `unlock_folder`, -1 for none.

    name: a new path, with the mark that is given. Raises OSError.
    """
    mark = machine_mark()
    for _ in range(_TRIES):
        path = name(mark)
        try:
            os.mkdir(path, mode)
        except FileExistsError:
            continue
        fd = lock_folder(path, wait=True)
        try:
            # Whoever was clearing up may have met it before it was locked.
            if _is_at(path, fd) or mark == _NO_MACHINE:
                if fd >= 0:
                    held.add(fd)
                return path, fd
            if fd < 0:
                with suppress(FileNotFoundError):
                    os.rmdir(path)
                    mark = _NO_MACHINE  # others might be able to lock it
        except BaseException:
            with suppress(OSError):
                os.rmdir(path)
            close_quietly(fd)
            raise
        close_quietly(fd)
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)


def unlock_folder(fd: int) -> None:
    """Close the descriptor that `make_locked_folder` gave, and with it release the lock."""
    if fd >= 0:
        held.discard(fd)
        close_quietly(fd)


def short_text(number: int) -> str:
    """Four letters and digits for a number. Names are short: Ray has its sockets in such folders.

    >>> short_text(1), short_text(123456789)
    ('0001', 'i3v9')
    """
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    return "".join(digits[number // 36**place % 36] for place in (3, 2, 1, 0))


def lock_folder(path: str, *, wait: bool) -> int:
    """Lock a folder until the descriptor that this gives is closed; -1 where it cannot be."""
    fd = _opened(path)
    if fd >= 0 and lock(fd, wait=wait) is not True:
        close_quietly(fd)
        return -1
    return fd


#: Folder -> when dead ones were last removed from it.
_cleared: dict[str, float] = {}


def remove_dead_folders(place: str, pattern: str, remove: Callable[[str], None]) -> None:
    """Remove the folders in `place` whose makers are gone, of this user and this machine.

    pattern: of their names, which have this machine's mark.
    """
    now = time.monotonic()
    if machine_mark() == _NO_MACHINE or now - _cleared.get(place, -_CLEARING) < _CLEARING:
        return
    _cleared[place] = now
    is_one = re.compile(pattern, re.DOTALL).fullmatch
    with suppress(OSError):
        for name in filter(is_one, os.listdir(place)):
            _remove_if_dead(os.path.join(place, name), remove)


def _remove_if_dead(path: str, remove: Callable[[str], None]) -> None:
    fd = _opened(path)
    try:
        is_dead = fd >= 0 and os.fstat(fd).st_uid == os.geteuid() and lock(fd, wait=False)
        if is_dead and _is_at(path, fd):
            remove(path)
    finally:
        close_quietly(fd)


def _opened(path: str) -> int:
    """A descriptor of a folder; -1 for what is none, or a link, and on Windows."""
    try:
        return os.open(path, _OPEN)
    except OSError:
        return -1


def _is_at(path: str, fd: int) -> bool:
    """Whether the folder is still the one that is open, if one is."""
    try:
        return fd >= 0 and os.path.samestat(os.lstat(path), os.fstat(fd))
    except FileNotFoundError:
        return False


@cache
def machine_mark() -> str:
    """The mark of this machine since its start."""
    try:
        name, boot = os.uname().nodename, ""
    except AttributeError:  # Windows, where no folder is locked
        return _NO_MACHINE
    with suppress(OSError), open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot = file.read()
    return short_text(zlib.crc32(f"{name} {boot}".encode()))
