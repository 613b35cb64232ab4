"""Checks of output paths, before any work."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from netsurgery.errors import OutputError
from netsurgery.io.mapping import shortened
from netsurgery.io.ownership import foreign_link
from netsurgery.io.unreadable import local_path, url_in
from netsurgery.io.wording import argument, listed

__all__ = [
    "STDOUT",
    "FileSet",
    "WrongOutput",
    "check_ending",
    "check_links",
    "check_outputs",
    "one_line",
    "wrong_ending",
    "wrote",
]

#: The output that is standard output, where a run takes it.
STDOUT = "-"


class WrongOutput(OutputError):
    """An output that is named in a way that cannot be meant."""

    exit_code = 2


def wrong_ending(name: str | Path, endings: Iterable[str]) -> WrongOutput:
    """The error of an output whose name has none of the endings."""
    return WrongOutput(f"{name}: expected a name ending in {listed(endings)}")


def check_ending(name: str | Path, ending: str) -> None:
    """Raise WrongOutput for an output whose name says that it is of another kind.

    >>> check_ending("curves.SVG", ".svg"), check_ending("-", ".svg")
    (None, None)
    """
    if str(name) != STDOUT and not str(name).lower().endswith(ending):
        raise wrong_ending(name, [ending])


def wrote(files: Iterable[str]) -> str:
    """How what a result says ends: the files written, if any; standard output is none.

    >>> wrote(["new.prototxt", "new.caffemodel"]), wrote(["-"])
    ('; wrote new.prototxt, new.caffemodel', '')
    """
    names = [name for name in files if name != STDOUT]
    return f"; wrote {', '.join(names)}" if names else ""


class FileSet:
    """Files, whatever the paths that lead to them; those that do not exist are left out."""

    def __init__(self, paths: Iterable[str | Path] = ()) -> None:
        self._names: dict[tuple[int, int], str] = {}
        for path in map(str, paths):
            with contextlib.suppress(OSError, ValueError):
                self.add(path, path)

    def add(self, path: str, name: str) -> None:
        """Add the file that `path` leads to, under a name; the first of several counts."""
        if (key := _identity(path)) is not None:
            self._names.setdefault(key, name)

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(self._names.values())

    def find(self, path: str) -> str | None:
        """The name of the file that `path` leads to; None where it is not in the set."""
        key = _identity(path)
        return None if key is None else self._names.get(key)


def _identity(path: str) -> tuple[int, int] | None:
    """What two paths that lead to one file have in common; None where there is no file."""
    try:
        state = os.stat(local_path(path))
    except FileNotFoundError:
        return None
    return state.st_dev, state.st_ino


def check_outputs(
    paths: Sequence[str | Path],
    *,
    inputs: FileSet | Iterable[str | Path] = (),
    force: bool = False,
) -> dict[str, str]:
    """Refuse, before any work, outputs that could not or must not be written.

    Returns each path as given -> the file that will be made (symbolic links followed). Raises
    OutputError for: one that exists (without `force`), a folder that does not, anything that is
    not a regular file, two that are the same file, one that is also an input, one that a link of
    another user's leads to.
    """
    inputs = inputs if isinstance(inputs, FileSet) else FileSet(inputs)
    targets: dict[str, str] = {}
    others, other_files = dict[str, str](), FileSet()
    for path in map(str, paths):
        with one_line(path):
            target = os.path.realpath(path)
            check_links(path)
            _check_place(path, target)
            if (name := inputs.find(target)) is not None:
                raise OutputError(f"{path}: is an input too ({name}); give the output another name")
            if (name := others.get(target) or other_files.find(target)) is not None:
                raise OutputError(f"{path}: is the output {name} too; give one another name")
            if os.path.lexists(target) and not force:
                raise OutputError(f"{path}: exists already; {argument('--force')} replaces it")
            other_files.add(target, path)
        targets[path], others[target] = target, path
    return targets


def check_links(path: str | Path) -> None:
    """Refuse to write where somebody else's link leads: into files of ours. Raises OutputError."""
    link = foreign_link(path)
    if link is not None:
        raise OutputError(f"{path}: {link}, which is not followed; name the place it leads to")


def _check_place(path: str, target: str) -> None:
    if path == "":
        raise OutputError("an output needs a name; this one is empty")
    if path == STDOUT:
        raise OutputError(
            "-: this output does not go to standard output; name a file (./- for one called -)"
        )
    mode = _mode(path)
    if url_in(path):
        raise OutputError(f"{url_in(path)}: is a URL, not a file; outputs are files")
    if path.endswith(("/", os.sep)) or (mode is not None and stat.S_ISDIR(mode)):
        raise OutputError(f"{path}: is a folder, expected a file's name")
    if mode is not None and not stat.S_ISREG(mode):
        raise OutputError(f"{path}: is not a regular file, which an output must be")
    for folder in (os.path.dirname(path) or ".", os.path.dirname(target)):
        if not os.path.isdir(folder):
            raise OutputError(f"{path}: {_no_folder(folder)}")


def _no_folder(folder: str) -> str:
    if os.path.lexists(folder):
        return f"{folder} is a file, expected a folder"
    return f"there is no folder {folder}; make it first (mkdir -p)"


def _mode(path: str) -> int | None:
    """The mode of what the path leads to, None for nothing; a pipe in /proc has no real path."""
    try:
        return os.stat(path).st_mode  # ELOOP for links in a ring
    except (FileNotFoundError, NotADirectoryError):
        return None


@contextlib.contextmanager
def one_line(path: str) -> Iterator[None]:
    """Turn the system's errors into an OutputError that names the output, not a temporary file."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EFAULT:  # what was to be written lay in a mapped file
            raise OutputError(shortened()) from error
        raise OutputError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:  # a zero byte in the name
        raise OutputError(f"{path!r}: not a file name (it holds a zero byte)") from error
