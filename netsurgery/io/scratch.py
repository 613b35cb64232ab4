"""Temporary folders."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from netsurgery.errors import OutputError
from netsurgery.io.cleanup import Undo, step
from netsurgery.io.ownership import exposure

__all__ = ["remove_scratch", "scratch_folder"]

#: How often a folder is emptied into which a call under way may still put a file.
_TRIES = 3


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """An empty private folder, removed with the context.

    Raises OutputError, also where others could put another folder in its place: in one that all may
    write to, as /tmp, the sticky bit forbids that.
    """
    import tempfile

    try:
        with step:
            folder = Path(tempfile.mkdtemp(prefix="netsurgery-"))
            undo = Undo(lambda: remove_scratch(folder))
        why = exposure(folder)
    except OSError as error:
        raise OutputError(
            f"no folder for temporary files: {error.strerror or error}; TMPDIR names another"
        ) from error
    try:
        if why is not None:
            raise OutputError(
                f"no folder for temporary files: {why}, so that others could move it ({folder}); "
                "TMPDIR names another"
            )
        yield folder
    finally:
        undo()


def remove_scratch(folder: Path) -> None:
    """Remove a temporary folder, which another process may have made and been killed.

    Under another name first: what somebody is still about to write there has no place to go.
    """
    import shutil  # tempfile imported it: no file is opened for it here

    going = folder.with_name(f"{folder.name}-going")
    try:
        folder.rename(going)
    except OSError:  # somebody has that name
        going = folder
    for _ in range(_TRIES):
        shutil.rmtree(going, ignore_errors=True)
        if not going.exists():
            return
