"""Standard output and error as the command line writes to them.

Their errors say which it was, and whatever writes to them, Python's own warnings and tracebacks
too, cannot steer a terminal: `netsurgery.cli.printing` alone knows the way past that.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import TYPE_CHECKING, Any, TextIO

from netsurgery.io.terminal import printable

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["STDOUT", "give_up", "name_streams"]

#: The name of standard output in an error of the system's.
STDOUT = "standard output"


class _Output(io.FileIO):
    """Standard output, named in its errors."""

    def write(self, data: Buffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            error.filename = STDOUT
            raise


class _Error(io.FileIO):
    """Standard error. What it has no room for is lost; a reader that went away is an error."""

    def write(self, data: Buffer, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError:
            return memoryview(data).nbytes


class _Text(io.TextIOWrapper):
    """Text on such a stream."""

    def write(self, text: str, /) -> int:
        self.steer(printable(text))
        return len(text)

    def steer(self, text: str) -> None:
        """Write as it is what is known to be printable, or is to move the cursor."""
        super().write(text)


def name_streams() -> None:
    """Put such streams in place of Python's, which are None where they were closed at the start.

    A character that the terminal's encoding lacks is escaped, not an error.
    """
    for name, kind in (("stdout", _Output), ("stderr", _Error)):
        stream: Any = getattr(sys, name)
        if stream is not None:
            raw = kind(stream.fileno(), "w", closefd=False)
            wrapper = _Text(
                io.BufferedWriter(raw),
                encoding=stream.encoding,
                errors="backslashreplace",
                line_buffering=stream.line_buffering,
            )
            setattr(sys, name, wrapper)


def give_up(stream: TextIO | None) -> None:
    """Python flushes the standard streams once more at exit; give one of them somewhere to go."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())  # type: ignore[union-attr]
        os.close(nowhere)
