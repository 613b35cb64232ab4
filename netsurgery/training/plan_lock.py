"""A plan's folder, for one process at a time: to run it, or to replace it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from netsurgery.errors import TrainingError
from netsurgery.io.locks import lock
from netsurgery.training.plan import PLAN

__all__ = ["alone_with"]


@contextmanager
def alone_with(folder: Path) -> Iterator[None]:
    """Keep other processes from the plan in the folder meanwhile; without a plan nothing is kept.

    Raises TrainingError where one has it. A run writes into the folder until its end: a plan that
    replaced it would get the results of another.
    """
    with ExitStack() as stack:
        try:
            descriptor = os.open(folder / PLAN, os.O_RDONLY)
        except OSError:
            yield
            return
        stack.callback(os.close, descriptor)
        locked = lock(descriptor, wait=False)
        if locked is False:
            raise TrainingError(f"{folder}: another process runs this training")
        if locked is None:  # as on Windows, where an open file keeps its folder from being replaced
            stack.close()
        yield
