"""Standard input as a file, since weights are mapped, and engines open them by name."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from netsurgery.errors import FormatError
from netsurgery.io.memory import Claim
from netsurgery.io.scratch import scratch_folder
from netsurgery.io.sniff import HDF5_SIGNATURE
from netsurgery.io.terminal import STDIN

__all__ = ["stdin_as_file"]

_CHUNK = 1 << 20


@contextmanager
def stdin_as_file(name: str, most: int) -> Iterator[Path]:
    """All of standard input in a private file of that name, gone with the context.

    HDF5 gets the ending .h5 as well. At most `most` + 1 bytes are read, for the file's reader to
    refuse. They count as memory, which is where many systems keep temporary files: input without
    end is refused. Raises FormatError, MemoryLimitError and OutputError.
    """
    if sys.stdin is None:  # it was closed at the start
        raise FormatError(f"{STDIN}: is closed")
    with scratch_folder() as folder, Claim(0, f"{STDIN}: keeping it") as claim:
        path = folder / name
        try:
            with path.open("wb") as file:
                while chunk := sys.stdin.buffer.read(min(_CHUNK, most + 1 - claim.count)):
                    claim.add(len(chunk))
                    file.write(chunk)
            with path.open("rb") as file:
                hdf5 = file.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE
        except OSError as error:
            raise FormatError(f"{STDIN}: {error.strerror or error}") from error
        yield path.rename(path.with_name(f"{name}.h5")) if hdf5 else path
