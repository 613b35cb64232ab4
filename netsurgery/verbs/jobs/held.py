"""Holding a lease for as long as something is done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from netsurgery.io.cleanup import Undo, step
from netsurgery.io.lease import LEASE
from netsurgery.verbs.jobs.store import JobLease

__all__ = ["held"]


@contextmanager
def held(take: Callable[[], JobLease | None]) -> Iterator[JobLease | None]:
    """Take a lease, renew it as long as the context lasts, and give it back; None for none."""
    with step:
        lease = take()
        undo = Undo(lambda: None if lease is None else lease.end())
    try:
        if lease is None:
            yield None
            return
        with _renewed(lease):
            yield lease
    finally:
        undo()


@contextmanager
def _renewed(lease: JobLease) -> Iterator[None]:
    """Renew a lease as long as the context lasts."""
    over = threading.Event()

    def renew() -> None:
        while not over.wait(LEASE / 4):
            with suppress(OSError):  # of a folder that is away for a moment
                lease.renew()

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
