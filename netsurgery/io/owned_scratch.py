"""Temporary folders of processes that others kill: the next such process removes what is left."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from netsurgery.io.lease import holder_lives, note_of, own_note
from netsurgery.io.ownership import is_own
from netsurgery.io.scratch import remove_scratch, scratch_folder

__all__ = ["owned_scratch"]

#: The file that says which process a folder is of.
_OWNER = "owner.json"


@contextmanager
def owned_scratch() -> Iterator[Path]:
    """A `scratch_folder`; before and after it those of dead processes are removed.

    Raises OutputError.
    """
    with scratch_folder() as folder:
        (folder / _OWNER).write_text(json.dumps(own_note({})))
        _remove_dead(folder.parent)
        yield folder
        _remove_dead(folder.parent)


def _remove_dead(place: Path) -> None:
    for folder in place.glob("netsurgery-*"):
        with suppress(OSError):
            state = os.lstat(folder)  # a link is not followed
            if folder.is_symlink() or not is_own(state):
                continue
            if holder_lives(note_of((folder / _OWNER).read_bytes())) is False:
                remove_scratch(folder)
