"""A job's folder, or URL: which file is what, what is done, and who is at it.

    DIR/plan.json
    DIR/parts/00012/0000312.json    the record of a picture, its last output: it is done
                    0000312.npy     another of its outputs
                    0000312.error   the record of one that failed, with its error
                    lease           of the worker that is at these pictures
                    0000312.bands/  a large picture in work (`jobs.bands`)
    DIR/notes/                      what is to be said of pictures (`jobs.notes`)
    DIR/merging.json                where outputs are being put in place (`jobs.merging`)

Pictures are handed out in chunks, each with a folder that its worker alone writes to. What is there
is the truth: nothing else says what is done.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from netsurgery.errors import JobError, OutputError
from netsurgery.io.lease import names_holder
from netsurgery.io.unreadable import local_path
from netsurgery.io.wording import argument
from netsurgery.verbs.jobs.bands import BANDS, BandFolder
from netsurgery.verbs.jobs.merging import MERGING
from netsurgery.verbs.jobs.notes import NOTES
from netsurgery.verbs.jobs.plan import PLAN, RECORD, JobPlan, read_plan
from netsurgery.verbs.jobs.store import NET, OVER, JobLease, JobStore, open_store

__all__ = ["ERROR", "Chunk", "DoneParts", "JobFolder", "Tally", "check_places", "file_name"]

#: The ending of the record of a picture that failed.
ERROR = ".error"

_PARTS, _LEASE = "parts", "lease"
#: Names that a store lists at once, or fewer.
_LISTED = 1000
#: Pictures whose outputs are fetched at once.
_FETCHED = 32


@dataclass(frozen=True)
class Chunk:
    """Pictures of a plan that one worker takes: `first` and those up to `end`."""

    plan: JobPlan
    store: JobStore
    name: str
    first: int
    end: int

    @property
    def path(self) -> Path:
        """Its folder, of a job in a folder."""
        assert self.store.folder is not None
        return self.store.folder / self.folder

    @property
    def folder(self) -> str:
        """The name of its folder."""
        return f"{_PARTS}/{self.name}"

    def file(self, index: int, suffix: str) -> str:
        """The path of a file of picture `index`, of a job in a folder."""
        return str(self.path / file_name(index, suffix))

    def names(self) -> list[str]:
        """The names of what there is of it."""
        return self.store.names(self.folder)

    def states(self, names: Iterable[str] | None = None) -> dict[int, str]:
        """The pictures that are over -> "done" or "failed"; names: of what there is, if known."""
        record = self.plan.suffix(RECORD)
        states: dict[int, str] = {}
        for name in self.names() if names is None else names:
            stem, dot, ending = name.partition(".")
            suffix = dot + ending
            index = int(stem) if stem.isdecimal() else -1
            if not self.first <= index < self.end:  # nothing of a job's
                continue
            if suffix == record:
                states[index] = "done"
            elif suffix == ERROR:  # unless another worker has done it all the same
                states.setdefault(index, "failed")
        return states

    def left(self, names: Iterable[str] | None = None) -> list[int]:
        """The pictures that are not over, in order; names: of what there is, if known."""
        states = self.states(names)
        return [index for index in range(self.first, self.end) if index not in states]

    def bands(self, index: int) -> BandFolder:
        """The bands of a picture, where there are any."""
        return BandFolder(self.store, f"{self.folder}/{file_name(index, BANDS)}")

    def in_bands(self, names: Iterable[str]) -> dict[int, BandFolder]:
        """The pictures that are left and in work in bands; names: of what there is."""
        numbers = _having(names, BANDS)
        left = self.left(names) if numbers else []
        return {index: self.bands(index) for index in left if index in numbers}

    def remove_bands(self) -> None:
        """Remove all bands, of workers that died before they did; the pictures are over."""
        for index in _having(self.names(), BANDS, OVER):
            self.bands(index).remove()

    def making(self, index: int, scratch: Path | None) -> AbstractContextManager[Path]:
        """Where to make the outputs of a picture, which are in place once it is left."""
        names = [file_name(index, self.plan.suffix(kind)) for kind in self.plan.kinds]
        return self.store.making(self.folder, names, scratch)

    def fail(self, index: int, error: str) -> None:
        """Have a picture be one that failed."""
        record = {"image": self.plan.pictures[index], "error": error}
        content = f"{json.dumps(record)}\n".encode()
        self.store.write(f"{self.folder}/{file_name(index, ERROR)}", content)

    def forget_error(self, index: int) -> None:
        """Have a picture be left that failed; another driver may have done so."""
        self.store.remove(f"{self.folder}/{file_name(index, ERROR)}")

    def errors(self, names: Iterable[str] | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
        """The records of the pictures that failed; names: of what there is, if known."""
        for index, state in sorted(self.states(names).items()):
            if state == "failed":
                content = self.store.read(f"{self.folder}/{file_name(index, ERROR)}")
                with part_errors(f"{self.store.name}/{self.folder}", index):
                    record = json.loads(content)
                    texts = record["image"], record["error"]
                    if not all(isinstance(text, str) for text in texts):
                        raise TypeError("no error of a picture")
                yield index, record

    def take(self, note: dict[str, Any]) -> JobLease | None:
        """The lease of the chunk, or None where somebody has it. Raises JobError."""
        return self.store.take(self._lease, note)

    def held_by(self) -> dict[str, Any] | None:
        """What the lease of whoever is at the chunk says; None where nobody is, or just begins."""
        note = self.last_note()
        return note if note and self.store.is_held(self._lease) else None

    def last_note(self, names: Iterable[str] | None = None) -> dict[str, Any]:
        """What the last lease says that was not given back; names: of what there is, if known."""
        return self.store.note(self._lease) if names is None or _LEASE in names else {}

    @property
    def _lease(self) -> str:
        return f"{self.folder}/{_LEASE}"


@dataclass(frozen=True)
class JobFolder:
    """A job where it is, and its plan."""

    store: JobStore
    plan: JobPlan

    @classmethod
    def open(cls, place: str | os.PathLike[str]) -> JobFolder:
        """The job in a folder, or at a URL. Raises JobError where there is none."""
        job = cls.find(store := open_store(place))
        if job is None:
            raise JobError(
                f"{store.name}: holds no job (no {PLAN}); {argument('--job DIR')} of classify-map "
                "plans one"
            )
        return job

    @classmethod
    def find(cls, store: JobStore) -> JobFolder | None:
        """The job in a store; None where there is no plan. Raises JobError."""
        plan = read_plan(store)
        return None if plan is None else cls(store, plan)

    @cached_property
    def chunks(self) -> list[Chunk]:
        """All pictures, in chunks, in order."""
        count, size = len(self.plan.pictures), self.plan.chunk
        return [
            Chunk(self.plan, self.store, f"{first // size:05d}", first, min(first + size, count))
            for first in range(0, count, size)
        ]

    def chunk_of(self, index: int) -> Chunk:
        """The chunk that a picture is in."""
        return self.chunks[index // self.plan.chunk]

    def parts(self) -> Iterator[tuple[Chunk, list[str]]]:
        """The chunks and the names of what there is of each."""
        if self.store.folder is not None:
            yield from ((chunk, chunk.names()) for chunk in self.chunks)
            return
        tree = self.store.tree(_PARTS)  # a listing has names of many chunks
        yield from ((chunk, tree.get(chunk.name, [])) for chunk in self.chunks)

    def fetched(self, kinds: Iterable[str]) -> Iterator[DoneParts]:
        """The outputs of these kinds of all pictures, some pictures at a time, once all are over.

        Those of pictures that failed are their errors, and what else there is.
        """
        suffixes = {kind: self.plan.suffix(kind) for kind in kinds}
        for chunk, listed in self.parts():
            names = set(listed)
            for first in range(chunk.first, chunk.end, _FETCHED):
                indices = range(first, min(first + _FETCHED, chunk.end))
                possible = (
                    file_name(index, suffix)
                    for index in indices
                    for suffix in (*suffixes.values(), ERROR)
                )
                files = [name for name in possible if name in names]
                with self.store.fetched(chunk.folder, files) as place:
                    record, name = self.plan.suffix(RECORD), f"{self.store.name}/{chunk.folder}"
                    yield DoneParts(indices, place, name, record, suffixes, names)

    def errors(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The records of the pictures that failed."""
        for chunk, names in self.parts():
            yield from chunk.errors(names)


@dataclass(frozen=True)
class DoneParts:
    """What was made of some pictures, in a folder of this machine.

    place: what the user calls where they are. suffixes: kind -> ending. names: of the files that
    there are.
    """

    indices: range
    folder: Path
    place: str
    record_suffix: str
    suffixes: dict[str, str]
    names: set[str]

    def contents(self, index: int) -> dict[str, bytes]:
        """The outputs of a picture, by kind; of one that failed none, whatever is left of it.

        Raises JobError where one is not there.
        """
        if file_name(index, self.record_suffix) not in self.names:
            return {}
        return {kind: self._read(index, suffix) for kind, suffix in self.suffixes.items()}

    def record(self, index: int) -> bytes:
        """The record of a picture, which is to be among the kinds, or of its error."""
        done = file_name(index, self.record_suffix) in self.names
        record = self._read(index, self.record_suffix if done else ERROR)
        with self.errors(index):
            if not record.endswith(b"}\n"):
                raise ValueError("half a record")
        return record

    def errors(self, index: int) -> AbstractContextManager[None]:
        """Raise JobError for what cannot be made of the files of a picture."""
        return part_errors(self.place, index)

    def _read(self, index: int, suffix: str) -> bytes:
        with self.errors(index):
            content = (self.folder / file_name(index, suffix)).read_bytes()
            if not content:
                raise ValueError(f"an empty {suffix}")
            return content


@dataclass
class Tally:
    """How many pictures are done and how many failed; `count` looks at what was open last time.

    bands: of the pictures in work in bands, how many those are, and how many of them are done.
    """

    folder: JobFolder
    done: int = 0
    failed: int = 0
    bands: dict[int, tuple[int, int]] = field(default_factory=dict)
    _closed: tuple[int, int] = (0, 0)
    _open: list[Chunk] = field(default_factory=list)
    _held: list[Chunk] = field(default_factory=list)
    _with_bands: list[Chunk] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._open = list(self.folder.chunks)

    @property
    def left(self) -> int:
        """Pictures that are neither."""
        return len(self.folder.plan.pictures) - self.done - self.failed

    @property
    def open(self) -> list[Chunk]:
        """The chunks with pictures that were left at the last count."""
        return list(self._open)

    def working(self) -> list[dict[str, Any]]:
        """What the leases say of those who were at pictures that were left at the last count."""
        holders = [chunk.held_by() for chunk in self._held]
        notes = [holder for holder in holders if holder is not None]
        for index in self.bands:  # whoever has the chunk may be at a band of it, too
            notes += self.folder.chunk_of(index).bands(index).held_by()
        named = filter(names_holder, notes)
        return list({(note["place"], note["pid"]): note for note in named}.values())

    def count(self) -> Tally:
        """Count again."""
        begun = self._begun()
        self.done, self.failed = closed_done, closed_failed = self._closed
        self.bands, self._held, still = {}, [], []
        for chunk in self._open:
            names = begun.get(chunk.name)
            if names is None:
                still.append(chunk)
                continue
            states = list(chunk.states(names).values())
            done, failed = states.count("done"), states.count("failed")
            self.done, self.failed = self.done + done, self.failed + failed
            if len(states) == chunk.end - chunk.first:
                if _having(names, BANDS, OVER):
                    self._with_bands.append(chunk)
                closed_done, closed_failed = closed_done + done, closed_failed + failed
                continue
            still.append(chunk)
            if _LEASE in names:
                self._held.append(chunk)
            for index, bands in chunk.in_bands(names).items():
                if bands.count:
                    self.bands[index] = bands.count, bands.count - len(bands.left())
        self._closed, self._open = (closed_done, closed_failed), still
        return self

    def _begun(self) -> dict[str, list[str]]:
        """The chunks that were open and are begun -> the names of what there is of each."""
        store = self.folder.store
        begun = set(store.folders(_PARTS))
        names = [chunk.name for chunk in self._open if chunk.name in begun]
        files = (self.done + self.failed) * len(self.folder.plan.kinds)
        if store.folder is None and len(names) > 1 + files // _LISTED:  # all takes fewer listings
            return store.tree(_PARTS)
        return {name: store.names(f"{_PARTS}/{name}") for name in names}

    def remove_bands(self) -> None:
        """Remove the bands that were left of chunks that were over at a count."""
        for chunk in self._with_bands:
            chunk.remove_bands()


def check_places(store: JobStore, places: Iterable[str]) -> None:
    """Raise OutputError where an output would be among the files that the job is made of."""
    folder = local_path(store.address)
    if not os.path.isabs(folder):  # a URL of files elsewhere
        return
    names = (PLAN, _PARTS, NOTES, MERGING, NET)
    own = [os.path.realpath(os.path.join(folder, name)) for name in names]
    for place in places:
        path = os.path.realpath(place)
        if any(path == each or path.startswith(f"{each}{os.sep}") for each in own):
            raise OutputError(f"{place}: is for files of the job {store.name}; name another place")


def file_name(index: int, suffix: str) -> str:
    """The name of a file of picture `index`."""
    return f"{index:07d}{suffix}"


def _having(names: Iterable[str], *suffixes: str) -> set[int]:
    """The pictures of which there is a folder with one of these endings."""
    # Below a URL what is seen of a folder are its files.
    parts = (name.partition("/")[0].partition(".") for name in names)
    return {
        int(stem) for stem, dot, ending in parts if dot + ending in suffixes and stem.isdecimal()
    }


@contextmanager
def part_errors(place: str, index: int) -> Iterator[None]:
    """Raise JobError for files of picture `index` that no worker has written so.

    As after a power cut, which a file's content may not outlive.
    """
    try:
        yield
    except (KeyError, OSError, TypeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise JobError(
            f"{place}/{file_name(index, '.*')}: not as a worker has written them ({reason}); "
            "remove them, and `netsurgery job resume` makes them again"
        ) from error
