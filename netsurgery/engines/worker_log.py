"""What the worker prints, kept for the moment it dies, and read then for Caffe's own words.

Caffe says why it gives up in a line of glog's, F1120 14:11:04.556421  5977 io.cpp:72] Check
failed: ..., and protobuf says what it could not parse in a line before it.
"""

from __future__ import annotations

import codecs
import contextlib
import re
import signal
import sys
import threading
from typing import IO

from netsurgery.io.terminal import printable

__all__ = ["LastWords", "caffe_words", "gone_because", "how_it_ended", "shortened"]

#: Bytes kept of what was printed, and characters quoted of it in an error.
KEPT = 1 << 18
QUOTED = 600
#: A fatal line of glog's: date and time, thread, then file:line] and the text.
FATAL = re.compile(r"^F\d{4,8} [\d:.]+ +\d+ (?P<place>[^\s:\]]+:\d+)\] ?(?P<text>.*)$")
GLOG_LINE = re.compile(r"^[IWEF]\d{4,8} [\d:.]+ +\d+ \S+\] ")
PROTOBUF = re.compile(r"^\[libprotobuf (?:ERROR|FATAL) [^\]]*\] ?(?P<text>.*)$")
#: What a C++ program prints when an exception ends it.
TERMINATE = re.compile(r"^(?:terminate called|  what\(\):)")


class LastWords:
    """Drains a pipe in a thread, so that its writer never waits, and keeps the end of it."""

    def __init__(self, pipe: IO[bytes], *, live: bool) -> None:
        """`live`: pass everything on to standard error as it comes."""
        self._pipe, self._live = pipe, live
        self._kept = bytearray()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._drain, name="caffe-output", daemon=True)
        self._thread.start()

    def _drain(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        with self._pipe as pipe:
            while part := pipe.read1(1 << 16):  # type: ignore[attr-defined]
                with self._lock:
                    self._kept += part
                    del self._kept[:-KEPT]
                self._show(decoder.decode(part))
        self._show(decoder.decode(b"", True))

    def _show(self, text: str) -> None:
        """Names are in it, as the net has them."""
        if self._live and text:
            with contextlib.suppress(OSError, ValueError, AttributeError):  # closed
                sys.stderr.write(printable(text))
                sys.stderr.flush()

    def forget(self) -> None:
        """Drop what was printed so far."""
        with self._lock:
            self._kept.clear()

    def finish(self) -> None:
        """Wait for the end of the pipe, but not for long: a stray grandchild may hold it."""
        self._thread.join(timeout=2.0)

    def text(self) -> str:
        """What was printed since `forget`, or the end of it."""
        with self._lock:
            return self._kept.decode("utf-8", "replace")


def caffe_words(printed: str) -> str:
    """Why Caffe gave up, in its own words and one line: "Check failed: ... (net.cpp:53)".

    Without a fatal line it is the C++ exception that ended the process, else the last line
    printed, else "".
    """
    lines = printed.splitlines()
    for number, line in enumerate(lines):
        if fatal := FATAL.match(line):
            parsing = [m["text"] for early in lines[:number] if (m := PROTOBUF.match(early))]
            said = " ".join([fatal["text"], *following(lines[number + 1 :])])
            return shortened("; ".join([f"{said.strip()} ({fatal['place']})", *parsing]))
    thrown = [line.strip() for line in lines if TERMINATE.match(line)]
    return shortened(" ".join(thrown) or next((s for s in reversed(lines) if s.strip()), ""))


def following(lines: list[str]) -> list[str]:
    """The further lines of a fatal message: all up to the stack trace or another message."""
    rest = []
    for line in lines:
        if line.startswith("***") or GLOG_LINE.match(line):
            break
        rest.append(line.strip())
    return rest


def shortened(words: str) -> str:
    """One line of the words, and not more than can be read of it."""
    words = " ".join(words.split())
    return words if len(words) <= QUOTED else words[:QUOTED].rstrip() + " ..."


def gone_because(status: int, doing: str, printed: str) -> str:
    """The line for a process that ended with `status` (as subprocess gives it) while `doing`."""
    words = caffe_words(printed)
    if status in (-signal.SIGABRT, 128 + signal.SIGABRT) and words:
        return f"Caffe gave up {doing}: {words}"
    ending = f": {words}" if words else ""
    return f"Caffe's process {how_it_ended(status)} while {doing}{ending}"


def how_it_ended(status: int) -> str:
    """ "was killed by SIGSEGV", or "ended with status 1"; `status` as subprocess gives it."""
    # A launcher written in shell reports a signal as 128 + its number.
    number = -status if status < 0 else status - 128
    if number in list(signal.Signals):
        name = signal.Signals(number).name
    elif status < 0:
        name = f"signal {number}"
    else:
        return f"ended with status {status}"
    hint = " (out of memory, perhaps)" if number == signal.SIGKILL else ""
    return f"was killed by {name}{hint}"
