"""Where a job's outputs are being put in place, or were when that was broken off."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable

from netsurgery.errors import JobError, OutputError
from netsurgery.verbs.jobs.store import JobStore

__all__ = ["MERGING", "Merging"]

#: The file that says so.
MERGING = "merging.json"


class Merging:
    """Putting a job's outputs into these places, for as long as the ``with``.

    again: whether that was broken off before, by a kill or an error. It had found none of the
    places taken: what is there now is no obstacle, if it is what would be written. Raises JobError.
    """

    def __init__(self, store: JobStore, places: Iterable[str]) -> None:
        self._store = store
        self._note = f"{json.dumps(sorted(map(os.path.abspath, places)))}\n".encode()
        try:
            self.again = store.read(MERGING) == self._note
        except FileNotFoundError:
            self.again = False

    def __enter__(self) -> None:
        # A job that may only be read is merged all the same.
        with contextlib.suppress(JobError, OutputError):
            self._store.write(MERGING, self._note)

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            with contextlib.suppress(JobError):
                self._store.remove(MERGING)
