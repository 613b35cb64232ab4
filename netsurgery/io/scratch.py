"""Temporary folders; those of processes that were killed go with the next that is made."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from netsurgery.errors import OutputError
from netsurgery.io.cleanup import Undo, step
from netsurgery.io.ownership import exposure

__all__ = ["remove_scratch", "scratch_folder"]

_NAME = "netsurgery-{}"
#: The ending of one that is being removed.
_GOING = "-going"
#: How often a folder is emptied into which a call under way may still put a file.
_TRIES = 3


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """An empty private folder, removed with the context; those of dead processes are removed first.

    Raises OutputError, also where others could put another folder in its place: in one that all may
    write to, as /tmp, the sticky bit forbids that.
    """
    import tempfile

    from netsurgery.io.locked_folder import (
        machine_mark,
        make_locked_folder,
        remove_dead_folders,
        short_text,
        unlock_folder,
    )

    fd = -1
    try:
        place = os.path.abspath(tempfile.gettempdir())
        with step:
            path, fd = make_locked_folder(
                lambda mark: os.path.join(place, _NAME.format(mark) + short_text(_random())), 0o700
            )
            folder = Path(path)
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
        pattern = f"{_NAME.format(machine_mark())}[0-9a-z]{{4}}({_GOING})?"
        remove_dead_folders(place, pattern, lambda dead: remove_scratch(Path(dead)))
        yield folder
    finally:
        undo()
        unlock_folder(fd)


def _random() -> int:
    return int.from_bytes(os.urandom(4), "big")


def remove_scratch(folder: Path) -> None:
    """Remove a temporary folder, which another process may have made and been killed.

    Under another name first: what somebody is still about to write there has no place to go.
    """
    import shutil  # tempfile imported it: no file is opened for it here

    going = folder.with_name(folder.name.removesuffix(_GOING) + _GOING)
    try:
        folder.rename(going)
    except OSError:  # somebody has that name
        going = folder
    for _ in range(_TRIES):
        shutil.rmtree(going, ignore_errors=True)
        if not going.exists():
            return
