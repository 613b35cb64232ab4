"""Files that save work when they are there: in the user's cache folder, bounded in size.

Each is named after what it was made of, is written once, appears whole, and is read by all who need
it. Those that were used longest ago go when there are too many bytes. Nothing depends on one: where
there is no folder for them, or no room, the work is done again.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from netsurgery.errors import NetsurgeryError
from netsurgery.io.cleanup import Undo, step
from netsurgery.io.memory import parse_memory
from netsurgery.io.ownership import exposure, is_own
from netsurgery.io.segments import close_quietly
from netsurgery.io.user_folders import cache_folder

__all__ = ["CachedFile", "UserCache", "boot_mark", "user_cache"]

_FOLDER_VARIABLE = "NETSURGERY_CACHE"
_SIZE_VARIABLE = "NETSURGERY_CACHE_SIZE"

#: Bytes of all files together, where the user says nothing else.
_SIZE = 2 << 30
#: How the names of files end that are there and in the making: the folder may have others.
_ENDING, _MAKING = ".netsurgery-cache", ".netsurgery-making"
#: A file that has been in the making for so many seconds was left by a process that died.
_FORGOTTEN = 3600
_WRITE = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


class CachedFile(NamedTuple):
    """A file of the cache: its path, its bytes, and when it was used last, in seconds of time()."""

    path: str
    size: int
    used: float


def user_cache() -> UserCache | None:
    """The cache; None without a home, by NETSURGERY_CACHE=none, and where others can write to it.

    Raises NetsurgeryError for a NETSURGERY_CACHE_SIZE that does not say bytes.
    """
    named = os.environ.get(_FOLDER_VARIABLE, "")
    folder = cache_folder() if not named else None if named == "none" else Path(named)
    if folder is None or exposure(folder) is not None:
        return None
    text = os.environ.get(_SIZE_VARIABLE, "")
    try:
        limit = parse_memory(text) if text else _SIZE
    except ValueError as error:
        raise NetsurgeryError(f"{_SIZE_VARIABLE}: {error}") from None
    return UserCache(folder, limit)


@cache
def boot_mark() -> str:
    """What is another after the machine has started again; "" where the system does not say.

    A file that was not yet on the disk when the power went may be there without its content.
    """
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


class UserCache:
    """A folder of cached files that together take at most `limit` bytes."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit

    def find(self, name: str, size: int) -> str | None:
        """The path of the file of that name and size, from now on the last that was used."""
        path = os.path.join(self.folder, name + _ENDING)
        try:
            state = os.lstat(path)
            if not (stat.S_ISREG(state.st_mode) and is_own(state) and state.st_size == size):
                return None
            os.utime(path)
        except OSError:
            return None
        return path

    def make(self, name: str, size: int, write: Callable[[int], object]) -> str:
        """The path of a new file of `size` bytes. Raises OSError.

        It takes at most a quarter of what is free on the disk. write: writes all bytes into the
        descriptor that it is given. What it raises is raised.
        """
        path = os.path.join(self.folder, name + _ENDING)
        making = os.path.join(self.folder, f"{name}-{secrets.token_hex(4)}{_MAKING}")
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._make_room(size)
        if size > shutil.disk_usage(self.folder).free // 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        with step:
            fd = os.open(making, _WRITE, 0o600)
            undo = Undo(lambda: _remove(making))
        try:
            write(fd)
            if not boot_mark():
                os.fsync(fd)
            os.close(fd)
            fd = -1
            os.replace(making, path)
        finally:
            close_quietly(fd)
            undo()
        return path

    def files(self) -> list[CachedFile]:
        """What is there, the last used first. Raises OSError."""
        return sorted(self._files(), key=lambda file: -file.used)

    def clear(self) -> int:
        """Delete all files; their bytes. What maps one goes on with it. Raises OSError."""
        files = self.files()
        for file in files:
            with suppress(FileNotFoundError):
                os.unlink(file.path)
        return sum(file.size for file in files)

    def _files(self) -> Iterator[CachedFile]:
        with suppress(FileNotFoundError), os.scandir(self.folder) as entries:
            for entry in entries:
                if not entry.name.endswith((_ENDING, _MAKING)):
                    continue
                with suppress(FileNotFoundError):
                    state = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(state.st_mode):
                        yield CachedFile(entry.path, state.st_size, state.st_mtime)

    def _make_room(self, size: int) -> None:
        import time

        taken, forgotten = size, time.time() - _FORGOTTEN
        for file in self.files():
            in_making = file.path.endswith(_MAKING)
            taken += file.size
            if file.used < forgotten if in_making else taken > self.limit:
                _remove(file.path)
                taken -= file.size


def _remove(path: str) -> None:
    with suppress(OSError):
        os.unlink(path)
