"""Child processes: each leads a session of its own, and is killed with all that it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from typing import Any

from netsurgery.io.cleanup import Undo, step

__all__ = ["kill", "kill_others", "run", "start", "wait_for_end"]


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
    """Kill the process group that `pid`, not yet reaped, leads, and wait until `pid` is dead."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    wait_for_end(pid)


def kill_others() -> None:
    """Kill what this process, which leads its process group, has started in it, and they again."""
    own = os.getpid()
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if name.isdecimal() and int(name) != own and os.getpgid(int(name)) == own:
                os.kill(int(name), signal.SIGKILL)


def wait_for_end(pid: int, seconds: float = 5.0) -> None:
    """Wait until the process has ended, without reaping it: its number and group stay ours."""
    deadline = time.monotonic() + seconds
    flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
    with contextlib.suppress(ChildProcessError):  # reaped already
        while os.waitid(os.P_PID, pid, flags) is None and time.monotonic() < deadline:
            time.sleep(0.005)
