"""Folders for files that are wanted for a moment."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from netsurgery.errors import OutputError
from netsurgery.io.cleanup import Undo, step

__all__ = ["scratch_folder"]

#: How often a folder is emptied into which a call under way may still put a file.
_TRIES = 3


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """An empty folder of our own, gone with the context. Raises OutputError."""
    import tempfile

    try:
        with step:
            folder = Path(tempfile.mkdtemp(prefix="netsurgery-"))
            undo = Undo(lambda: _remove(folder))
    except OSError as error:
        raise OutputError(
            f"no folder for temporary files: {error.strerror or error}; TMPDIR names another"
        ) from error
    try:
        yield folder
    finally:
        undo()


def _remove(folder: Path) -> None:
    """Under another name first: what somebody is still about to write there has no place to go."""
    going = folder.with_name(f"{folder.name}-going")
    with contextlib.suppress(OSError):
        folder.rename(going)
    for _ in range(_TRIES):
        shutil.rmtree(going, ignore_errors=True)
        if not going.exists():
            return
