"""Where a job's files are: in a folder, or below a URL of any file system that fsspec knows.

All else of a job asks one of these for its files, by names relative to the job. A folder's are
files of this machine, which are written where they belong; those below a URL are made in a scratch
folder and then put there whole, and fetched to be read.
"""

from __future__ import annotations

import os
import posixpath
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from netsurgery.errors import JobError, OutputError
from netsurgery.io.files import TEMPORARY, Outputs
from netsurgery.io.folders import make_folder
from netsurgery.io.lease import Lease, is_held, read_lease
from netsurgery.io.scratch import scratch_folder
from netsurgery.io.unreadable import as_url
from netsurgery.io.url_files import UrlFolder
from netsurgery.io.url_lease import UrlLease, is_url_held, read_url_lease

__all__ = [
    "NET",
    "OVER",
    "FolderStore",
    "JobLease",
    "JobStore",
    "UrlStore",
    "job_errors",
    "open_store",
]

#: The ending of a folder that is being removed.
OVER = ".over"
#: The folder of the net's files, of a job at a URL.
NET = "net"


class JobLease(Protocol):
    """A lease that this process holds. Its methods raise OSError."""

    def write(self, note: dict[str, Any]) -> None:
        """Replace the note, and renew the lease."""

    def renew(self) -> None:
        """Have the lease begin again, for others."""

    def end(self) -> None:
        """Give the lease back, unless it was taken by others."""


class JobStore(ABC):
    """A job's files; where they cannot be read or written JobError or OutputError is raised.

    name: what the user calls it. address: the same for a process with another current folder.
    folder: that of this machine, None for a URL. pause: the most seconds between two looks at what
    others have done.
    """

    name: str
    address: str
    folder: Path | None = None
    pause: float = 0.0

    @abstractmethod
    def prepare(self) -> None:
        """Have a place for a job that is yet to be planned, which holds nothing.

        But files of a net: where that is no folder, they are there before the plan; and in a folder
        a plan that is being written, or was when its writer died.
        """

    @abstractmethod
    def folders(self, folder: str) -> list[str]:
        """The names of the folders in a folder; [] where there is none."""

    @abstractmethod
    def names(self, folder: str) -> list[str]:
        """The names of what is in a folder that has files alone; [] where there is none."""

    @abstractmethod
    def tree(self, folder: str) -> dict[str, list[str]]:
        """The folders in a folder -> the names of what is in each."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """A file's bytes. Raises FileNotFoundError, too."""

    @abstractmethod
    def write(self, name: str, content: bytes, *, new: bool = False) -> None:
        """Make a file, whole; new: where none may be there."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file; none is none."""

    @abstractmethod
    def discard(self, folder: str, first: str) -> None:
        """Remove a folder of files; first: the one without which nobody takes it to be there.

        Somebody may still be making one of its files.
        """

    @abstractmethod
    def making(
        self, folder: str, names: Sequence[str], scratch: Path | None = None
    ) -> AbstractContextManager[Path]:
        """A folder in which to make files; those that were made are in place after it, in order.

        scratch: where to have it if it is not the place itself, None for a folder of its own.
        """

    @abstractmethod
    def fetched(
        self, folder: str, names: Sequence[str], scratch: Path | None = None
    ) -> AbstractContextManager[Path]:
        """A folder of this machine in which these files of a folder can be read; scratch: as
        `making`."""

    @abstractmethod
    def take(self, name: str, note: dict[str, Any], *, new_folder: bool = True) -> JobLease | None:
        """Take a lease; None where somebody else holds it.

        new_folder: make its folder where there is none; else that may give None, too.
        """

    @abstractmethod
    def note(self, name: str) -> dict[str, Any]:
        """What a lease says, whether it is held or not; {} for none."""

    @abstractmethod
    def is_held(self, name: str) -> bool:
        """Whether somebody holds a lease."""


def open_store(place: str | os.PathLike[str]) -> JobStore:
    """The store at a path or URL. Raises JobError for a URL that can be none."""
    url = as_url(place)
    return UrlStore(url) if url else FolderStore(Path(place))


class FolderStore(JobStore):
    """A folder, which other machines may share."""

    def __init__(self, folder: Path) -> None:
        self.path = self.folder = folder.absolute()  # whatever the current folder becomes
        self.name, self.address = str(folder), str(self.path)

    def prepare(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if not all(map(TEMPORARY.fullmatch, os.listdir(self.path))):
                raise _not_empty(self.name)
        except OSError as error:
            raise OutputError(f"{self.name}: {error.strerror}") from error

    def folders(self, folder: str) -> list[str]:
        return self.names(folder)

    def names(self, folder: str) -> list[str]:
        try:
            return os.listdir(self.path / folder)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise JobError(f"{self._called(folder)}: {error.strerror}") from error

    def tree(self, folder: str) -> dict[str, list[str]]:
        return {name: self.names(f"{folder}/{name}") for name in self.folders(folder)}

    def read(self, name: str) -> bytes:
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            raise
        except OSError as error:
            raise JobError(f"{self._called(name)}: {error.strerror}") from error

    def write(self, name: str, content: bytes, *, new: bool = False) -> None:
        path = self.path / name
        self._check_there()
        make_folder(str(path.parent))
        with Outputs([path], force=not new) as outputs:
            outputs[path].write(content)

    def remove(self, name: str) -> None:
        with job_errors(self._called(name)):
            (self.path / name).unlink(missing_ok=True)

    def discard(self, folder: str, first: str) -> None:
        path = self.path / folder
        over = path.with_suffix(OVER)
        shutil.rmtree(over, ignore_errors=True)  # of a worker that died while it removed it
        try:
            os.rename(path, over)  # all of it at once
        except OSError:  # somebody else has
            return
        shutil.rmtree(over, ignore_errors=True)

    @contextmanager
    def making(
        self, folder: str, names: Sequence[str], scratch: Path | None = None
    ) -> Iterator[Path]:
        yield self.path / folder

    @contextmanager
    def fetched(
        self, folder: str, names: Sequence[str], scratch: Path | None = None
    ) -> Iterator[Path]:
        yield self.path / folder

    def take(self, name: str, note: dict[str, Any], *, new_folder: bool = True) -> JobLease | None:
        path = self.path / name
        with job_errors(self._called(posixpath.dirname(name))):
            if new_folder:
                self._check_there()
                path.parent.mkdir(parents=True, exist_ok=True)
            try:
                return Lease.take(path, note)
            except FileNotFoundError:
                if new_folder:
                    raise
                return None

    def note(self, name: str) -> dict[str, Any]:
        with job_errors(self._called(name)):
            return read_lease(self.path / name)

    def is_held(self, name: str) -> bool:
        with job_errors(self._called(name)):
            return is_held(self.path / name)

    def _check_there(self) -> None:
        """Raise JobError where the folder is gone, before one without a plan takes its place."""
        if not self.path.is_dir():
            raise JobError(
                f"{self.name}: is not there any more; where it was moved, `netsurgery job resume` "
                "goes on with it"
            )

    def _called(self, name: str) -> str:
        """What the user calls a file of it."""
        return os.path.join(self.name, name)


class UrlStore(JobStore):
    """What lies below a URL; no machine needs to share a folder with another."""

    pause = 4.0

    def __init__(self, url: str) -> None:
        self._files = UrlFolder(url)
        self.name, self.address = self._files.url, self._files.address

    def prepare(self) -> None:
        if set(self.folders("")) - {NET}:
            raise _not_empty(self.name)

    def folders(self, folder: str) -> list[str]:
        with self._named(folder):
            return self._files.entries(folder)

    def names(self, folder: str) -> list[str]:
        with self._named(folder):
            return self._files.files(folder)

    def tree(self, folder: str) -> dict[str, list[str]]:
        with self._named(folder):
            files = self._files.files(folder)
        tree: dict[str, list[str]] = {}
        for file in files:
            first, _, rest = file.partition("/")
            tree.setdefault(first, []).append(rest)
        return tree

    def read(self, name: str) -> bytes:
        try:
            return self._files.read(name)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise JobError(f"{self.name}/{name}: {error.strerror}") from error

    def write(self, name: str, content: bytes, *, new: bool = False) -> None:
        with self._named(name):
            if new:
                self._files.create(name, content)
            else:
                self._files.write(name, content)

    def remove(self, name: str) -> None:
        with self._named(name):
            self._files.remove(name)

    def send(self, file: str, name: str) -> None:
        """Have a copy of a file of this machine."""
        with self._named(name):
            self._files.put(file, name)

    def fetch(self, name: str, folder: Path) -> None:
        """Make a copy of a file in a folder of this machine, under the last part of its name."""
        with self._named(name):
            self._files.fetch([name], folder)

    def discard(self, folder: str, first: str) -> None:
        self.remove(f"{folder}/{first}")
        with self._named(folder):
            self._files.remove_folder(folder)

    @contextmanager
    def making(
        self, folder: str, names: Sequence[str], scratch: Path | None = None
    ) -> Iterator[Path]:
        with _room(scratch, "out") as place:
            yield place
            for name in names:
                file = place / name
                if file.exists():
                    self.send(str(file), f"{folder}/{name}")

    @contextmanager
    def fetched(
        self, folder: str, names: Sequence[str], scratch: Path | None = None
    ) -> Iterator[Path]:
        with _room(scratch, "in") as place:
            with self._named(folder):
                if names:
                    self._files.fetch([f"{folder}/{name}" for name in names], place)
            yield place

    def take(self, name: str, note: dict[str, Any], *, new_folder: bool = True) -> JobLease | None:
        with self._named(name):
            return UrlLease.take(self._files, name, note)

    def note(self, name: str) -> dict[str, Any]:
        with self._named(name):
            return read_url_lease(self._files, name)

    def is_held(self, name: str) -> bool:
        with self._named(name):
            return is_url_held(self._files, name)

    def _named(self, name: str) -> AbstractContextManager[None]:
        return job_errors(posixpath.join(self.name, name) if name else self.name)


@contextmanager
def job_errors(place: str) -> Iterator[None]:
    """Raise JobError, with a file's place, for the system's errors."""
    try:
        yield
    except OSError as error:
        raise JobError(f"{place}: {error.strerror}") from error


@contextmanager
def _room(scratch: Path | None, name: str) -> Iterator[Path]:
    """An empty folder for as long as the context lasts, called so in another, or of its own."""
    if scratch is None:
        with scratch_folder() as place:
            yield place
        return
    place = scratch / name
    place.mkdir(exist_ok=True)
    try:
        yield place
    finally:
        with suppress(OSError):
            shutil.rmtree(place)


def _not_empty(name: str) -> OutputError:
    return OutputError(f"{name}: is not empty and holds no job; name another folder")
