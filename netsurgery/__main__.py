"""Where the ``netsurgery`` command and ``python -m netsurgery`` begin, and end by a signal.

What the command needs of the process (open standard streams, handlers) is seen to before the first
import of size. The library does none of it.

Here itself nothing is imported but what Python has imported already: Ctrl-C before `main` has begun
prints a traceback of Python's.
"""

from __future__ import annotations

import _thread
import os
import sys

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
        die_of_interrupts()
        open_standard_streams()
        end_by_signals()
        from netsurgery.io.mapping import guard

        guard(end_by_lost_files)
        from netsurgery.cli import main as command_line
    except KeyboardInterrupt:  # before `die_of_interrupts` was done
        sys.exit(130)
    except (ImportError, OSError) as error:  # a broken installation, no descriptors
        try:
            os.write(2, f"error: netsurgery cannot start: {ascii(str(error))[1:-1]}\n".encode())
        finally:
            # Python's own way to end ends threads, by a library that takes a descriptor to load.
            os._exit(1)
    command_line()


def die_of_interrupts() -> None:
    """Have Ctrl-C end the process as it ends those that know nothing of it.

    So it is until `end_by_signals` is ready: there is nothing to undo, and Python would raise
    KeyboardInterrupt in the middle of an import.
    """
    import signal

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


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
    import signal

    from netsurgery.io.cleanup import end, end_after_step

    numbers = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    numbers = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in numbers:
        signal.signal(number, lambda number, frame: end_after_step(128 + number))
    try:
        # Its start is not waited for.
        _thread.start_new_thread(lambda: end(128 + os.read(reader, 1)[0]), ())
    except RuntimeError:  # no more threads: the handler alone has to do
        signal.set_wakeup_fd(-1)


def end_by_lost_files() -> None:
    """Have SIGBUS, by which a mapped file that became shorter shows, be an error like others.

    The thread that meets it cannot go on, so that no handler of Python's would ever run: it is
    called from C, there and then. Whatever the thread was at, it was reading numbers.
    """
    import ctypes
    import signal

    from netsurgery.io.cleanup import end
    from netsurgery.io.mapping import shortened
    from netsurgery.io.terminal import say

    # Several threads meet a lost file at once: held for ever by the first, which sees to the end.
    losing = _thread.allocate_lock()

    def lost(number: int) -> None:
        losing.acquire()
        try:
            say(f"error: {shortened()}\n")
        finally:
            end(1)

    try:
        install = ctypes.CDLL(None).signal
    except (AttributeError, OSError, TypeError):  # not a system of this kind
        return
    _called_from_c.append(ctypes.CFUNCTYPE(None, ctypes.c_int)(lost))
    install(signal.SIGBUS, _called_from_c[0])


#: Kept, since C holds no references.
_called_from_c: list[object] = []


if __name__ == "__main__":
    main()
