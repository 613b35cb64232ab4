"""Standard output and error of the command line.

Errors name the stream. Nothing written to them can control a terminal, Python's own warnings and
tracebacks included; only `netsurgery.cli.printing` can bypass that.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import TYPE_CHECKING, Any, TextIO

from netsurgery.io.terminal import printable, write_error

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["STDOUT", "give_up", "name_streams"]

#: The name of standard output in an OSError.
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
    """Standard error. What cannot be written is dropped, except that a broken pipe is an error.

    It is written past `unheard`, in which another thread may be.
    """

    def write(self, data: Buffer, /) -> int:
        try:
            return write_error(data)
        except BrokenPipeError:
            raise
        except OSError:
            # All of it, or BufferedWriter would try the rest again.
            return memoryview(data).nbytes


class _Text(io.TextIOWrapper):
    """A text stream that escapes control characters."""

    def write(self, text: str, /) -> int:
        self.steer(printable(text))
        return len(text)

    def steer(self, text: str) -> None:
        """Write unescaped text that is known to be printable, or moves the cursor."""
        super().write(text)


def name_streams() -> None:
    """Replace Python's standard streams, except those that were closed at the start (None).

    A character that the terminal's encoding lacks is escaped.
    """
    for name, kind in (("stdout", _Output), ("stderr", _Error)):
        stream: Any = getattr(sys, name)
        if stream is not None:
            # Python's own stream still has the descriptor.
            raw = kind(stream.fileno(), "w", closefd=False)
            wrapper = _Text(
                io.BufferedWriter(raw),
                encoding=stream.encoding,
                errors="backslashreplace",
                line_buffering=stream.line_buffering,
            )
            setattr(sys, name, wrapper)


def give_up(stream: TextIO | None) -> None:
    """Redirect a stream to nowhere, since Python flushes it once more at exit."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())  # type: ignore[union-attr]
        os.close(nowhere)
