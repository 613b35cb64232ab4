"""Locks on open files, which end with the process that holds them."""

from __future__ import annotations

import os
import sys

__all__ = ["held", "is_held", "lock"]

if sys.platform == "win32":

    def lock(fd: int, *, wait: bool) -> bool | None:
        """Always None: no file locks on Windows."""
        return None

else:

    def lock(fd: int, *, wait: bool) -> bool | None:
        """Lock the file; False where somebody else has, None where files cannot be locked."""
        import fcntl

        try:
            fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        except OSError:
            return None
        return True


#: The descriptors of the folders that this process has made and keeps locked.
held: set[int] = set()


def is_held(fd: int) -> bool:
    """Whether this process keeps the folder that is open locked: nobody else works in it."""
    return any(os.path.sameopenfile(fd, each) for each in tuple(held))
