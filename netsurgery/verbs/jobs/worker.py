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
import time
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netsurgery.engines.contract import EngineOptions
from netsurgery.errors import (
    ImageError,
    JobError,
    MemoryLimitError,
    NetsurgeryError,
    OutputError,
)
from netsurgery.io.cleanup import Undo, end
from netsurgery.io.closeable import Closeable
from netsurgery.io.memory import set_max_memory
from netsurgery.io.scratch import remove_scratch, scratch_folder
from netsurgery.io.targets import FileSet
from netsurgery.io.terminal import say
from netsurgery.io.wording import argument, counted, naming_options
from netsurgery.maps.picture_limits import set_max_pixels
from netsurgery.verbs.jobs.band_worker import BandWorker
from netsurgery.verbs.jobs.folder import Chunk, JobFolder, Tally, file_name
from netsurgery.verbs.jobs.held import held
from netsurgery.verbs.jobs.net_files import with_files, without_copies
from netsurgery.verbs.jobs.notes import NoteKeeper, own_notes
from netsurgery.verbs.jobs.plan import JobPlan
from netsurgery.verbs.jobs.store import JobLease, UrlStore
from netsurgery.verbs.jobs.tries import Tries, given_up
from netsurgery.verbs.jobs.url_pictures import picture_at, without_copy

if TYPE_CHECKING:
    from netsurgery.maps.any_picture import AnyPicture
    from netsurgery.maps.bands import BandPlan
    from netsurgery.maps.classmap import ClassMap
    from netsurgery.maps.mapper import Mapper
    from netsurgery.verbs.jobs.bands import BandFolder

__all__ = ["JobAssignment", "JobWorker", "main", "net_folder"]

#: Seconds between two looks for pictures whose worker, somewhere else, may have died.
_PATIENCE = 1.0


@dataclass(frozen=True)
class JobAssignment:
    """What a worker is to do: the job's folder, how to run the net, and the run it belongs to.

    run: a name; tries of an earlier run, which somebody stopped, do not count. memory: its budget
    in bytes, None for its machine's. as_command: whether messages name options. on: the engine that
    it hands the work to, "" to do it itself. workers: how many are to do it there, or have this
    machine's memory divided by them; None where nobody has said. scratch: a folder for temporary
    files, which its maker removes; "" where the worker is to have its own.
    """

    folder: str
    engine: EngineOptions
    run: str
    memory: int | None
    as_command: bool
    on: str = ""
    workers: int | None = None
    scratch: str = ""

    def reason(self, error: NetsurgeryError) -> str:
        """What to say of an error: of too little memory that it is a part of all."""
        workers = 1 if self.memory is None or self.workers is None else self.workers
        if workers == 1 or not isinstance(error, MemoryLimitError):
            return str(error)
        fewer = f"fewer ({argument('--workers')}) have more each"
        return f"{error}; {counted(workers, 'worker')} share the memory, {fewer}"

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
        self.folder = JobFolder.open(assignment.folder)
        plan, store = self.folder.plan, self.folder.store
        self._assignment = assignment
        with ExitStack() as stack:
            #: Where outputs are made that then go to a URL.
            self._scratch: Path | None = None
            if isinstance(store, UrlStore):
                scratch = assignment.scratch or str(stack.enter_context(scratch_folder()))
                self._scratch = _own_folder(scratch)
            _enter(plan, self._scratch is not None and plan.is_all_at_urls)
            set_max_memory(assignment.memory)
            set_max_pixels(plan.max_pixels)
            if isinstance(store, UrlStore):
                plan = with_files(plan, store, net_folder(scratch))
                self.folder = JobFolder(store, plan)
            else:
                plan.check_files()
            self._mapper: Mapper = stack.enter_context(plan.open_mapper(assignment.engine))
            self._open = stack.pop_all()
        self._tries = Tries(assignment.run, store.name)
        self._notes = NoteKeeper(store)
        self._bands = BandWorker(self._mapper, self._tries, self._fail, self._scratch)

    def close(self) -> None:
        """Release the net, and remove what was made elsewhere."""
        self._open.close()

    def do_all(self) -> None:
        """Take chunks until all pictures are over, those of others too.

        Raises what would fail every picture.
        """
        folder = self.folder
        is_shared = folder.store.folder is not None
        # At a URL a look at all of them takes fewer requests than one at each.
        chunks = folder.chunks if is_shared else Tally(folder).count().open
        start = random.randrange(len(chunks) or 1)  # the workers do not all ask for the same
        chunks = chunks[start:] + chunks[:start]
        pause = _PATIENCE
        while chunks:
            chunks = [chunk for chunk in chunks if not self._is_over(chunk)]
            if chunks:  # others are at them
                time.sleep(pause)
                pause = max(_PATIENCE, min(2 * pause, folder.store.pause))

    def _is_over(self, chunk: Chunk) -> bool:
        """Whether nothing is left of a chunk, if need be once it is done."""
        names = chunk.names()
        return not chunk.left(names) or self.do(chunk, names)

    def do(self, chunk: Chunk, names: list[str] | None = None) -> bool:
        """Do what is left of a chunk; where another worker has it, bands of its pictures, False.

        names: of what there is of the chunk, if known.
        """
        before = chunk.last_note(names)
        with held(lambda: chunk.take(before)) as lease:
            if lease is not None:
                names = chunk.names()
                begun = chunk.in_bands(names)
                for index in chunk.left(names):
                    tries = self._tries.before(before, index)
                    self._do_picture(chunk, index, lease, tries, begun=index in begun)
                return True
        for index, bands in chunk.in_bands(chunk.names() if names is None else names).items():
            self._bands.do(chunk, index, bands)
        return False

    def _do_picture(
        self, chunk: Chunk, index: int, lease: JobLease, tries: int, *, begun: bool
    ) -> None:
        """Do one picture, by its bands if it is large.

        tries: how often that was begun in vain; begun: whether bands of it were.
        """
        name, bands = self.folder.plan.pictures[index], None
        if error := given_up(tries):
            self._fail(chunk, index, error)
        else:
            self._tries.write(lease, index, tries + 1)
            try:
                with picture_at(name, self._scratch) as picture:
                    picture, bands = self._bands.opened(chunk, index, picture, begun=begun)
                    if bands is None:
                        self._do(chunk, index, picture)
                    else:
                        self._do_of_bands(chunk, index, lease, tries, picture, bands)
            except ImageError as error_of_url:
                self._fail(chunk, index, error_of_url)
        if begun or bands is not None:
            chunk.bands(index).remove()

    def _do_of_bands(
        self,
        chunk: Chunk,
        index: int,
        lease: JobLease,
        tries: int,
        picture: AnyPicture,
        bands: BandFolder,
    ) -> None:
        self._tries.write(lease, index, tries)  # each band counts its own
        is_fit = self._bands.do_all(chunk, index, bands, picture)
        self._tries.write(lease, index, tries + 1)
        if index not in chunk.left():
            return
        with ExitStack() as stack:
            if not is_fit:
                self._do(chunk, index, picture)
                return
            try:
                files = stack.enter_context(bands.fetched(self._scratch))
            except JobError:
                if index in chunk.left():  # else others took this worker for dead
                    raise
                return
            self._do(chunk, index, picture, bands.plan, files)

    def _do(
        self,
        chunk: Chunk,
        index: int,
        picture: AnyPicture,
        bands: BandPlan | None = None,
        band_files: Sequence[str] = (),
    ) -> None:
        """Write the outputs of one picture, or its error; bands: all that its map is made of."""
        from netsurgery.verbs.classify_map_result import MapJob
        from netsurgery.verbs.outputs.files import MapFiles

        plan = self.folder.plan
        name = plan.pictures[index]
        with chunk.making(index, self._scratch) as place:
            paths = {
                kind: [str(place / file_name(index, plan.suffix(kind)))] for kind in plan.kinds
            }
            files = MapFiles(paths, FileSet(), force=True, in_parts=True)
            if bands is not None:
                from netsurgery.maps.bands import BandStore

                blob = self._mapper.source.blob
                files.make_store = partial(BandStore, blob=blob, plan=bands, files=band_files)
            job = MapJob(self._mapper, [(picture, name)], files, plan.view, ExitStack())
            job.render = partial(self._note, index)  # before there is a record
            (result,) = job
            if isinstance(result.error, JobError | OutputError):
                raise result.error  # a full disk is not the picture's fault
        if result.error is not None:
            self._notes.drop(index)
            self._fail(chunk, index, result.error)

    def _note(self, index: int, class_map: ClassMap) -> str:
        self._notes.keep(index, own_notes(class_map))
        return ""

    def _fail(self, chunk: Chunk, index: int, reason: NetsurgeryError | str) -> None:
        """Have a picture fail, with an error that names files as the plan does."""
        error = reason if isinstance(reason, str) else self._assignment.reason(reason)
        if self._scratch is not None:
            error = without_copy(error, self.folder.plan.pictures[index], self._scratch)
            error = without_copies(error, self.folder.plan, net_folder(str(self._scratch.parent)))
        chunk.fail(index, error)


def net_folder(scratch: str) -> Path:
    """The folder in a folder for temporary files that has files of the net."""
    return Path(scratch, "net")


def _enter(plan: JobPlan, is_at_urls: bool) -> None:
    """Have names count from where they counted. Raises JobError unless all is at URLs."""
    try:
        os.chdir(plan.folder)
    except OSError as error:
        if is_at_urls:
            return
        raise JobError(
            f"{plan.folder}: {error.strerror}; the folder that the job was planned in has to "
            "be there on every machine"
        ) from error


def _own_folder(scratch: str) -> Path:
    """A folder of this worker in a folder of its driver, who removes it whoever is killed."""
    folder = Path(scratch, f"worker-{os.getpid()}")
    folder.mkdir(exist_ok=True)
    return folder


def main() -> None:
    """Carry out the assignment on standard input, and exit: 0 done, 1 for an error, on one line."""
    assignment = JobAssignment.of_json(json.loads(sys.stdin.readline()))
    _thread.start_new_thread(_end_with_driver, (assignment.scratch,))
    with naming_options() if assignment.as_command else nullcontext():
        try:
            if assignment.on:
                from netsurgery.verbs.jobs.on_ray import do_all

                do_all(assignment)
            else:
                with JobWorker(assignment) as worker:
                    worker.do_all()
        except NetsurgeryError as error:
            say(f"{assignment.reason(error)}\n")
            end(1)
    end(0)


def _end_with_driver(scratch: str) -> None:
    """Wait until the driver closes standard input, or is gone, and end then."""
    while os.read(0, 1):
        continue
    if scratch:  # whose maker may have been killed
        Undo(lambda: remove_scratch(Path(scratch)))
    end(130)
