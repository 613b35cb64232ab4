"""Putting the outputs of a job in place, made of what its workers have written of each picture."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from netsurgery.errors import JobError, NetsurgeryError
from netsurgery.io.memory import Claim
from netsurgery.io.targets import FileSet, one_line
from netsurgery.verbs.jobs.folder import DoneParts, JobFolder
from netsurgery.verbs.jobs.plan import RECORD
from netsurgery.verbs.outputs import OUTPUTS
from netsurgery.verbs.outputs.files import MapFiles
from netsurgery.verbs.outputs.record import MapTable

__all__ = ["Merge", "records_of"]


def records_of(folder: JobFolder) -> Iterator[str]:
    """The records of all pictures of a finished job, in order, a line each. Raises JobError."""
    for parts in folder.fetched([RECORD]):
        for index in parts.indices:
            yield parts.record(index).decode("utf-8", "surrogateescape")


@dataclass(eq=False)
class Merge:
    """Writes the outputs of a finished job.

    files: where they go. records: files that get the records of all pictures, too. written: the
    files so far.
    """

    folder: JobFolder
    files: MapFiles
    records: Sequence[str]
    written: list[str] = field(default_factory=list)
    _parts: dict[str, list[bytes]] = field(init=False)

    def __post_init__(self) -> None:
        self._parts = {kind: [] for kind in self.files.joined}

    def run(self, *, with_tables: bool) -> None:
        """Write all; with_tables: those, too, which do not appear where every picture failed.

        Raises JobError for what no worker has written so, OutputError and MemoryLimitError.
        """
        # The inputs, which were asked for, are not asked for again for each picture.
        files = replace(self.files, inputs=FileSet())
        with ExitStack() as stack:
            name = self.folder.store.name
            claim = stack.enter_context(Claim(0, f"{name}: what is to be written of all images"))
            tables = stack.enter_context(files.tables()) if with_tables else {}
            for done in self.folder.fetched(files.paths):
                for index in done.indices:
                    contents = done.contents(index)
                    _add_rows(tables, contents, done, index)
                    self._keep_parts(contents, claim)
                    self.written += files.write(index, contents)[0]
            for path in self.records:
                self._write_records(path)
            joined = {kind: self._joined(kind, each) for kind, each in self._parts.items() if each}
            self.written += files.write(0, joined)[0] if joined else ()
        self.written += [files.paths[kind][0] for kind in tables]

    def _keep_parts(self, contents: dict[str, bytes], claim: Claim) -> None:
        """Take what one file for all pictures is made of from the outputs of a picture."""
        for kind, parts in self._parts.items():
            if kind in contents:
                claim.add(2 * len(contents[kind]))  # the file is as large again
                parts.append(contents.pop(kind))

    def _joined(self, kind: str, parts: list[bytes]) -> bytes:
        join, suffix = OUTPUTS[kind].join, self.folder.plan.suffix(kind)
        assert join is not None
        try:
            return join(parts)
        except (KeyError, TypeError, ValueError) as error:
            raise JobError(
                f"{self.folder.store.name}: a {suffix} of its pictures is not as a worker has "
                f"written it ({' '.join(str(error).split())})"
            ) from error

    def _write_records(self, path: str) -> None:
        outputs = self.files.outputs([path])
        with outputs, one_line(path), os.fdopen(os.dup(outputs[path].fd), "wb", 1 << 20) as file:
            for record in records_of(self.folder):
                file.write(record.encode("utf-8", "surrogateescape"))
        self.written.append(path)


def _add_rows(
    tables: Mapping[str, MapTable], contents: dict[str, bytes], done: DoneParts, index: int
) -> None:
    """Take the rows of tables from the outputs of a picture; of one that failed they are others."""
    with done.errors(index):
        rows = {kind: contents.pop(kind) for kind in tables if contents}
        for kind, table in tables.items():
            table.add(rows[kind] if rows else _row_of_error(done.record(index), kind))


def _row_of_error(record: bytes, kind: str) -> bytes:
    """The part of a table of a picture that failed."""
    error, of_error = json.loads(record), OUTPUTS[kind].of_error
    assert of_error is not None
    return of_error(error["image"], NetsurgeryError(error["error"]))
