"""Where the whole blobs of a picture are put together while its net is run in tiles.

Beside an output they are files, of which a journal says how far they are: whole maps need not fit
the memory, and where the process is killed the next one for the same output goes on with them.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from netsurgery.errors import EngineError, MemoryLimitError, NetsurgeryError, OutputError
from netsurgery.io.cleanup import Undo
from netsurgery.io.closeable import Closeable
from netsurgery.io.folders import make_folder
from netsurgery.io.kept_file import KeptFile, flush, kept_path, map_array
from netsurgery.io.memory import allowed, empty
from netsurgery.io.npy import npy_header
from netsurgery.io.segments import reserve
from netsurgery.io.targets import one_line
from netsurgery.io.terminal import say
from netsurgery.io.wording import argument, listed
from netsurgery.maps.tile_journal import BlobProgress, TileJournal
from netsurgery.net.net import Shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

__all__ = ["TileStore", "in_memory"]

_KIND = np.dtype("<f4")
#: Without an output, maps that may take more than this share of what may be used lie in files.
_SHARE = 4


class TileStore(Closeable):
    """The blobs of one picture, and how many of their rows are done.

    output: the file or folder that is made of them; None for no file that stays. blobs: how many
    they are, which share the memory. resume: go on with what an earlier process, that was ended,
    has left for the same output. note: what became of that. Each file is a .npy, C x H x W, which
    can become an output as it is.
    """

    def __init__(self, output: str | None = None, *, blobs: int = 1, resume: bool = True) -> None:
        # Windows neither renames nor removes a file that is mapped.
        self.output = None if sys.platform == "win32" else output
        self.blobs, self.resume, self.note = blobs, resume, ""
        self.maps: dict[str, Array] = {}
        self._done: dict[str, int] = {}
        self._files: list[KeptFile] = []
        self._journal: TileJournal | None = None
        self._kept: Undo | None = None

    def memory(self, numbers: int) -> int:
        """Bytes of memory that a blob of so many numbers takes here; in a file it takes none."""
        size = numbers * _KIND.itemsize
        most = allowed() // (_SHARE * self.blobs)
        return 0 if self.output is not None or size > most else size

    def begin(self, describe: Callable[[], Mapping[str, str]]) -> None:
        """Start to make what is described so, or go on with it.

        Raises OutputError, also where another process makes the same output.
        """
        if self.output is None:
            return
        what = describe()
        make_folder(os.path.dirname(self.output) or ".")
        journal = TileJournal(kept_path(self.output, "journal"), self.output)
        self._journal = journal
        if journal.earlier is None:
            journal.begin(what)
        elif not self.resume:
            self._begin_again(journal, what, f"{argument('--no-resume')} was given")
        elif changed := [key for key in what if journal.earlier.get(key) != what[key]]:
            self._begin_again(journal, what, f"the {listed(changed, 'and')} changed since")
        elif not self._reopened(journal):
            self._begin_again(journal, what, "their file is not there any more")
        else:
            journal.go_on()

    def _reopened(self, journal: TileJournal) -> bool:
        """Map what an earlier process has done; False where it is not all there."""
        for number, (blob, (shape, rows)) in enumerate(journal.done.items()):
            header = npy_header(shape, _KIND)
            file = self._open(number)
            if file.size != len(header) + prod(shape) * _KIND.itemsize:
                return False
            if os.pread(file.fd, len(header), 0) != header:
                return False
            self.maps[blob] = map_array(file.fd, len(header), (1, *shape), _KIND, file)
            self._done[blob] = rows
        if self._done:
            done = min(rows / shape[1] for shape, rows in journal.done.values())
            self.note = (
                f"went on with what an earlier run had left of {self.output}: {done:.0%} was done"
            )
            self._keep()
        return True

    def _begin_again(self, journal: TileJournal, what: Mapping[str, str], why: str) -> None:
        if journal.done:
            self.note = (
                f"did not go on with what an earlier run had left of {self.output}, since {why}"
            )
        for number in range(len(self._files), len(journal.done)):
            self._open(number)
        self.maps, self._done = {}, {}
        journal.begin(what)  # before the files: it says nothing about other ones
        for file in self._files:
            file.remove()
        self._files = []

    def make(self, blob: str, shape: Shape) -> Array:
        """The array for a whole blob, N x C x H x W; the one that is there already if it has rows.

        Raises OutputError where there is no room on the disk, MemoryLimitError.
        """
        if blob not in self.maps:
            self.maps[blob] = self._new_array(blob, shape)
        return self.maps[blob]

    def _new_array(self, blob: str, shape: Shape) -> Array:
        if self.output is None and self.memory(prod(shape)):
            return in_memory(blob, shape)
        header = npy_header(shape[1:], _KIND)
        size = len(header) + prod(shape) * _KIND.itemsize
        if self.output is None:
            with tempfile.TemporaryFile() as unnamed, one_line(tempfile.gettempdir()):
                _lengthen(unnamed.fileno(), size)
                return map_array(unnamed.fileno(), len(header), shape, _KIND)
        file = self._open(len(self.maps))
        if file.size:  # of a run that did not come to its first row
            file.remove()
            file = self._open(len(self.maps))
        with one_line(self.output):
            try:
                _lengthen(file.fd, size)
                os.pwrite(file.fd, header, 0)
            except OSError:
                self.remove()
                raise
            return map_array(file.fd, len(header), shape, _KIND, file)

    def _open(self, number: int) -> KeptFile:
        assert self.output is not None
        kind = f"tiles-{number + 1}" if number else "tiles"
        self._files.append(KeptFile(kept_path(self.output, kind), self.output))
        return self._files[-1]

    def has(self, ends: Mapping[str, int]) -> bool:
        """Whether each blob's rows are done up to its end."""
        return all(blob in self.maps and self._done.get(blob, 0) >= ends[blob] for blob in ends)

    def add(self, ends: Mapping[str, int]) -> None:
        """Each blob's rows are done up to its end."""
        self._done.update(ends)
        if self._journal is None or not all(self._done.get(blob) for blob in self.maps):
            return
        for array in self.maps.values():
            flush(array)
        self._journal.add(
            {
                blob: BlobProgress(array.shape[1:], self._done[blob])
                for blob, array in self.maps.items()
            }
        )
        self._keep()

    def whole(self) -> dict[str, Array]:
        """The blobs, now that all is done. None can be written to that may become an output."""
        for array in self.maps.values():
            array.flags.writeable = self.output is None
        return dict(self.maps)

    def _keep(self) -> None:
        """From now on something stays where a signal ends the command, which then says so."""
        self._kept = self._kept or Undo(
            lambda: say(f"{self.output}: what is done is kept; the same command goes on with it\n")
        )

    def settle(self, error: NetsurgeryError | None = None) -> None:
        """Remove all files but one that became an output; after an error that `_may_pass`, keep."""
        if error is not None and _may_pass(error):
            self.close()
        else:
            self.remove()

    def remove(self) -> None:
        """Remove the files but for those that became outputs, and the journal."""
        self._forget()
        for file in self._files:
            file.remove()
        if self._journal is not None:
            self._journal.remove()

    def close(self) -> None:
        """Close the files; they stay. May be called again."""
        self._forget()
        for file in self._files:
            file.close()
        if self._journal is not None:
            self._journal.close()

    def _forget(self) -> None:
        if self._kept is not None:
            self._kept.forget()
            self._kept = None


def _lengthen(fd: int, size: int) -> None:
    """Give an empty file its size, also where its blocks cannot be laid out first."""
    reserve(fd, size)
    os.ftruncate(fd, size)


def _may_pass(error: NetsurgeryError) -> bool:
    """Whether the same call may do better another time.

    The disk was full, an engine died, or there was too little memory.
    """
    passing = (EngineError, OutputError, MemoryLimitError)
    return isinstance(error, passing) or isinstance(error.__cause__, MemoryError)


def in_memory(blob: str, shape: Shape) -> Array:
    """`make` of `run_tiles` where whole blobs are kept in memory. Raises MemoryLimitError."""
    return empty(shape, np.float32, f"the map of blob {blob!r}")
