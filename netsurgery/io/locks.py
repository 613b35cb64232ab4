"""Locks on open files, which end with the process that holds them."""

from __future__ import annotations

import sys

__all__ = ["lock"]

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
