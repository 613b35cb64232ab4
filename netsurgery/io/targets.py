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
from netsurgery.io.unreadable import url_in
from netsurgery.io.wording import argument, listed

__all__ = [
    "STDOUT",
    "WrongOutput",
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


def wrote(files: Iterable[str]) -> str:
    """How what a result says ends: the files written, if any; standard output is none.

    >>> wrote(["new.prototxt", "new.caffemodel"]), wrote(["-"])
    ('; wrote new.prototxt, new.caffemodel', '')
    """
    names = [name for name in files if name != STDOUT]
    return f"; wrote {', '.join(names)}" if names else ""


def check_outputs(
    paths: Sequence[str | Path], *, inputs: Iterable[str | Path] = (), force: bool = False
) -> dict[str, str]:
    """Refuse, before any work, outputs that could not or must not be written.

    Returns each path as given -> the file that will be made (symbolic links followed). Raises
    OutputError for: one that exists (without `force`), a folder that does not, anything that is
    not a regular file, two that are the same file, one that is also an input, one that a link of
    another user's leads to.
    """
    targets: dict[str, str] = {}
    # By what the system calls each file, so that many take time in proportion.
    names = {identity: str(name) for name in inputs if (identity := _identity(name))}
    others: dict[object, str] = {}
    for path in map(str, paths):
        with one_line(path):
            target = os.path.realpath(path)
            check_links(path)
            _check_place(path, target)
            identity = _identity(target)
            if identity in names:
                raise OutputError(
                    f"{path}: is an input too ({names[identity]}); give the output another name"
                )
            _check_others(path, target, identity, others)
            if os.path.lexists(target) and not force:
                raise OutputError(f"{path}: exists already; {argument('--force')} replaces it")
        targets[path] = target
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


def _check_others(path: str, target: str, identity: object, others: dict[object, str]) -> None:
    """Raise where another output is the same file, and add this one to those before."""
    for key in (target, identity):
        if key is not None and key in others:
            raise OutputError(f"{path}: is the output {others[key]} too; give one another name")
        others[key] = path


def _identity(path: str | Path) -> tuple[int, int] | None:
    """Of the file that a path leads to; None for nothing."""
    try:
        state = os.stat(path)
    except (OSError, ValueError):  # where it is an output, its own checks say why
        return None
    return state.st_dev, state.st_ino


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
