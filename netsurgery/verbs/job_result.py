"""A job in its folder: how far it is, going on with it, and putting its outputs in place."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from netsurgery.engines.contract import AnyEngine, as_engine_options
from netsurgery.errors import JobError
from netsurgery.io.argument_types import checks_arguments
from netsurgery.io.cores import cores
from netsurgery.io.memory import allowed
from netsurgery.io.scratch import scratch_folder
from netsurgery.io.short_repr import ShortRepr
from netsurgery.io.wording import argument, counted, names_options
from netsurgery.open_net.arguments import AnyPath
from netsurgery.verbs.jobs.crew import run_crew
from netsurgery.verbs.jobs.folder import JobFolder, Tally, check_places
from netsurgery.verbs.jobs.merge import Merge, records_of
from netsurgery.verbs.jobs.merging import Merging
from netsurgery.verbs.jobs.net_files import with_files
from netsurgery.verbs.jobs.notes import first_notes
from netsurgery.verbs.jobs.plan import places_of
from netsurgery.verbs.jobs.store import UrlStore
from netsurgery.verbs.jobs.worker import JobAssignment, net_folder
from netsurgery.verbs.outputs.files import MapFiles

__all__ = ["Job", "JobMerge", "JobStatus"]


@dataclass(frozen=True, repr=False)
class JobStatus(ShortRepr):
    """How far a job is.

    pictures: how many there are; done, failed, left: of them. errors: of those that failed, "image"
    and "error". workers: who is at it now, "machine" and "pid". bands: of the large pictures in
    work, the "image", how many "bands" it is done in, and how many of them are "done".

    >>> import netsurgery as ns
    >>> settings = ns.Settings("prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel")
    >>> job = ns.plan_job(["none.png"], settings, "none.job", blob="conv1", engine="embedded")
    >>> status = job.resume(workers=1)
    >>> status.failed, status.errors
    (1, ({'image': 'none.png', 'error': 'none.png: No such file or directory'},))
    """

    folder: str
    pictures: int
    done: int
    failed: int
    left: int
    errors: tuple[dict[str, Any], ...] = ()
    workers: tuple[dict[str, Any], ...] = ()
    bands: tuple[dict[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """What `job status --json` prints."""
        return {
            "folder": self.folder,
            "pictures": self.pictures,
            "done": self.done,
            "failed": self.failed,
            "left": self.left,
            "errors": list(self.errors),
            "workers": list(self.workers),
            "bands": list(self.bands),
        }

    def __str__(self) -> str:
        parts = [f"{self.done} of {counted(self.pictures, 'picture')} done"]
        parts += [f"{self.failed} failed"] if self.failed else []
        parts += [f"{self.left} left"] if self.left else []
        if self.bands:
            done, bands = (sum(each[key] for each in self.bands) for key in ("done", "bands"))
            pictures = counted(len(self.bands), "picture")
            parts += [f"of {pictures} {done} of {counted(bands, 'band')} done"]
        parts += [f"{len(self.workers)} at work"] if self.workers else []
        return f"{self.folder}: {', '.join(parts)}"


@dataclass(frozen=True, repr=False)
class JobMerge(ShortRepr):
    """What `Job.merge` has put in place: the files written, and how many pictures failed.

    >>> import netsurgery as ns
    >>> settings = ns.Settings("prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel")
    >>> job = ns.plan_job("examples/digits_canvas.png", settings, "three.job", blob="conv1",
    ...                   outputs={"npy": "three.npy"}, engine="embedded")
    >>> _ = job.resume(workers=1)
    >>> job.merge()
    <JobMerge: three.job: 1 picture, 1 file written>
    """

    folder: str
    pictures: int
    failed: int
    written: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """What `job merge --json` prints."""
        return {
            "folder": self.folder,
            "pictures": self.pictures,
            "failed": self.failed,
            "written": list(self.written),
        }

    def __str__(self) -> str:
        failed = f", {self.failed} failed" if self.failed else ""
        written = f"{counted(len(self.written), 'file')} written"
        return f"{self.folder}: {counted(self.pictures, 'picture')}{failed}, {written}"


class Job(ShortRepr):
    """A job in its folder; `plan_job` makes one, `open_job` finds one.

    notes: what to know of the net and the options, as planning has found; none of a job that was
    opened. engine: what runs the net, in a line.

    >>> import netsurgery as ns
    >>> settings = ns.Settings("prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel")
    >>> job = ns.plan_job("examples/digits_canvas.png", settings, "two.job", blob="conv1",
    ...                   outputs={"html": "page.html"}, engine="embedded")
    >>> print(job.resume(workers=1))
    two.job: 1 of 1 picture done
    >>> print(job.merge())
    two.job: 1 picture, 1 file written
    >>> [record[:39] for record in job.records()]
    ['{"image": "examples/digits_canvas.png",']
    """

    def __init__(
        self, folder: JobFolder, notes: Sequence[str] = (), *, is_planned: bool = False
    ) -> None:
        """is_planned: whether it was planned just now, which has found its places free, or taken by
        outputs that may be replaced."""
        self._folder, self._plan, self._is_planned = folder, folder.plan, is_planned
        self.folder, self.engine = folder.store.name, folder.plan.engine
        self.notes = list(notes)

    @property
    def has_outputs(self) -> bool:
        """Whether the plan has places for outputs, besides the records."""
        return bool(self._plan.outputs)

    def status(self) -> JobStatus:
        """How far the job is, by what is in its folder. Raises JobError.

        >>> import netsurgery as ns
        >>> settings = ns.Settings(
        ...     "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel")
        >>> job = ns.plan_job("a.png", settings, "four.job", blob="conv1", engine="embedded")
        >>> job.status().to_json()["left"]
        1
        """
        return self._status(Tally(self._folder).count())

    def picture_notes(self) -> dict[str, str]:
        """What to know of the pictures that are done: kind -> a line, as of the first that has it.

        The kinds are those of `ClassMap.notes`, but what depends on no picture is in `notes`; and
        "windows", of cells that have none in the records. Raises JobError.

        >>> import netsurgery as ns
        >>> settings = ns.Settings(
        ...     "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel")
        >>> job = ns.plan_job("examples/digits_canvas.png", settings, "five.job", blob="conv1",
        ...                   size=(32, 64), engine="embedded")
        >>> _ = job.resume(workers=1)
        >>> job.picture_notes()["shape"][:55]
        'a picture of 192x288 is made 32x64, 1.33 times too flat'
        """
        return first_notes(self._folder.store)

    def _status(self, tally: Tally) -> JobStatus:
        return JobStatus(
            self.folder,
            len(self._plan.pictures),
            tally.done,
            tally.failed,
            tally.left,
            tuple(record for _, record in self._folder.errors()) if tally.failed else (),
            tuple(
                {"machine": str(each["place"]).split(" ")[0], "pid": each["pid"]}
                for each in tally.working()
            ),
            tuple(
                {"image": self._plan.pictures[index], "bands": count, "done": done}
                for index, (count, done) in tally.bands.items()
            ),
        )

    @checks_arguments()
    def resume(
        self,
        *,
        workers: int | None = None,
        on: str | None = None,
        engine: AnyEngine = "auto",
        retry: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> JobStatus:
        """Map what is left, with workers on this machine; others may do the same at the same time.

        workers: processes, None for one a core, or one a picture where those are fewer. on: "ray"
        or "ray://HOST:PORT" has the workers of a Ray cluster do it. engine: how to run the net; the
        plan says which engine it is, and without `threads` the cores are shared evenly. retry: try
        pictures again that failed. progress: called now and then with the pictures that are over,
        and all.

        A worker that dies costs one picture at most, or one band of a large one, which is tried
        again; one at which three died fails. Raises JobError where the job cannot go on, and what
        `classify_maps` raises.
        """
        if on is not None and on != "ray" and not on.startswith("ray://"):
            raise JobError(f"{argument(f'--on {on}')}: expected ray or ray://HOST:PORT")
        if workers is not None and workers < 1:
            raise JobError(f"{argument(f'--workers {workers}')}: expected a number from 1 up")
        if retry:
            self._forget_errors()
        tally = Tally(self._folder).count()
        count, before = len(self._plan.pictures), -1

        def look() -> int:
            nonlocal before
            over = count - tally.count().left
            if progress is not None and over != before:
                progress(over, count)
            before = over
            return over + sum(done for _, done in tally.bands.values())

        if tally.left:
            with ExitStack() as stack:
                assignments = self._assignments(workers, on, engine, tally.left, stack)
                run_crew(assignments, look, self._folder.store.pause)
        if not tally.count().left:
            tally.remove_bands()
        return self._status(tally)

    def _assignments(
        self, workers: int | None, on: str | None, engine: AnyEngine, left: int, stack: ExitStack
    ) -> list[JobAssignment]:
        """What each process of the crew is to do."""
        options = as_engine_options(engine)
        run = os.urandom(8).hex()
        folder, scratch = self._folder.store.address, ""
        command = names_options()
        store = self._folder.store
        if on is not None or isinstance(store, UrlStore):
            scratch = str(stack.enter_context(scratch_folder()))
        if on is None and isinstance(store, UrlStore):  # once, for all workers
            with_files(self._plan, store, net_folder(scratch))
        if on is not None:
            return [JobAssignment(folder, options, run, None, command, on, workers, scratch)]
        # More than there are pictures share large ones, where somebody asks for them.
        workers = workers or min(cores(), left)
        if options.threads is None:
            options = replace(options, threads=max(1, cores() // workers))
        memory = max(1, allowed() // workers)
        assignment = JobAssignment(
            folder, options, run, memory, command, workers=workers, scratch=scratch
        )
        return [assignment] * workers

    def _forget_errors(self) -> None:
        for index, _ in list(self._folder.errors()):
            self._folder.chunk_of(index).forget_error(index)

    def records(self) -> Iterator[str]:
        """The records of all pictures, in order, as `classify-map --json` prints them, a line each.

        Raises JobError while pictures are left.
        """
        self._check_over()
        yield from records_of(self._folder)

    @checks_arguments()
    def merge(
        self,
        outputs: Mapping[str, AnyPath] | None = None,
        *,
        records: AnyPath | None = None,
        force: bool = False,
    ) -> JobMerge:
        """Put the outputs where the plan has them, as `ClassMaps.to_files` would have.

        outputs: kind -> place, for these alone. records: a file for all records, too; where either
        is given, the plan's places are left alone. force: replace files that exist; what a merge
        has left that was broken off is no obstacle to the next. Raises JobError while pictures are
        left, and for a kind that the job does not have; OutputError.
        """
        tally = self._check_over()
        places = self._places(places_of(outputs), records)
        listed = [] if records is None else [os.fspath(records)]
        every = [*places.values(), *listed]
        check_places(self._folder.store, every)
        merging = Merging(self._folder.store, every)
        # What another driver of the job has put there since is what this one would.
        again = merging.again or (self._is_planned and not outputs and records is None)
        images = list(self._plan.pictures)
        files = MapFiles.plan(
            images, places, inputs=self._plan.read_files, force=force, repeatable=again,
            besides=listed,
        )  # fmt: skip
        merge = Merge(self._folder, files, listed)
        with merging:
            merge.run(with_tables=tally.done > 0)
        return JobMerge(self.folder, len(images), tally.failed, tuple(merge.written))

    def _places(self, asked: dict[str, str], records: AnyPath | None) -> dict[str, str]:
        """Where the outputs go: those that are asked for, else all where the plan has them."""
        for kind in asked:
            if kind not in self._plan.outputs:
                raise JobError(
                    f"{self.folder}: has no {kind} output; it was planned with "
                    f"{', '.join(self._plan.outputs) or 'none'}"
                )
        if asked or records:
            return asked
        if not self._plan.outputs and records is None:
            raise JobError(
                f"{self.folder}: was planned without outputs; {argument('--records FILE')} takes "
                "the records of its pictures"
            )
        folder = self._plan.folder
        return {kind: _from_here(folder, place) for kind, place in self._plan.outputs.items()}

    def _check_over(self) -> Tally:
        tally = Tally(self._folder).count()
        if tally.left:
            pictures = counted(len(self._plan.pictures), "picture")
            are = "is" if tally.left == 1 else "are"
            raise JobError(
                f"{self.folder}: of {pictures} {tally.left} {are} left; `netsurgery job resume "
                f"{self.folder}` goes on"
            )
        return tally

    def __str__(self) -> str:
        return str(self.status())


def _from_here(folder: str, place: str) -> str:
    """A place of the plan's, whose folder may not be the current one; a / at its end stays."""
    path = os.path.join(folder, place)
    return place if os.path.abspath(place) == os.path.abspath(path) else path
