"""How often a picture, or a band of one, was begun in vain: one that kills its workers fails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from netsurgery.io.wording import counted
from netsurgery.verbs.jobs.store import JobLease, job_errors

__all__ = ["Tries", "given_up"]

_MOST = 3


class Tries:
    """Counts tries in leases, whose notes outlive their holders.

    run: a name of the run; tries of an earlier one, which somebody stopped, do not count. place:
    what the user calls the job.
    """

    def __init__(self, run: str, place: str) -> None:
        self._run, self._place = run, place

    def before(self, note: Mapping[str, Any], index: int) -> int:
        """How often a worker has begun picture `index` and died, by the last lease's note."""
        same = note.get("run") == self._run and note.get("picture") == index
        return int(note["tries"]) if same else 0

    def write(self, lease: JobLease, index: int, tries: int) -> None:
        """Have the lease say how often it was begun. Raises JobError."""
        with job_errors(self._place):
            lease.write({"run": self._run, "picture": index, "tries": tries})


def given_up(tries: int) -> str:
    """What to say of a picture that is not tried once more; "" for one that is."""
    return f"the worker died at it {counted(tries, 'time')}" if tries >= _MOST else ""
