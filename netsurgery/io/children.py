"""Child processes: each leads a session of its own, and is killed with all that it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from typing import Any

from netsurgery.io.cleanup import Undo, step

__all__ = ["kill", "kill_others", "run", "start", "wait_for_end"]

#: Where /proc/PID/stat has the number of threads, counted from behind the process's state.
_THREADS = 16


def start(command: Sequence[str], **options: Any) -> tuple[subprocess.Popen[Any], Undo]:
    """Start a process, as `subprocess.Popen` does, and say how to kill it. Raises OSError."""
    with step:
        process = subprocess.Popen(command, start_new_session=True, **options)
        return process, Undo(lambda: kill(process.pid), early=True)


def run(
    command: Sequence[str], *, timeout: float | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with nothing to read, and catch what it prints.

    Whatever it started is gone then too. Raises OSError, and subprocess.TimeoutExpired.
    """
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process, undo = start(command, text=True, errors="replace", **pipes, **options)
    with process:
        try:
            out, err = process.communicate(timeout=timeout)
        finally:
            undo()
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def kill(pid: int) -> None:
    """Kill the session that `pid`, not yet reaped, leads, and wait until all of it is dead."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    _kill_members(pid)
    wait_for_end(pid)


def kill_others() -> None:
    """Kill what this process, which leads its session, has started in it, and they again."""
    _kill_members(os.getpid(), but=os.getpid())


def _kill_members(session: int, but: int = 0, seconds: float = 5.0) -> None:
    """Kill all of a session `but` one, and wait until they are dead: what dies may still write.

    A session has other process groups than its leader's: each of Ray's workers, say, leads one.
    """
    deadline = time.monotonic() + seconds
    while others := [pid for pid in _members(session) if pid != but]:
        for pid in others:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() >= deadline:
            break
        time.sleep(0.005)


def _members(session: int) -> Iterator[int]:
    """The processes of a session that are not dead, where the system has them in /proc."""
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        with contextlib.suppress(OSError):
            if name.isdecimal() and os.getsid(int(name)) == session and not _is_dead(int(name)):
                yield int(name)


def _is_dead(pid: int) -> bool:
    """Whether all its threads have ended; it stays until it is waited for. Raises OSError."""
    with open(f"/proc/{pid}/stat", "rb") as stat:
        state, *numbers = stat.read().rpartition(b")")[2].split()
    return state in b"ZX" and int(numbers[_THREADS]) <= 1


def wait_for_end(pid: int, seconds: float = 5.0) -> None:
    """Wait until the process has ended, without reaping it: its number and group stay ours."""
    deadline = time.monotonic() + seconds
    flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
    with contextlib.suppress(ChildProcessError):  # reaped already
        while os.waitid(os.P_PID, pid, flags) is None and time.monotonic() < deadline:
            time.sleep(0.005)
