"""How files reach a worker that may not open them: Landlock lets it read and write next to nothing.

It has two files without a name, which /proc/self/fd names for it. The text of a net goes into the
one that arrays pass through; weights that were not named when the worker was confined, and a
caffemodel that Caffe saves, go through the relay. Where the worker is not so confined it is given
the paths themselves.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from netsurgery.errors import EngineFailed
from netsurgery.formats.weights import is_hdf5_name
from netsurgery.io.scratch import scratch_folder

__all__ = ["Handover"]


class Handover:
    """Lends the worker files, each under a path that it can open while the context lasts."""

    def __init__(
        self,
        shared: FileIO,
        relay: FileIO,
        files: Sequence[Path],
        outputs: Sequence[Path],
        folders: ExitStack,
        *,
        reads: bool,
        writes: bool,
    ) -> None:
        """`shared` and `relay` are open in the worker, too, as the same descriptors.

        files, outputs: those it may read, and write, by name. reads, writes: whether any.
        folders: gets a folder that is to go when the worker does.
        """
        self._shared, self._relay = shared, relay
        self._granted, self._outputs = _identities(files), _identities(outputs)
        self._reads, self._writes = reads, writes
        self._name: Path | None = None
        self._folders = folders

    @contextmanager
    def text(self, text: bytes, name: str) -> Iterator[Path]:
        """The file that Caffe is to read this prototxt from; nobody else can change what is there.

        name: what messages call it.
        """
        if _path(self._shared).exists():
            yield _put(self._shared, io.BytesIO(text), name)
            return
        with scratch_folder() as folder:
            copy = folder / "net.prototxt"
            copy.write_bytes(text)
            yield copy

    @contextmanager
    def weights(self, path: Path | None) -> Iterator[Path | None]:
        """The file that Caffe is to read weights from. Raises EngineFailed."""
        if path is None or self._reads or _identity(path) in self._granted:
            yield path
            return
        with _emptied(self._relay):
            with _opened(path) as source:
                copied = _put(self._relay, source, path)
            yield self._named(path) if is_hdf5_name(path) else copied

    def _named(self, path: Path) -> Path:
        """The relay under a name: HDF5 opens nothing without, and Caffe knows HDF5 by its ending.

        A file that had no name can be given one once, so it keeps it. Raises EngineFailed.
        """
        if self._name is None:
            try:
                folder = self._folders.enter_context(scratch_folder())
                # With a descriptor, though it is of no use, the link in /proc is followed.
                os.link(_path(self._relay), folder / "weights.h5", src_dir_fd=self._relay.fileno())
            except OSError as error:
                raise EngineFailed(
                    f"{path}: cannot be handed to Caffe, which was confined to other weights "
                    f"before: {error.strerror}; open another engine for it"
                ) from None
            self._name = folder / "weights.h5"
        return self._name

    @contextmanager
    def saved(self, path: Path) -> Iterator[Path]:
        """The file that Caffe is to save to; what it saved is at `path` afterwards."""
        if self._writes or _identity(path) in self._outputs:
            yield path
            return
        with _emptied(self._relay):
            yield _path(self._relay)
            try:
                with open(path, "wb") as target:
                    self._relay.seek(0)
                    shutil.copyfileobj(self._relay, target, 1 << 20)
            except OSError as error:
                raise EngineFailed(f"{path}: {error.strerror}") from None


@contextmanager
def _emptied(file: FileIO) -> Iterator[None]:
    """Keep what is put into the file no longer than the context."""
    try:
        yield
    finally:
        if not file.closed:  # as it is once the worker is gone
            file.truncate(0)


def _path(file: FileIO) -> Path:
    return Path(f"/proc/self/fd/{file.fileno()}")


def _identities(files: Sequence[Path]) -> set[tuple[int, int]]:
    return {identity for file in files if (identity := _identity(file))}


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _put(file: FileIO, source: BinaryIO, name: Path | str) -> Path:
    """Make all of `source` the whole content of `file`; returns its path. Raises EngineFailed."""
    try:
        file.truncate(0)
        file.seek(0)
        with open(file.fileno(), "wb", closefd=False) as target:
            shutil.copyfileobj(source, target, 1 << 20)
    except OSError as error:
        raise EngineFailed(f"{name}: cannot be handed to Caffe: {error.strerror}") from None
    return _path(file)


def _opened(path: Path) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise EngineFailed(f"{path}: cannot be handed to Caffe: {error.strerror}") from None
