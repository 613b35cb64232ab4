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
from collections.abc import Callable, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netsurgery.engines.contract import EngineOptions
from netsurgery.errors import (
    ImageError,
    JobError,
    NetsurgeryError,
    OutputError,
)
from netsurgery.io.cleanup import Undo, end
from netsurgery.io.closeable import Closeable
from netsurgery.io.files import Outputs
from netsurgery.io.memory import set_max_memory
from netsurgery.io.owned_scratch import owned_scratch
from netsurgery.io.scratch import remove_scratch
from netsurgery.io.targets import FileSet
from netsurgery.io.terminal import say
from netsurgery.io.unreadable import as_url
from netsurgery.io.wording import counted, naming_options
from netsurgery.verbs.jobs.bands import picture_state
from netsurgery.verbs.jobs.folder import Chunk, JobFolder, Tally, file_name
from netsurgery.verbs.jobs.held import held
from netsurgery.verbs.jobs.net_files import with_files
from netsurgery.verbs.jobs.plan import JobPlan
from netsurgery.verbs.jobs.store import JobLease, UrlStore
from netsurgery.verbs.jobs.url_pictures import opened_url, without_copy

if TYPE_CHECKING:
    from netsurgery.maps.any_picture import AnyPicture
    from netsurgery.maps.bands import BandRunner
    from netsurgery.maps.mapper import Mapper
    from netsurgery.verbs.jobs.bands import BandFolder

__all__ = ["JobAssignment", "JobWorker", "main", "net_folder"]

#: How often a picture, or a band of it, is tried at whose worker died.
_TRIES = 3
#: Seconds between two looks for pictures whose worker, somewhere else, may have died; and for bands
#: that others are at.
_PATIENCE, _SHORT = 1.0, 0.1


@dataclass(frozen=True)
class JobAssignment:
    """What a worker is to do: the job's folder, how to run the net, and the run it belongs to.

    run: a name; tries of an earlier run, which somebody stopped, do not count. memory: its budget
    in bytes, None for its machine's. as_command: whether messages name options. on: the engine that
    it hands the work to, "" to do it itself; workers: how many are to do it there. scratch: a
    folder for temporary files, which its maker removes; "" where the worker is to have its own.
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
        self.folder = JobFolder.open(assignment.folder)
        self._run = assignment.run
        plan, store = self.folder.plan, self.folder.store
        with ExitStack() as stack:
            #: Where outputs are made that then go to a URL.
            self._scratch: Path | None = None
            if isinstance(store, UrlStore):
                scratch = assignment.scratch or str(stack.enter_context(owned_scratch()))
                self._scratch = _own_folder(scratch)
            _enter(plan, self._scratch is not None and plan.is_all_at_urls)
            set_max_memory(assignment.memory)
            if isinstance(store, UrlStore):
                plan = with_files(plan, store, net_folder(scratch))
                self.folder = JobFolder(store, plan)
            else:
                plan.check_files()
            self._mapper: Mapper = stack.enter_context(plan.open_mapper(assignment.engine))
            self._open = stack.pop_all()
        #: Pictures whose bands would have other bits with this worker's threads, or memory.
        self._unfit: set[int] = set()

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
                for index in chunk.left():
                    self._do_picture(chunk, index, lease, self._tries(before, index))
                return True
        for index, bands in chunk.in_bands().items():
            if bands.are_of(picture_state(self.folder.plan.pictures[index])):
                self._do_bands(chunk, index, bands)
        return False

    def _do_picture(self, chunk: Chunk, index: int, lease: JobLease, tries: int) -> None:
        """Do one picture, by its bands if it is large; tries: how often that was begun in vain."""
        note, bands = {"run": self._run, "picture": index}, None
        if self.folder.store.folder is None:
            self._do_at_url(chunk, index, lease, tries)
            return
        if tries >= _TRIES:
            self._fail(chunk, index, _died(tries))
        else:
            lease.write({**note, "tries": tries + 1})
            picture, bands = self._opened(chunk, index)
        if bands is not None:
            lease.write({**note, "tries": tries})  # each band counts its own
            while bands.left() and index in chunk.left() and index not in self._unfit:
                if not self._do_bands(chunk, index, bands, picture):  # others are at the last ones
                    time.sleep(_SHORT)
            lease.write({**note, "tries": tries + 1})
        if index in chunk.left():
            self._do(chunk, index, picture, None if index in self._unfit else bands)
        chunk.bands(index).remove()

    def _do_at_url(self, chunk: Chunk, index: int, lease: JobLease, tries: int) -> None:
        """`_do_picture` of a job at a URL: no worker but this one has to do with the picture."""
        if tries >= _TRIES:
            self._fail(chunk, index, _died(tries))
            return
        try:
            lease.write({"run": self._run, "picture": index, "tries": tries + 1})
        except OSError as error:
            raise JobError(f"{self.folder.store.name}: {error.strerror}") from error
        name = self.folder.plan.pictures[index]
        if not as_url(name):
            self._do(chunk, index, name)
            return
        assert self._scratch is not None
        try:
            with opened_url(name, self._scratch) as picture:
                self._do(chunk, index, picture)
        except ImageError as error:
            self._fail(chunk, index, str(error))

    def _tries(self, note: Mapping[str, Any], index: int) -> int:
        """How often in this run a worker has begun a picture and died."""
        same = note.get("run") == self._run and note.get("picture") == index
        return int(note["tries"]) if same else 0

    def _opened(self, chunk: Chunk, index: int) -> tuple[AnyPicture, BandFolder | None]:
        """A picture, and its bands if it is to be done in bands; one that fails only by its name,
        as doing it says why."""
        from netsurgery.maps.bands import plan_bands
        from netsurgery.maps.image import out_of_memory_named
        from netsurgery.maps.large_file import open_picture

        name, bands = self.folder.plan.pictures[index], chunk.bands(index)
        state = picture_state(name)
        try:
            if bands.plan and not bands.are_of(state):  # the file has changed since
                bands.remove()
                bands = chunk.bands(index)
            with out_of_memory_named(name):
                picture = open_picture(name)
                plan = None if bands.plan else plan_bands(self._mapper, picture)
        except NetsurgeryError:
            return name, None
        if plan is not None:
            bands = bands.begin(plan, state)
        return picture, bands if bands.plan else None

    def _do_bands(
        self, chunk: Chunk, index: int, bands: BandFolder, picture: AnyPicture | None = None
    ) -> bool:
        """Do the bands of a picture that nobody is at; whether there were any.

        picture: None to open it if need be.
        """
        from netsurgery.maps.bands import BandRunner
        from netsurgery.maps.large_file import open_picture

        @cache
        def runner() -> BandRunner:
            assert bands.plan is not None
            opened = open_picture(picture or self.folder.plan.pictures[index])
            return BandRunner(self._mapper, opened, bands.plan)

        done = False
        for number in bands.left():
            if index not in self._unfit:
                done |= self._do_band(chunk, index, bands, number, runner)
        return done

    def _do_band(
        self,
        chunk: Chunk,
        index: int,
        bands: BandFolder,
        number: int,
        runner: Callable[[], BandRunner],
    ) -> bool:
        """Do one band of a picture, or have the picture fail; False where nobody needs it, or it is
        not for this worker to do."""
        from netsurgery.maps.image import out_of_memory_named

        before = bands.last_note(number)
        with held(partial(bands.take, number, before)) as lease:
            # It may be done since they were listed, and so may the picture.
            if lease is None or number not in bands.left() or index not in chunk.left():
                return False
            tries = self._tries(before, index)
            if tries >= _TRIES:
                self._fail(chunk, index, _died(tries))
                return True
            lease.write({"run": self._run, "picture": index, "tries": tries + 1})
            try:
                with out_of_memory_named(self.folder.plan.pictures[index]):
                    if not runner().keeps_bits:
                        self._unfit.add(index)
                        return False
                    self._write_band(bands, number, runner())
            except OutputError:  # a full disk is not the picture's fault
                if bands.left():  # else others took this worker for dead, and all is over
                    raise
            except NetsurgeryError as error:
                self._fail(chunk, index, str(error))
            return True

    def _write_band(self, bands: BandFolder, number: int, runner: BandRunner) -> None:
        from netsurgery.io.npy import write_npy

        assert bands.plan is not None
        values, path = runner.run(bands.plan.bands[number]), bands.file(number)
        with Outputs([path], force=True) as outputs:
            write_npy(outputs[path], values)

    def _do(
        self, chunk: Chunk, index: int, picture: AnyPicture, bands: BandFolder | None = None
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

                assert bands.plan is not None
                files.make_store = partial(
                    BandStore, blob=self._mapper.source.blob, plan=bands.plan, files=bands.files
                )
            (result,) = MapJob(self._mapper, [(picture, name)], files, plan.view, ExitStack())
            if isinstance(result.error, OutputError):  # a full disk is not the picture's fault
                raise result.error
        if result.error is not None:
            self._fail(chunk, index, without_copy(str(result.error), picture))

    def _fail(self, chunk: Chunk, index: int, error: str) -> None:
        chunk.write_error(index, {"image": self.folder.plan.pictures[index], "error": error})


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


def _died(tries: int) -> str:
    return f"the worker died at it {counted(tries, 'time')}"


def main() -> None:
    """Carry out the assignment on standard input, and exit: 0 done, 1 for an error, on one line."""
    assignment = JobAssignment.of_json(json.loads(sys.stdin.readline()))
    _thread.start_new_thread(_end_with_driver, (assignment.scratch,))
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


def _end_with_driver(scratch: str) -> None:
    """Wait until the driver closes standard input, or is gone, and end then."""
    while os.read(0, 1):
        continue
    if scratch:  # whose maker may have been killed
        Undo(lambda: remove_scratch(Path(scratch)))
    end(130)
