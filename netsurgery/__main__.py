"""Where the ``netsurgery`` command and ``python -m netsurgery`` begin, and end by a signal.

What the command needs of the process (open standard streams, handlers) is seen to before the first
import of size. The library does none of it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType

from netsurgery.io.cleanup import end, end_after_step

__all__ = ["main"]

#: What is sent to end a command: kill, a closed terminal, Ctrl-C, Ctrl-\, a limit on its time.
_SIGNALS = ("SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT", "SIGXCPU")


def main() -> None:
    """Run the command line and exit with its code; for a signal that is 128 + its number."""
    open_standard_streams()
    end_by_signals()
    try:
        from netsurgery.cli import main as command_line

        command_line()
    except KeyboardInterrupt:
        sys.exit(130)


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
        threading.Thread(target=_listen, args=(reader,), name="signals", daemon=True).start()
    except RuntimeError:  # no more threads: the handler alone has to do
        signal.set_wakeup_fd(-1)


def _handle(number: int, frame: FrameType | None) -> None:
    end_after_step(128 + number)


def _listen(reader: int) -> None:
    end(128 + os.read(reader, 1)[0])


if __name__ == "__main__":
    main()
