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
from typing import IO, BinaryIO

from netsurgery.errors import OutputError

__all__ = [
    "STDIN",
    "cell",
    "check_no_terminal",
    "joined",
    "own_standard_error",
    "print_bytes",
    "print_text",
    "printable",
    "say",
    "shortened",
    "unheard",
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
#: Held by the thread that leads it elsewhere.
_leading = threading.Lock()
#: Where standard error is while descriptor 2 leads elsewhere.
_moved: list[int] = []


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
    os.write(_moved[-1] if _moved else 2, printable(text).encode("utf-8", "backslashreplace"))


def check_no_terminal(what: str) -> None:
    """Refuse a terminal as standard output for `what`, which is not text. Raises OutputError."""
    if _on_terminal():
        raise OutputError(
            f"standard output is a terminal, and {what} is not text: name a file, or redirect it "
            "(> FILE, | PROGRAM)"
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


@contextlib.contextmanager
def unheard(*, shown: bool = False) -> Iterator[None]:
    """Around a library in C that prints to descriptor 2 by itself: drop what it prints.

    shown: it is written, escaped, when the library is done. Does nothing in a program of others,
    whose descriptor it is, nor where there are no descriptors left.
    """
    with contextlib.ExitStack() as stack:
        if _owned and _leading.acquire(blocking=False):
            stack.callback(_leading.release)
            with contextlib.suppress(OSError):
                stack.enter_context(_led_away(shown))
        yield


@contextlib.contextmanager
def _led_away(shown: bool) -> Iterator[None]:
    with _sink(shown) as file:
        _moved.append(os.dup(2))
        try:
            os.dup2(file.fileno(), 2)
            yield
        finally:
            os.dup2(_moved[-1], 2)
            os.close(_moved.pop())
            if shown:
                file.seek(max(0, file.tell() - _SHOWN))
                _show(file.read())


def _sink(shown: bool) -> IO[bytes]:
    """Where to lead it: a file to read again, or nowhere."""
    if not shown:
        return open(os.devnull, "w+b")
    import tempfile

    return tempfile.TemporaryFile()


def _show(printed: bytes) -> None:
    if printed and sys.stderr is not None:
        text = re.sub(_COLOR, "", printed.decode("utf-8", "surrogateescape"))
        sys.stderr.write(printable(text))
        sys.stderr.flush()
