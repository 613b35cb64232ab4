"""Outputs that appear whole or not at all.

An output is written to a temporary file beside its target, ``.NAME.RANDOM.netsurgery-tmp``, and
renamed over it when every output of the run is complete. A temporary file is locked for as long
as the process that made it lives, so that a later run in the same folder removes dead ones only.

What is to be written as ranges of other files is `netsurgery.io.segments`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from netsurgery.errors import OutputError
from netsurgery.io.cleanup import Undo, step
from netsurgery.io.locks import lock
from netsurgery.io.mapping import shortened
from netsurgery.io.scratch import scratch_folder
from netsurgery.io.segments import Segment, close_quietly, write_segments
from netsurgery.io.terminal import check_no_terminal, print_bytes

__all__ = ["STDOUT", "Output", "Outputs", "check_outputs"]

#: The output that is standard output, where a run takes it.
STDOUT = "-"

_TEMPORARY = re.compile(r"\..*\.[0-9a-f]{12}\.netsurgery-tmp", re.DOTALL)
#: Seconds; putting files in place takes thousandths of one.
_PATIENCE = 5.0
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_LOOK = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def check_outputs(
    paths: Sequence[str | Path], *, inputs: Iterable[str | Path] = (), force: bool = False
) -> dict[str, str]:
    """Refuse, before any work, outputs that could not or must not be written.

    Returns each path as given -> the file that will be made (symbolic links followed). Raises
    OutputError for: one that exists (without `force`), a folder that does not, anything that is
    not a regular file, two that are the same file, one that is also an input.
    """
    targets: dict[str, str] = {}
    for path in map(str, paths):
        with _one_line(path):
            target = os.path.realpath(path)
            _check_place(path, target)
            _check_inputs(path, target, inputs)
            _check_others(path, target, targets)
            if os.path.lexists(target) and not force:
                raise OutputError(f"{path}: exists already; --force replaces it")
        targets[path] = target
    return targets


def _check_place(path: str, target: str) -> None:
    if path == "":
        raise OutputError("an output needs a name; this one is empty")
    if path == STDOUT:
        raise OutputError(
            "-: this output does not go to standard output; name a file (./- for one called -)"
        )
    mode = _mode(path)
    if mode is not None and stat.S_ISDIR(mode):
        raise OutputError(f"{path}: is a directory; an output is a file")
    if mode is not None and not stat.S_ISREG(mode):
        raise OutputError(f"{path}: is not a regular file, which an output must be")
    if path.endswith(("/", os.sep)):
        raise OutputError(f"{path}: is a directory; an output is a file")
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise OutputError(f"{path}: there is no folder {folder}")


def _mode(path: str) -> int | None:
    """What the path leads to; None for nothing. Of a pipe in /proc the real path has no file."""
    try:
        return os.stat(path).st_mode  # ELOOP for links in a ring
    except (FileNotFoundError, NotADirectoryError):
        return None


def _check_inputs(path: str, target: str, inputs: Iterable[str | Path]) -> None:
    for name in map(str, inputs):
        if _same(target, name):
            raise OutputError(f"{path}: is an input too ({name}); give the output another name")


def _check_others(path: str, target: str, others: Mapping[str, str]) -> None:
    for name, other in others.items():
        if target == other or _same(target, other):
            raise OutputError(f"{path}: is the output {name} too; give one another name")


def _same(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _one_line(path: str) -> Iterator[None]:
    """What the system refuses becomes an OutputError naming the output, not the temporary file."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EFAULT:  # what was to be written lay in a mapped file
            raise OutputError(shortened()) from error
        raise OutputError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:  # a zero byte in the name
        raise OutputError(f"{path!r}: not a file name (it holds a zero byte)") from error


class Output:
    """One output in the making: write to `file`'s descriptor, or to the path `temporary`.

    Another process may write to `temporary` by its name, as long as it truncates and does not
    replace the file.
    """

    def __init__(self, path: str, target: str) -> None:
        self.path, self.target = path, target
        with _one_line(path):
            with step:
                self.temporary, self.fd = _make_temporary(target)
                # There no more where it became the output.
                self._undo = Undo(lambda: _unlink(self.temporary))
            try:
                if os.path.exists(target) and hasattr(os, "fchmod"):
                    os.fchmod(self.fd, stat.S_IMODE(os.stat(target).st_mode))
            except BaseException:
                self.discard()
                raise

    def write(self, data: bytes) -> None:
        """Make the output's whole content `data`. Raises OutputError."""
        with _one_line(self.path), os.fdopen(os.dup(self.fd), "wb") as file:
            file.seek(0)
            file.truncate()
            file.write(data)

    def write_segments(
        self, segments: Sequence[Segment], progress: Callable[[int], None] | None = None
    ) -> int:
        """Make the output's whole content the segments; returns its length. Raises OutputError."""
        with _one_line(self.path):
            return write_segments(self.fd, segments, progress)

    def settle(self) -> None:
        """Meet what the system says at last: some file systems write, or fail to, on closing."""
        with _one_line(self.path):
            os.close(os.dup(self.fd))

    def discard(self) -> None:
        """Remove the temporary file, where it is one still, and close it."""
        self._undo()
        self.close()

    def close(self) -> None:
        """Let go of the descriptor, and with it of the lock."""
        close_quietly(self.fd)
        self.fd = -1


class Outputs:
    """Several outputs that appear together, in the order given, or not at all.

        outputs = Outputs([weights, prototxt], inputs=[old], force=force)   # refuses here
        with outputs:
            outputs[weights].write_segments(...)
            outputs[prototxt].write(...)

    An existing file's mode is kept; a new one gets 0666 less the umask. A symbolic link stays and
    the file it leads to is replaced. Nothing is synced to disk: a killed process leaves the old
    files, a power cut is the file system's to answer for. Signals wait until all are in place or
    back. Raises OutputError.

    stdout: take "-", alone, for standard output, which gets the whole output at the end.
    repeatable: an existing file is no obstacle where it holds, byte for byte, what would be
    written; it is left as it is then. For outputs that the same run makes again.
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        *,
        inputs: Iterable[str | Path] = (),
        force: bool = False,
        stdout: bool = False,
        repeatable: bool = False,
    ) -> None:
        self.force, self._repeatable = force, repeatable
        self._printed = stdout and list(map(str, paths)) == [STDOUT]
        if self._printed:
            check_no_terminal("what is written")
        to_check = [] if self._printed else paths
        self._targets = check_outputs(to_check, inputs=inputs, force=force or repeatable)
        self._made: dict[str, Output] = {}
        self._folders = contextlib.ExitStack()

    def __getitem__(self, path: str | Path) -> Output:
        return self._made[str(path)]

    def __enter__(self) -> Outputs:
        try:
            if self._printed:
                self._made[STDOUT] = Output(STDOUT, self._new_target())
            for folder in {os.path.dirname(target) for target in self._targets.values()}:
                _remove_dead(folder)
            for path, target in self._targets.items():
                self._made[path] = Output(path, target)
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
            elif kind is None:
                with _held({os.path.dirname(target) for target in self._targets.values()}):
                    self._replace()
        finally:
            self._discard()

    def _new_target(self) -> str:
        return str(self._folders.enter_context(scratch_folder()) / "output")

    def _replace(self) -> None:
        outputs = list(self._made.values())
        if not self.force:
            outputs = [output for output in outputs if not self._is_there(output)]
        for output in outputs:
            output.settle()
        with step:
            self._put(outputs)

    def _put(self, outputs: Sequence[Output]) -> None:
        undo: list[tuple[str | None, Output]] = []
        try:
            for output in outputs:
                undo.append((_second_name(output.target), output))
                if sys.platform == "win32":
                    output.close()
                with _one_line(output.path):
                    os.replace(output.temporary, output.target)
        except BaseException:
            for kept, output in reversed(undo):
                if not os.path.lexists(output.temporary):
                    _put_back(kept, output.target)
            raise
        finally:
            for kept, _ in undo:
                _unlink(kept)

    def _is_there(self, output: Output) -> bool:
        """Whether the target holds the output already. Raises OutputError for another content."""
        if not os.path.lexists(output.target):
            return False
        if not self._repeatable:
            raise OutputError(f"{output.path}: exists already; --force replaces it")
        import filecmp

        with _one_line(output.path):
            same = filecmp.cmp(output.temporary, output.target, shallow=False)
        if not same:
            raise OutputError(
                f"{output.path}: exists already, with another content; --force replaces it"
            )
        return True

    def _discard(self) -> None:
        for output in self._made.values():
            output.discard()
        self._made.clear()
        self._folders.close()


def _print(output: Output) -> None:
    with os.fdopen(os.dup(output.fd), "rb") as file:
        file.seek(0)
        print_bytes(file)


@contextlib.contextmanager
def _held(folders: Iterable[str]) -> Iterator[None]:
    """Hold the folders, so that two runs do not put their outputs in place in turns.

    Whoever holds a folder for longer than a run would is none, and is not waited for.
    """
    held = []
    try:
        for folder in sorted(folders):
            with contextlib.suppress(OSError):
                held.append(os.open(folder, os.O_RDONLY))
                until = time.monotonic() + _PATIENCE
                while lock(held[-1], wait=False) is False and time.monotonic() < until:
                    time.sleep(0.01)
        yield
    finally:
        for fd in held:
            close_quietly(fd)


def _second_name(target: str) -> str | None:
    """Another name for the file that is about to be replaced, to put it back by; None if new."""
    if not os.path.lexists(target):
        return None
    name = _temporary_name(target)
    try:
        os.link(target, name)
    except OSError:  # a file system without links: nothing to put back by
        return ""
    return name


def _put_back(kept: str | None, target: str) -> None:
    with contextlib.suppress(OSError):
        if kept is None:
            os.unlink(target)
        elif kept:
            os.replace(kept, target)


def _unlink(path: str | None) -> None:
    if path:
        with contextlib.suppress(OSError):
            os.unlink(path)


def _temporary_name(target: str) -> str:
    folder, name = os.path.split(target)
    # A name has 255 bytes at most, and ours is longer than the target's.
    short = os.fsdecode(os.fsencode(name)[:200])
    return os.path.join(folder, f".{short}.{os.urandom(6).hex()}.netsurgery-tmp")


def _make_temporary(target: str) -> tuple[str, int]:
    while True:
        name = _temporary_name(target)
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


def _remove_dead(folder: str) -> None:
    """Remove the temporary files in `folder` whose makers are gone."""
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            if _TEMPORARY.fullmatch(name):
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
