"""What may reach a terminal: text that cannot steer it, and nothing that a library in C prints.

Control characters, those that turn the direction of text round, invisible ones and bytes that are
no UTF-8 are written as escapes, by whoever prints, at the moment of printing. Python's own streams
do it once more where the command runs (`netsurgery.cli.streams`), for whatever writes to them.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import IO, TYPE_CHECKING, BinaryIO

from netsurgery.errors import OutputError

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = [
    "STDIN",
    "cell",
    "check_no_terminal",
    "joined",
    "no_warnings",
    "own_standard_error",
    "print_bytes",
    "print_text",
    "printable",
    "say",
    "shortened",
    "unheard",
    "write_error",
]

#: What messages call standard input.
STDIN = "<stdin>"

#: How many characters a line has at most, before escapes, and how many of a list are shown.
LONGEST, _LISTED = 1500, 4
#: Accents and the like that one letter may carry: more of them flow over the lines around.
_MARKS = 4
#: Bytes shown of what a library printed.
_SHOWN = 1 << 18
#: What libraries put around their own words.
_COLOR = r"\x1b\[[\d;]*m"

#: Whether descriptor 2 is ours: it is in the command, in a program of others it is not.
_owned = False


def printable(text: str) -> str:
    """`text` with all that could steer a terminal escaped, but for newline and tab."""
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    import unicodedata

    escaped, marks = [], 0
    for char in text:
        marks = marks + 1 if unicodedata.category(char).startswith("M") else 0
        harmless = char in "\n\t" or (char.isprintable() and marks <= _MARKS)
        escaped.append(char if harmless else _escaped(char))
    return "".join(escaped)


def shortened(text: str, most: int) -> str:
    """`text`, or its beginning and its end where it is longer than `most`.

    >>> shortened("inception_4a/output", 12)
    'incept...put'
    """
    if len(text) <= most:
        return text
    if most <= 3:
        return text[:most]
    end = (most - 3) // 3
    return f"{text[: most - end - 3]}...{text[len(text) - end :]}"


def cell(text: str, most: int = LONGEST) -> str:
    """`text` on one line, not endless, with what could steer a terminal escaped."""
    return printable(shortened(text, most)).replace("\n", "\\n").replace("\t", "\\t")


def joined(parts: Sequence[str]) -> str:
    """The parts with commas between; of many the first few, and how many more.

    >>> joined(["a", "b", "c", "d", "e", "f"])
    'a, b, c, d, 2 more'
    """
    if len(parts) > _LISTED + 1:
        return f"{', '.join(parts[:_LISTED])}, {len(parts) - _LISTED} more"
    return ", ".join(parts)


def _escaped(char: str) -> str:
    if 0xDC80 <= ord(char) < 0xDD00:  # a byte that was not UTF-8
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


def say(text: str) -> None:
    """Write to standard error past Python's stream, which a thread that was stopped may hold."""
    os.write(_away.error, printable(text).encode("utf-8", "backslashreplace"))


def write_error(content: Buffer) -> int:
    """Write to standard error, wherever a thread has led descriptor 2; as `os.write`."""
    with _away.lock:  # or it may be back, and the copy closed, in between
        return os.write(_away.error, content)


def check_no_terminal() -> None:
    """Refuse a terminal as standard output for what is not text. Raises OutputError."""
    if _on_terminal():
        raise OutputError(
            "standard output is a terminal, and what is written is not text: name a file, or "
            "redirect it (> FILE, | PROGRAM)"
        )


def _on_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()


def print_bytes(content: BinaryIO) -> None:
    """Copy `content` to standard output. Raises OutputError where that was closed at the start."""
    import shutil

    if sys.stdout is None:
        raise OutputError("standard output is closed")
    sys.stdout.flush()
    shutil.copyfileobj(content, sys.stdout.buffer, 1 << 20)
    sys.stdout.buffer.flush()


def print_text(content: bytes) -> None:
    """The same for text; on a terminal control characters are escaped. Raises OutputError."""
    if _on_terminal():
        sys.stdout.write(printable(content.decode("utf-8", "surrogateescape")))
        sys.stdout.flush()
    else:
        print_bytes(io.BytesIO(content))


def own_standard_error() -> None:
    """Let `unheard` redirect descriptor 2 from now on."""
    global _owned
    _owned = True


class _Away:
    """Descriptor 2, led elsewhere from when the first thread wants that until the last is done."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.count = 0
        #: Where standard error is.
        self.error = 2
        self.sink: IO[bytes] | None = None

    def lead(self, shown: bool) -> None:
        """One more thread wants it; `shown`, what is printed from now on is kept."""
        with self.lock:
            # A file to read again, or nowhere.
            if self.count == 0 or (shown and self.sink is None):
                self._to_file() if shown else self._to_nowhere()
            self.count += 1

    def _to_file(self) -> None:
        import tempfile

        with contextlib.ExitStack() as stack:
            sink = stack.enter_context(tempfile.TemporaryFile())
            self._to(sink.fileno())
            self.sink = sink
            stack.pop_all()

    def _to_nowhere(self) -> None:
        with open(os.devnull, "wb") as nowhere:
            self._to(nowhere.fileno())

    def _to(self, descriptor: int) -> None:
        if self.count == 0:
            self.error = os.dup(2)
        os.dup2(descriptor, 2)

    def back(self) -> None:
        """One thread is done; with the last it is as before, and what was kept is shown."""
        with self.lock:
            self.count -= 1
            if self.count:
                return
            copy, self.error = self.error, 2
            os.dup2(copy, 2)
            os.close(copy)
            sink, self.sink = self.sink, None
        if sink is not None:
            with sink:
                sink.seek(max(0, sink.tell() - _SHOWN))
                _show(sink.read())


_away = _Away()


@contextlib.contextmanager
def unheard(*, shown: bool = False) -> Iterator[None]:
    """Around a library in C that prints to descriptor 2 by itself: drop what it prints.

    shown: it is written, escaped, when the library is done. Does nothing in a program of others,
    whose descriptor it is, nor where there are no descriptors left. Several threads may be in it.
    """
    led = False
    if _owned:
        with contextlib.suppress(OSError):
            _away.lead(shown)
            led = True
    try:
        yield
    finally:
        if led:
            _away.back()


class _Ignoring:
    """Warnings are ignored from when the first thread wants that until the last is done.

    Of two threads in `warnings.catch_warnings`, which keeps the process's filters and puts them
    back, the second to enter puts back what the first has changed.
    """

    def __init__(self) -> None:
        self.lock, self.count = threading.Lock(), 0
        self.stack = contextlib.ExitStack()

    def __enter__(self) -> None:
        import warnings

        with self.lock:
            if self.count == 0:
                self.stack.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")
            self.count += 1

    def __exit__(self, *error: object) -> None:
        with self.lock:
            self.count -= 1
            if self.count == 0:
                self.stack.close()


#: Around what draws warnings of Python's that mean nothing here; several threads may be in it.
no_warnings = _Ignoring()


def _show(printed: bytes) -> None:
    if printed and sys.stderr is not None:
        text = re.sub(_COLOR, "", printed.decode("utf-8", "surrogateescape"))
        sys.stderr.write(printable(text))
        sys.stderr.flush()
