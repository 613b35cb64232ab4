"""A worker: a process that takes pictures of a job and maps them, as long as there are any.

It is started with its assignment, JSON, on the first line of its standard input; where that ends
its driver is gone, and so is it. What it does stands in the job's folder alone.
"""

from __future__ import annotations

import _thread
import json
import os
import random
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netsurgery.engines.contract import EngineOptions
from netsurgery.errors import JobError, NetsurgeryError, OutputError
from netsurgery.io.cleanup import Undo, end, step
from netsurgery.io.closeable import Closeable
from netsurgery.io.files import Outputs
from netsurgery.io.lease import LEASE, Lease
from netsurgery.io.memory import set_max_memory
from netsurgery.io.scratch import remove_scratch
from netsurgery.io.targets import FileSet
from netsurgery.io.terminal import say
from netsurgery.io.wording import counted, naming_options
from netsurgery.verbs.jobs.folder import ERROR, Chunk, JobFolder

if TYPE_CHECKING:
    from netsurgery.maps.mapper import Mapper

__all__ = ["JobAssignment", "JobWorker", "main"]

#: How often a picture is tried at whose worker died.
_TRIES = 3
#: Seconds between two looks for pictures whose worker, somewhere else, may have died.
_PATIENCE = 1.0


@dataclass(frozen=True)
class JobAssignment:
    """What a worker is to do: the job's folder, how to run the net, and the run it belongs to.

    run: a name; tries of an earlier run, which somebody stopped, do not count. memory: its budget
    in bytes, None for its machine's. as_command: whether messages name options. on: the engine that
    it hands the work to, "" to do it itself; workers: how many are to do it there. scratch: a
    folder for that engine's temporary files.
    """

    folder: str
    engine: EngineOptions
    run: str
    memory: int | None
    as_command: bool
    on: str = ""
    workers: int | None = None
    scratch: str = ""

    def to_json(self) -> dict[str, Any]:
        """The assignment as JSON has it."""
        return {**asdict(self), "engine": {**asdict(self.engine), "allow": [*self.engine.allow]}}

    @classmethod
    def of_json(cls, record: dict[str, Any]) -> JobAssignment:
        """The assignment that `to_json` gives."""
        engine = {**record["engine"], "allow": frozenset(record["engine"]["allow"])}
        return cls(**{**record, "engine": EngineOptions(**engine)})


class JobWorker(Closeable):
    """The net, loaded for a job, and what is done with its pictures; `close` it."""

    def __init__(self, assignment: JobAssignment) -> None:
        """Raises JobError where a file is not the planned one, and what `classify_map` raises.

        The current folder becomes the job's.
        """
        self.folder = JobFolder.open(Path(assignment.folder))
        self._run = assignment.run
        plan = self.folder.plan
        try:
            os.chdir(plan.folder)
        except OSError as error:
            raise JobError(
                f"{plan.folder}: {error.strerror}; the folder that the job was planned in has to "
                "be there on every machine"
            ) from error
        set_max_memory(assignment.memory)
        plan.check_files()
        self._mapper: Mapper = plan.open_mapper(assignment.engine)

    def close(self) -> None:
        """Release the net."""
        self._mapper.close()

    def do_all(self) -> None:
        """Take chunks until all pictures are over, those of others too.

        Raises what would fail every picture.
        """
        chunks = self.folder.chunks
        start = random.randrange(len(chunks) or 1)  # the workers do not all ask for the same
        chunks = chunks[start:] + chunks[:start]
        while chunks:
            chunks = [chunk for chunk in chunks if chunk.left() and not self.do(chunk)]
            if chunks:  # others are at them
                time.sleep(_PATIENCE)

    def do(self, chunk: Chunk) -> bool:
        """Do what is left of a chunk; False where another worker has it."""
        before = chunk.last_note()
        with step:
            lease = chunk.take(before)
            if lease is None:
                return False
            undo = Undo(lease.end)
        try:
            with _renewed(lease):
                for index in chunk.left():
                    tries = self._tries(before, index)
                    if tries < _TRIES:
                        lease.write({"run": self._run, "picture": index, "tries": tries + 1})
                        self._do(chunk, index)
                    else:
                        self._fail(chunk, index, f"the worker died at it {counted(tries, 'time')}")
        finally:
            undo()
        return True

    def _tries(self, note: dict[str, Any], index: int) -> int:
        """How often in this run a worker has begun a picture and died."""
        same = note.get("run") == self._run and note.get("picture") == index
        return int(note["tries"]) if same else 0

    def _do(self, chunk: Chunk, index: int) -> None:
        """Write the outputs of one picture, or its error."""
        from netsurgery.verbs.classify_map_result import MapJob
        from netsurgery.verbs.outputs.files import MapFiles

        plan = self.folder.plan
        name = plan.pictures[index]
        paths = {kind: [chunk.file(index, plan.suffix(kind))] for kind in plan.kinds}
        files = MapFiles(paths, FileSet(), force=True, in_parts=True)
        (result,) = MapJob(self._mapper, [(name, name)], files, plan.view, ExitStack())
        if isinstance(result.error, OutputError):  # a full disk is not the picture's fault
            raise result.error
        if result.error is not None:
            self._fail(chunk, index, str(result.error))

    def _fail(self, chunk: Chunk, index: int, error: str) -> None:
        record = {"image": self.folder.plan.pictures[index], "error": error}
        path = chunk.file(index, ERROR)
        with Outputs([path], force=True) as outputs:
            outputs[path].write(f"{json.dumps(record)}\n".encode())


@contextmanager
def _renewed(lease: Lease) -> Iterator[None]:
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


def main() -> None:
    """Carry out the assignment on standard input, and exit: 0 done, 1 for an error, on one line."""
    assignment = JobAssignment.of_json(json.loads(sys.stdin.readline()))
    if assignment.scratch:  # its maker may be killed
        Undo(lambda: remove_scratch(Path(assignment.scratch)))
    _thread.start_new_thread(_end_with_driver, ())
    try:
        with naming_options() if assignment.as_command else nullcontext():
            if assignment.on:
                from netsurgery.verbs.jobs.on_ray import do_all

                do_all(assignment)
            else:
                with JobWorker(assignment) as worker:
                    worker.do_all()
    except NetsurgeryError as error:
        say(f"{error}\n")
        end(1)
    end(0)


def _end_with_driver() -> None:
    """Wait until the driver closes standard input, or is gone, and end then."""
    while os.read(0, 1):
        continue
    end(130)
