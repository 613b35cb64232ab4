"""Where the ``netsurgery`` command and ``python -m netsurgery`` begin, and end by a signal.

What the command needs of the process (open standard streams, handlers) is seen to before the first
import of size. The library does none of it.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
from types import FrameType

from netsurgery.io.cleanup import end, end_after_step
from netsurgery.io.mapping import guard, shortened
from netsurgery.io.terminal import printable, say

__all__ = ["main"]

#: What is sent to end a command: kill, a closed terminal, Ctrl-C, Ctrl-\, a limit on its time; and
#: what ends a process that does not expect it, as batch systems send SIGUSR1 before they kill.
_SIGNALS = (
    *("SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT", "SIGXCPU"),
    *("SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGPWR", "SIGIO"),
)


def main() -> None:
    """Run the command line and exit with its code; for a signal that is 128 + its number."""
    try:
        open_standard_streams()
        end_by_signals()
        guard(end_by_lost_files)
        from netsurgery.cli import main as command_line
    except (ImportError, OSError) as error:  # a broken installation, no descriptors
        sys.exit(printable(f"error: netsurgery cannot start: {error}"))
    command_line()


def open_standard_streams() -> None:
    """Lead those of descriptors 0 to 2 that are closed nowhere.

    Else a file of ours gets the number, and whatever a library in C prints goes into it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def end_by_signals() -> None:
    """Have signals end the process as `netsurgery.io.cleanup` has it.

    Those that were ignored when it began (nohup, a shell's &) stay so. Python runs a handler when
    its main thread is back from whatever it does in C, a net's run perhaps; so a second thread
    hears of the signal too, and whichever comes first sees to the end.
    """
    numbers = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    numbers = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in numbers:
        signal.signal(number, _handle)
    try:
        _thread.start_new_thread(_listen, (reader,))  # whose start is not waited for
    except RuntimeError:  # no more threads: the handler alone has to do
        signal.set_wakeup_fd(-1)


def end_by_lost_files() -> None:
    """Have SIGBUS, by which a mapped file that became shorter shows, be an error like others.

    The thread that meets it cannot go on, so that no handler of Python's would ever run: it is
    called from C, there and then. Whatever the thread was at, it was reading numbers.
    """
    import ctypes

    try:
        install = ctypes.CDLL(None).signal
    except (AttributeError, OSError, TypeError):  # not a system of this kind
        return
    _called_from_c.append(ctypes.CFUNCTYPE(None, ctypes.c_int)(_lost))
    install(signal.SIGBUS, _called_from_c[0])


#: Kept, since C holds no references.
_called_from_c: list[object] = []


#: Several threads meet a lost file at once: held for ever by the first, which sees to the end.
_losing = _thread.allocate_lock()


def _lost(number: int) -> None:
    _losing.acquire()
    try:
        say(f"error: {shortened()}\n")
    finally:
        end(1)


def _handle(number: int, frame: FrameType | None) -> None:
    end_after_step(128 + number)


def _listen(reader: int) -> None:
    end(128 + os.read(reader, 1)[0])


if __name__ == "__main__":
    main()
