"""Files below a URL, of any file system that fsspec knows: the only module that uses fsspec.

A file appears whole or not at all. An object store's put does so by itself; elsewhere a file is
written under another name and renamed. Whatever a file system raises becomes an OSError here.
"""

from __future__ import annotations

import errno
import os
import posixpath
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from netsurgery.errors import JobError

__all__ = ["UrlFolder", "copy_name", "fetch_url"]

#: Protocols of object stores, whose files appear whole: others have files written elsewhere first.
_STORES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oci", "ocilake", "oss"}

#: A URL that can be a job's.
_EXAMPLE = "s3://BUCKET/NAME"

#: What is left of a message where a library's has several lines.
_MOST_OF_MESSAGE = 300
#: What is left of a file's name, from its end.
_MOST_OF_NAME = 200


@contextmanager
def fetch_url(url: str, folder: Path) -> Iterator[Path]:
    """A copy of what is at a URL, in a folder, for as long as the context lasts.

    It is called by its `copy_name`. Raises JobError where the library that the URL
    needs is not installed, and OSError.
    """
    fs, path, _ = _file_system(url)
    file = folder / copy_name(url)
    try:
        with _one_error(url):
            fs.get_file(path, str(file))
        yield file
    finally:
        file.unlink(missing_ok=True)


def copy_name(url: str) -> str:
    """The last part of a URL's path, or of that its end.

    >>> copy_name("https://host/a/cat.jpg?version=3")
    'cat.jpg'
    """
    base = posixpath.basename(url.partition("?")[0].rstrip("/"))
    return base[-_MOST_OF_NAME:] if base.strip(".") else "file"


class UrlFolder:
    """What lies below a URL; names are relative to it, with / between their parts.

    address: the same URL for a process with another current folder.
    """

    def __init__(self, url: str) -> None:
        """Raises JobError for a URL that other processes do not reach, or that is of no folder, and
        where the library that it needs is not installed."""
        try:
            self._fs, root, self._is_store = _file_system(url)
        except OSError as error:
            raise JobError(f"{url}: {error.strerror}") from error
        # Names have one slash between them, but to a store.
        self._root = re.sub("//+", "/", root) if self._is_store else root
        if not self._root:
            raise JobError(f"{url}: names no folder; expected one, as {_EXAMPLE}")
        protocols = _protocols(self._fs)
        if "memory" in protocols:
            raise JobError(
                f"{url}: is in the memory of one process, and the workers of a job are others; "
                f"expected a URL that they reach, as {_EXAMPLE}"
            )
        self.url = url if url.endswith("://") else url.rstrip("/")
        self.address = f"file://{self._root}" if "file" in protocols else self.url

    def files(self, folder: str) -> list[str]:
        """The names of all files below a folder, relative to it; [] where there is none."""
        with _one_error(f"{self.url}/{folder}"):
            self._fs.invalidate_cache()
            path = self._path(folder)
            if self._is_store:  # where there are none, a `find` of the folder asks three times
                parent, base = posixpath.split(path)
                return self._below(folder, self._fs.find(parent, prefix=f"{base}/"))
            return self._below(folder, self._fs.find(path))

    def entries(self, folder: str) -> list[str]:
        """The names of what is in a folder, files and folders; [] where there is none."""
        with _one_error(f"{self.url}/{folder}"):
            self._fs.invalidate_cache()
            try:
                listed = self._fs.ls(self._path(folder), detail=False)
            except FileNotFoundError:
                return []
            return self._below(folder, listed)

    def _below(self, folder: str, paths: Sequence[str]) -> list[str]:
        start = f"{self._path(folder)}/"
        names = [path[len(start) :].rstrip("/") for path in paths if path.startswith(start)]
        return [name for name in names if name]

    def read(self, name: str) -> bytes:
        """A file's bytes. Raises FileNotFoundError where there is none."""
        with _one_error(f"{self.url}/{name}"):
            self._fs.invalidate_cache()
            return bytes(self._fs.cat_file(self._path(name)))

    def fetch(self, names: Sequence[str], folder: Path) -> None:
        """Have copies of files in a folder of this machine, under the last parts of their names."""
        copies = [str(folder / posixpath.basename(name)) for name in names]
        with _one_error(self.url if len(names) != 1 else f"{self.url}/{names[0]}"):
            self._fs.invalidate_cache()
            self._fs.get([self._path(name) for name in names], copies)

    def write(self, name: str, content: bytes) -> None:
        """Make a file, or replace it, whole."""
        with _one_error(f"{self.url}/{name}"), self._whole(name) as path:
            self._fs.pipe_file(path, content)

    def put(self, file: str, name: str) -> None:
        """Make a file, or replace it, of one of this machine."""
        with _one_error(f"{self.url}/{name}"), self._whole(name) as path:
            self._fs.put_file(file, path)

    def create(self, name: str, content: bytes) -> None:
        """Make a file that is not there. Raises FileExistsError where it is.

        Of two who do so at the same time one alone succeeds where the store has a condition for it,
        as S3's and Google's; elsewhere both may.
        """
        with _one_error(f"{self.url}/{name}"):
            self._make_folder(name)
            self._fs.pipe_file(self._path(name), content, mode="create")

    def remove(self, name: str) -> None:
        """Remove a file; none is none."""
        with _one_error(f"{self.url}/{name}"), suppress(FileNotFoundError):
            self._fs.rm_file(self._path(name))

    def remove_folder(self, folder: str) -> None:
        """Remove a folder with all that is below it; none is none."""
        with _one_error(f"{self.url}/{folder}"), suppress(FileNotFoundError):
            self._fs.invalidate_cache()
            self._fs.rm(self._path(folder), recursive=True)

    def age(self, name: str) -> float:
        """Seconds since a file was written, by the clock of the file system.

        Raises FileNotFoundError.
        """
        written = self._written(name)
        return time.monotonic() + self._clock - written

    @cached_property
    def _clock(self) -> float:
        """What this machine's monotonic clock lacks to the file system's."""
        name = f".{os.urandom(6).hex()}.clock"
        try:
            self.write(name, b"\n")
        except PermissionError:  # whoever only looks has the clock of this machine
            return time.time() - time.monotonic()
        try:
            return self._written(name) - time.monotonic()
        finally:
            self.remove(name)

    def _written(self, name: str) -> float:
        with _one_error(f"{self.url}/{name}"):
            self._fs.invalidate_cache()
            moment = self._fs.modified(self._path(name))
            if moment.tzinfo is None:
                import datetime

                moment = moment.replace(tzinfo=datetime.timezone.utc)
            return float(moment.timestamp())

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    @contextmanager
    def _whole(self, name: str) -> Iterator[str]:
        """The path to write a file to, which then has its name."""
        path = self._path(name)
        if self._is_store:
            yield path
            return
        self._make_folder(name)
        folder, base = posixpath.split(path)
        temporary = f"{folder}/.{base}.{os.urandom(6).hex()}.netsurgery-tmp"
        try:
            yield temporary
            self._fs.mv(temporary, path)
        except BaseException:
            with suppress(Exception):  # what is reported is what went wrong first
                self._fs.rm_file(temporary)
            raise

    def _make_folder(self, name: str) -> None:
        if not self._is_store:
            self._fs.makedirs(posixpath.dirname(self._path(name)), exist_ok=True)


def _file_system(url: str) -> tuple[Any, str, bool]:
    """The file system of a URL, the path in it, and whether it is an object store.

    Raises JobError where a library is not installed, and OSError for a URL that is none.
    """
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise JobError(
            f"{url}: fsspec is not installed; `pip install netsurgery[fsspec]` installs it"
        ) from None
    try:
        with _one_error(url):
            fs, root = url_to_fs(url)
    except OSError as error:
        if isinstance(error.__cause__, ImportError):  # which says what is to be installed
            raise JobError(f"{url}: {error.strerror}") from error
        raise
    return fs, str(root).rstrip("/"), bool(_protocols(fs) & _STORES)


def _protocols(fs: Any) -> set[str]:
    return {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)


@contextmanager
def _one_error(url: str) -> Iterator[None]:
    """Raise an OSError whose `strerror` is one line, and whose file is the URL."""
    try:
        yield
    except MemoryError:
        raise
    except FileExistsError as error:
        raise FileExistsError(errno.EEXIST, _reason(error), url) from error
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, _reason(error), url) from error
    except PermissionError as error:
        raise PermissionError(errno.EACCES, _reason(error), url) from error
    except NotImplementedError as error:
        raise OSError(errno.ENOTSUP, "this file system cannot do it", url) from error
    except Exception as error:  # each file system raises its own library's
        number = error.errno if isinstance(error, OSError) else None
        raise OSError(number or errno.EIO, _reason(error), url) from error


def _reason(error: BaseException) -> str:
    """What an error says, on one line; a file that is missing says no more than its name."""
    if isinstance(error, OSError) and error.errno is not None and error.strerror:
        text = error.strerror
    else:
        text = " ".join(str(error).split())
        if isinstance(error, FileNotFoundError) and " " not in text:
            text = os.strerror(errno.ENOENT)
    return text[:_MOST_OF_MESSAGE] or type(error).__name__
