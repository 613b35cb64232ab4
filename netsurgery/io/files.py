"""Outputs that appear whole or not at all.

An output is written to a temporary file beside its target, ``.NAME.RANDOM.netsurgery-tmp``, and
renamed over it when every output of the run is complete. A temporary file is locked for as long
as the process that made it lives, so that a later run in the same folder removes dead ones only.

What is to be written as ranges of other files is `netsurgery.io.segments`.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from netsurgery.errors import OutputError
from netsurgery.io.cleanup import Undo, step
from netsurgery.io.locks import is_held, lock
from netsurgery.io.ownership import is_own
from netsurgery.io.scratch import scratch_folder
from netsurgery.io.segments import Segment, close_quietly, write_segments
from netsurgery.io.targets import STDOUT, FileSet, check_links, check_outputs, one_line
from netsurgery.io.terminal import check_no_terminal, print_bytes
from netsurgery.io.wording import argument

if TYPE_CHECKING:
    from netsurgery.io.kept_file import KeptFile

__all__ = ["TEMPORARY", "OutputFile", "Outputs", "temporary_name"]

TEMPORARY = re.compile(r"\..*\.[0-9a-f]{12}\.netsurgery-tmp", re.DOTALL)
#: Seconds; putting files in place takes thousandths of one.
_PATIENCE = 5.0
#: Seconds between two removals of dead temporary files from a folder.
_CLEARING = 1.0
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_LOOK = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


class OutputFile:
    """An output being written: write to `file`'s descriptor, or to the path `temporary`.

    Another process may write to `temporary` by its name, as long as it truncates and does not
    replace the file.
    """

    def __init__(self, path: str, target: str) -> None:
        self.path, self.target = path, target
        with one_line(path):
            with step:
                self.temporary, self.fd = _make_temporary(target)
                # There no more where it became the output.
                self._undo = Undo(lambda: _unlink(self.temporary))
            try:
                self._keep_mode()
            except BaseException:
                self.discard()
                raise

    def _keep_mode(self) -> None:
        """The mode of the file to be replaced; never what makes a program run as its owner."""
        if os.path.exists(self.target) and hasattr(os, "fchmod"):
            state = os.stat(self.target)
            if is_own(state):
                os.fchmod(self.fd, state.st_mode & 0o777)

    @property
    def by_descriptor(self) -> str:
        """The path `temporary` for this process: nobody can put a link in its place."""
        path = f"/proc/self/fd/{self.fd}"
        return path if os.path.exists(path) else self.temporary

    def write(self, data: bytes) -> None:
        """Make the output's whole content `data`. Raises OutputError."""
        with one_line(self.path), os.fdopen(os.dup(self.fd), "wb") as file:
            file.seek(0)
            file.truncate()
            file.write(data)

    def write_segments(
        self, segments: Sequence[Segment], progress: Callable[[int, int], None] | None = None
    ) -> int:
        """Make the output's whole content the segments; returns its length. Raises OutputError."""
        with one_line(self.path):
            return write_segments(self.fd, segments, progress)

    def take(self, file: KeptFile) -> None:
        """Make another file of the target's folder the output, by its name alone.

        It stays where it is if the output does not appear.
        """
        self.discard()
        self.temporary, self.fd = file.path, os.dup(file.fd)
        with one_line(self.path):
            self._keep_mode()

    def settle(self) -> None:
        """Raise what the system reports on closing: some file systems write only then."""
        with one_line(self.path):
            os.close(os.dup(self.fd))

    def discard(self) -> None:
        """Remove the temporary file, if it still exists, and close it."""
        self._undo()
        self.close()

    def close(self) -> None:
        """Close the descriptor, and with it release the lock."""
        close_quietly(self.fd)
        self.fd = -1


class Outputs:
    """Several outputs that appear together, in the order given, or not at all.

        outputs = Outputs([weights, prototxt], inputs=[old], force=force)   # refuses here
        with outputs:
            outputs[weights].write_segments(...)
            outputs[prototxt].write(...)

    The mode of a file of one's own is kept; a new one gets 0666 less the umask. A symbolic link of
    one's own, or root's, stays and the file it leads to is replaced. Nothing is synced to disk: a
    killed process leaves the old files, a power cut is the file system's to answer for. Signals
    wait until all are in place or back. Raises OutputError.

    stdout: take "-" for standard output, which gets the whole output before any file appears.
    repeatable: an existing file is no obstacle where it holds, byte for byte, what would be
    written; it is left as it is then. For outputs that the same run makes again.
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        *,
        inputs: FileSet | Iterable[str | Path] = (),
        force: bool = False,
        stdout: bool = False,
        repeatable: bool = False,
    ) -> None:
        self.force, self._repeatable = force, repeatable
        printed = [path for path in paths if stdout and str(path) == STDOUT]
        self._printed = bool(printed)
        if len(printed) > 1:
            raise OutputError("-: two outputs cannot both go to standard output")
        if printed:
            check_no_terminal()
        to_check = [path for path in paths if path not in printed]
        self._targets = check_outputs(to_check, inputs=inputs, force=force or repeatable)
        self._made: dict[str, OutputFile] = {}
        self._folders = contextlib.ExitStack()

    def __getitem__(self, path: str | Path) -> OutputFile:
        return self._made[str(path)]

    def __enter__(self) -> Outputs:
        try:
            if self._printed:
                self._made[STDOUT] = OutputFile(STDOUT, self._new_target())
            for folder in {os.path.dirname(target) for target in self._targets.values()}:
                _remove_dead(folder)
            for path, target in self._targets.items():
                self._made[path] = OutputFile(path, target)
        except BaseException:
            self._discard()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None and self._printed:
                _print(self._made[STDOUT])
            if kind is None:
                with _held({os.path.dirname(target) for target in self._targets.values()}):
                    self._replace()
        finally:
            self._discard()

    def _new_target(self) -> str:
        return str(self._folders.enter_context(scratch_folder()) / "output")

    def _replace(self) -> None:
        outputs = [self._made[path] for path in self._targets]
        if not self.force:
            outputs = [output for output in outputs if not self._is_there(output)]
        for output in outputs:
            output.settle()
        with step:
            self._put(outputs)

    def _put(self, outputs: Sequence[OutputFile]) -> None:
        undo: list[tuple[str | None, OutputFile]] = []
        try:
            for output in outputs:
                undo.append((_second_name(output.target), output))
                with one_line(output.path):
                    _check_unmoved(output)
                if sys.platform == "win32":
                    output.close()
                with one_line(output.path):
                    os.replace(output.temporary, output.target)
        except BaseException:
            for backup, output in reversed(undo):
                if not os.path.lexists(output.temporary):
                    _put_back(backup, output.target)
            raise
        finally:
            for backup, _ in undo:
                _unlink(backup)

    def _is_there(self, output: OutputFile) -> bool:
        """Whether the target holds the output already. Raises OutputError for another content."""
        if not os.path.lexists(output.target):
            return False
        if not self._repeatable:
            raise OutputError(f"{output.path}: exists already; {argument('--force')} replaces it")
        import filecmp

        with one_line(output.path):
            same = filecmp.cmp(output.temporary, output.target, shallow=False)
        if not same:
            raise OutputError(
                f"{output.path}: exists already, with another content; "
                f"{argument('--force')} replaces it"
            )
        return True

    def _discard(self) -> None:
        for output in self._made.values():
            output.discard()
        self._made.clear()
        self._folders.close()


def _print(output: OutputFile) -> None:
    with os.fdopen(os.dup(output.fd), "rb") as file:
        file.seek(0)
        print_bytes(file)


@contextlib.contextmanager
def _held(folders: Iterable[str]) -> Iterator[None]:
    """Lock the folders, so that two runs do not mix their outputs.

    A lock that is held for longer than a run takes is not waited for, and neither is the one that
    this process has on a temporary folder of its own.
    """
    held = []
    try:
        for folder in sorted(folders):
            with contextlib.suppress(OSError):
                held.append(os.open(folder, os.O_RDONLY))
                until = time.monotonic() + (0 if is_held(held[-1]) else _PATIENCE)
                while lock(held[-1], wait=False) is False and time.monotonic() < until:
                    time.sleep(0.01)
        yield
    finally:
        for fd in held:
            close_quietly(fd)


def _check_unmoved(output: OutputFile) -> None:
    """Raise OutputError where an output's path, or its temporary file, has been replaced."""
    check_links(output.path)
    if not os.path.samestat(os.lstat(output.temporary), os.fstat(output.fd)):
        raise OutputError(f"{output.path}: its temporary file was replaced by another")
    if os.path.realpath(output.path) != output.target:
        raise OutputError(f"{output.path}: leads elsewhere than when the run began")


def _second_name(target: str) -> str | None:
    """A second name for the file about to be replaced, to restore it by; None if it is new."""
    if not os.path.lexists(target):
        return None
    name = temporary_name(target)
    try:
        os.link(target, name)
    except OSError:  # a file system without links: nothing to put back by
        return ""
    return name


def _put_back(backup: str | None, target: str) -> None:
    with contextlib.suppress(OSError):
        if backup is None:
            os.unlink(target)
        elif backup:
            os.replace(backup, target)


def _unlink(path: str | None) -> None:
    if path:
        with contextlib.suppress(OSError):
            os.unlink(path)


def temporary_name(target: str) -> str:
    """A name beside the target that `TEMPORARY` matches, and that nothing has."""
    folder, name = os.path.split(target)
    # A name has 255 bytes at most, and ours is longer than the target's.
    short = os.fsdecode(os.fsencode(name)[:200])
    return os.path.join(folder, f".{short}.{os.urandom(6).hex()}.netsurgery-tmp")


def _make_temporary(target: str) -> tuple[str, int]:
    while True:
        name = temporary_name(target)
        fd = os.open(name, _CREATE, 0o666)
        try:
            lock(fd, wait=True)
            # A run that was clearing up may have met it between its making and its locking.
            os.stat(name)
            return name, fd
        except FileNotFoundError:
            os.close(fd)
        except BaseException:
            os.close(fd)
            _unlink(name)
            raise


#: Folder -> when dead temporary files were last removed from it.
_cleared: dict[str, float] = {}


def _remove_dead(folder: str) -> None:
    """Remove the temporary files in `folder` whose makers are gone.

    Not again for each of many outputs: listing a folder takes as long as there are files in it.
    """
    now = time.monotonic()
    if now - _cleared.get(folder, -_CLEARING) < _CLEARING:
        return
    _cleared[folder] = now
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            if TEMPORARY.fullmatch(name):
                _remove_if_dead(os.path.join(folder, name))


def _remove_if_dead(path: str) -> None:
    try:
        fd = os.open(path, _LOOK)
    except OSError:
        return
    try:
        if lock(fd, wait=False):
            _unlink(path)
    finally:
        os.close(fd)
