"""A job's folder: which file is what, what is done, and who is at it.

    DIR/plan.json
    DIR/parts/00012/0000312.json    the record of a picture, its last output: it is done
                    0000312.npy     another of its outputs
                    0000312.error   the record of one that failed, with its error
                    lease           of the worker that is at these pictures
                    0000312.bands/  a large picture in work (`jobs.bands`)

Pictures are handed out in chunks, each with a folder that its worker alone writes to. What is there
is the truth: nothing else says what is done.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from netsurgery.errors import JobError
from netsurgery.io.lease import Lease, is_held, read_lease
from netsurgery.verbs.jobs.bands import BANDS, OVER, BandFolder
from netsurgery.verbs.jobs.plan import PLAN, RECORD, JobPlan, read_plan

__all__ = ["ERROR", "Chunk", "JobFolder", "Tally"]

#: The ending of the record of a picture that failed.
ERROR = ".error"


@dataclass(frozen=True)
class Chunk:
    """Pictures of a plan that one worker takes: `first` and those up to `end`."""

    plan: JobPlan
    path: Path
    first: int
    end: int

    def file(self, index: int, suffix: str) -> str:
        """The path of a file of picture `index`."""
        return str(self.path / f"{index:07d}{suffix}")

    def states(self) -> dict[int, str]:
        """The pictures that are over -> "done" or "failed"."""
        record = self.plan.suffix(RECORD)
        states: dict[int, str] = {}
        for name in _names(self.path):
            stem, dot, ending = name.partition(".")
            suffix = dot + ending
            if suffix == record:
                states[int(stem)] = "done"
            elif suffix == ERROR:  # unless another worker has done it all the same
                states.setdefault(int(stem), "failed")
        return states

    def left(self) -> list[int]:
        """The pictures that are not over, in order."""
        states = self.states()
        return [index for index in range(self.first, self.end) if index not in states]

    def bands(self, index: int) -> BandFolder:
        """The bands of a picture, where there are any."""
        return BandFolder(Path(self.file(index, BANDS)))

    def in_bands(self) -> dict[int, BandFolder]:
        """The pictures that are left and in work in bands."""
        numbers = self._having(BANDS)
        left = self.left() if numbers else []
        return {index: self.bands(index) for index in left if index in numbers}

    def remove_bands(self) -> None:
        """Remove all bands, of workers that died before they did; the pictures are over."""
        for index in self._having(BANDS, OVER):
            self.bands(index).remove()

    def _having(self, *suffixes: str) -> set[int]:
        """The pictures of which there is a file or folder with one of these endings."""
        names = (name.partition(".") for name in _names(self.path))
        return {int(stem) for stem, dot, ending in names if dot + ending in suffixes}

    def take(self, note: dict[str, Any]) -> Lease | None:
        """The lease of the chunk, or None where somebody has it. Raises JobError."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            return Lease.take(self.path / "lease", note)
        except OSError as error:
            raise JobError(f"{self.path}: {error.strerror}") from error

    def held_by(self) -> dict[str, Any] | None:
        """What the lease of whoever is at the chunk says; None where nobody is, or just begins."""
        note = self.last_note()
        return note if note and is_held(self.path / "lease") else None

    def last_note(self) -> dict[str, Any]:
        """What the last lease says that was not given back."""
        return read_lease(self.path / "lease")


@dataclass(frozen=True)
class JobFolder:
    """A job's folder and its plan."""

    path: Path
    plan: JobPlan

    @classmethod
    def open(cls, path: Path) -> JobFolder:
        """The job in a folder. Raises JobError where there is none."""
        return cls(path, read_plan(path / PLAN))

    @cached_property
    def chunks(self) -> list[Chunk]:
        """All pictures, in chunks, in order."""
        count, size = len(self.plan.pictures), self.plan.chunk
        return [
            Chunk(self.plan, self.path / "parts" / f"{first // size:05d}", first,
                  min(first + size, count))
            for first in range(0, count, size)
        ]  # fmt: skip

    def chunk_of(self, index: int) -> Chunk:
        """The chunk that a picture is in."""
        return self.chunks[index // self.plan.chunk]

    def errors(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The records of the pictures that failed."""
        for chunk in self.chunks:
            for index, state in sorted(chunk.states().items()):
                if state == "failed":
                    yield index, json.loads(Path(chunk.file(index, ERROR)).read_text())


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

    def __post_init__(self) -> None:
        self._open = list(self.folder.chunks)

    @property
    def left(self) -> int:
        """Pictures that are neither."""
        return len(self.folder.plan.pictures) - self.done - self.failed

    def working(self) -> list[dict[str, Any]]:
        """What the leases say of those who are at the pictures that were left at the last count."""
        holders = [chunk.held_by() for chunk in self._open]
        notes = [holder for holder in holders if holder is not None]
        for index in self.bands:  # whoever has the chunk may be at a band of it, too
            notes += self.folder.chunk_of(index).bands(index).held_by()
        return list({(note.get("place"), note.get("pid")): note for note in notes}.values())

    def count(self) -> Tally:
        """Count again."""
        begun = set(_names(self.folder.path / "parts"))
        self.done, self.failed = closed_done, closed_failed = self._closed
        self.bands, still = {}, []
        for chunk in self._open:
            states = list(chunk.states().values()) if chunk.path.name in begun else []
            done, failed = states.count("done"), states.count("failed")
            self.done, self.failed = self.done + done, self.failed + failed
            if len(states) == chunk.end - chunk.first:
                closed_done, closed_failed = closed_done + done, closed_failed + failed
            else:
                still.append(chunk)
                if chunk.path.name in begun:
                    self._count_bands(chunk)
        self._closed, self._open = (closed_done, closed_failed), still
        return self

    def _count_bands(self, chunk: Chunk) -> None:
        for index, bands in chunk.in_bands().items():
            if bands.count:
                self.bands[index] = bands.count, bands.count - len(bands.left())


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise JobError(f"{folder}: {error.strerror}") from error
