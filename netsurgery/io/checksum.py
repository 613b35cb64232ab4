"""Whether a file is what it was, by short texts: of its bytes, or of its size and time."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

__all__ = ["sha256_of", "size_and_time"]

_BLOCK = 1 << 20


def sha256_of(path: str | Path) -> str:
    """The SHA-256 of a file, read block by block, in hexadecimal digits. Raises OSError."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def size_and_time(path: str | Path) -> str:
    """What a file that is not read is known by. Raises OSError."""
    state = os.stat(path)
    return f"size {state.st_size}, time {state.st_mtime_ns}"
