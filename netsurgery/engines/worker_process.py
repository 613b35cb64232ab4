"""The worker's process: starting it, asking it, and saying how it died.

The other end is caffe_worker.py; caffe_channel.py describes the messages. Whatever goes wrong there
(a failed CHECK, a crash, a hang, an answer that makes no sense) becomes one EngineError here, and
then the process is gone with all its children: it leads a session of its own, which is killed
whole. Nothing it uses has a name in the file system but, while it starts, the folder it starts in;
so nothing else is left behind, even when either side is killed outright.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from io import FileIO
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netsurgery.engines.caffe_channel import CHUNK, HEADER, MAGIC
from netsurgery.engines.probing import guest_environment
from netsurgery.engines.worker_log import LastWords, gone_because, shortened
from netsurgery.errors import (
    EngineError,
    EngineFailed,
    EngineMissing,
    EngineTimeout,
    OutputError,
    SurgeryError,
)
from netsurgery.io.children import start, wait_for_end
from netsurgery.io.cleanup import Undo
from netsurgery.io.memory import Claim
from netsurgery.io.scratch import scratch_folder
from netsurgery.io.wording import argument

if TYPE_CHECKING:
    from netsurgery.engines.contract import Array, EngineOptions, Shape

__all__ = ["WORKER", "WorkerProcess", "wire_path", "wire_text"]

WORKER = os.path.join(os.path.dirname(os.path.realpath(__file__)), "caffe_worker.py")
#: No answer is longer: it holds names and shapes, never values.
LONGEST_ANSWER = 1 << 26
#: Bytes that a byte of an answer may take once it is parsed: lists of nothing.
PARSED = 40
KINDS = {"failed": EngineFailed, "missing": EngineMissing, "surgery": SurgeryError}


class WorkerProcess:
    """A running worker. Requests are made one at a time, from one thread at a time."""

    def __init__(self, python: str, options: EngineOptions) -> None:
        """Start caffe_worker.py under the interpreter `python`, an absolute path.

        Raises EngineMissing if `python` cannot be run.
        """
        self.python = python
        self._last_id = 0
        self._why_gone: str | None = None
        env = environment(options)
        #: Folders that go when the process does.
        self.folders = contextlib.ExitStack()
        #: The folder that the worker is started in; None where there is no place for one.
        self.scratch: str | None = None
        with contextlib.suppress(OutputError):
            self.scratch = str(self.folders.enter_context(scratch_folder()))
        if self.scratch and "writes" not in options.allow:
            env["TMPDIR"] = self.scratch
        self._shared, self._relay = shared_file(), relay_file()
        self._control, theirs = socket.socketpair()
        # The kernel's death signal is sent when the *thread* that started the process ends.
        with_parent = threading.current_thread() is threading.main_thread()
        files = (theirs.fileno(), self._shared.fileno(), self._relay.fileno())
        command = [self.python, WORKER, *map(str, files), str(int(with_parent))]
        try:
            self._process, undo = start(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=self.scratch or "/",
                env=env,
                pass_fds=files,
            )
        except OSError as error:
            self._control.close()
            for file in self.files:
                file.close()
            self.remove_scratch()
            raise EngineMissing(f"cannot run {self.python}: {error.strerror}") from None
        finally:
            theirs.close()
        assert self._process.stdout is not None
        self._words = LastWords(self._process.stdout, live=options.verbose)
        # Also runs when this object is forgotten and when the interpreter exits.
        self._end = weakref.finalize(
            self, end, self._process, self._control, self.files, self.folders, self._words, undo,
            os.getpid(),
        )  # fmt: skip

    def remove_scratch(self) -> None:
        """Remove the folder that the worker was started in: where it works is then no place."""
        self.folders.close()

    @property
    def files(self) -> tuple[FileIO, FileIO]:
        """What the worker has by the same descriptors: the file for arrays, and the relay."""
        return self._shared, self._relay

    @property
    def pid(self) -> int:
        """The process, which also leads its process group and session."""
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """How the process ended, as subprocess gives it; None while it runs."""
        return self._process.returncode

    @property
    def alive(self) -> bool:
        """False once the process was closed or found dead."""
        return self._why_gone is None

    def check_alive(self) -> None:
        """Raise EngineFailed once the process was closed or found dead."""
        if self._why_gone is not None:
            raise EngineFailed(f"Caffe is not running any more: {self._why_gone}")

    def request(self, op: str, doing: str, timeout: float, **fields: Any) -> dict[str, Any]:
        """Ask for `op` and return the result. `doing` says what it is for: "loading net.prototxt".

        Raises EngineFailed when Caffe refuses or dies, EngineTimeout after `timeout` seconds,
        SurgeryError and EngineMissing when the worker says so.
        """
        self.check_alive()
        self._last_id += 1
        self._words.forget()
        try:
            with self.sense(doing):
                self._send({"id": self._last_id, "op": op, **fields}, timeout)
                answer = self._receive(timeout)
                result, error = self._opened(answer)
        except EngineFailed:
            raise
        except TimeoutError:
            self._stop("it took too long and was stopped")
            raise EngineTimeout(
                f"Caffe did not finish {doing} in {timeout:g} s and was stopped; "
                f"{argument('--timeout')} gives it longer"
            ) from None
        except (EOFError, ConnectionError):
            raise self._died(doing) from None
        except BaseException:
            # Ctrl-C, perhaps: an answer is still to come, so nothing more can be asked.
            self._stop("it was interrupted")
            raise
        if error is None:
            return result
        kind, text = error
        raise KINDS[kind](f"Caffe gave up {doing}: {text}" if kind == "failed" else text)

    @contextlib.contextmanager
    def sense(self, doing: str) -> Iterator[None]:
        """Make of an answer what is wanted of it; one that it cannot be ends the worker.

        Any net may have taken the process over, so an answer may be anything. Raises EngineFailed.
        """
        try:
            yield
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            why = str(error) if isinstance(error, ValueError) else "not as they are"
            self._stop("it gave an answer that makes no sense and was stopped")
            raise EngineFailed(
                f"Caffe's process gave an answer that makes no sense while {doing} ({why})"
            ) from None

    def _send(self, message: dict[str, Any], timeout: float) -> None:
        body = json.dumps(message).encode("ascii")
        self._control.settimeout(min(timeout, threading.TIMEOUT_MAX))
        self._control.sendall(HEADER.pack(MAGIC, len(body)) + body)

    def _receive(self, timeout: float) -> Any:
        deadline = time.monotonic() + timeout
        magic, length = HEADER.unpack(self._read(HEADER.size, deadline))
        if magic != MAGIC or length > LONGEST_ANSWER:
            raise ValueError("not a message")
        with Claim(PARSED * length, "an answer of Caffe's process"):
            return json.loads(self._read(length, deadline))

    def _read(self, count: int, deadline: float) -> bytes:
        data = bytearray()
        while len(data) < count:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._control.settimeout(min(left, threading.TIMEOUT_MAX))
            part = self._control.recv(count - len(data))
            if not part:
                raise EOFError
            data += part
        return bytes(data)

    def _opened(self, answer: Any) -> tuple[dict[str, Any], tuple[str, str] | None]:
        """The result, or the kind and text of the error. Raises ValueError if it is neither."""
        if not isinstance(answer, dict) or answer.get("id") != self._last_id:
            raise ValueError("not an answer to what was asked")
        result, error = answer.get("result"), answer.get("error")
        if isinstance(result, dict):
            return result, None
        if isinstance(error, dict) and error.get("kind") in KINDS:
            return {}, (error["kind"], shortened(str(error.get("text"))))
        raise ValueError("neither result nor error")

    def _died(self, doing: str) -> EngineError:
        """The error for a process that ended by itself."""
        wait_for_end(self._process.pid)
        self._end()
        status = self._process.returncode
        self._why_gone = f"it ended while {doing}"
        return EngineFailed(gone_because(status, doing, self._words.text()))

    def _stop(self, why: str) -> None:
        self._why_gone = why
        self._end()

    def close(self) -> None:
        """Kill the process and its children, and wait for it. May be called again."""
        if self._why_gone is None:
            self._why_gone = "it was closed"
        self._end()

    def put(self, arrays: Sequence[Array]) -> list[int]:
        """Write C-contiguous float32 arrays to the shared file; returns their offsets."""
        self.check_alive()
        offsets, offset = [], 0
        for array in arrays:
            raw = raw_bytes(array)
            offsets.append(offset)
            done = 0
            while done < len(raw):
                done += self._written(raw[done : done + CHUNK], offset + done)
            offset += len(raw)
        return offsets

    def _written(self, raw: memoryview, offset: int) -> int:
        try:
            return os.pwrite(self._shared.fileno(), raw, offset)
        except OSError as error:
            raise EngineFailed(f"no room to hand an array to Caffe: {error.strerror}") from None

    def take(self, shape: Shape, offset: int) -> Array:
        """Read an array of float32 from the shared file; the caller's own.

        Raises ValueError where that is not in the file.
        """
        import numpy as np

        size = os.fstat(self._shared.fileno()).st_size
        if offset + prod(shape) * np.dtype(np.float32).itemsize > size:
            raise ValueError("less is handed over than it says")
        array = np.empty(shape, np.float32)
        raw, done = raw_bytes(array), 0
        while done < len(raw):
            count = os.preadv(self._shared.fileno(), [raw[done : done + CHUNK]], offset + done)
            if not count:
                raise ValueError("less is handed over than it says")
            done += count
        return array


def raw_bytes(array: Array) -> memoryview:
    """The bytes of a C-contiguous array, as they lie in memory."""
    import numpy as np

    return array.reshape(-1).view(np.uint8).data


def shared_file() -> FileIO:
    """An empty file that has no name: in memory, or else on disk."""
    with contextlib.suppress(AttributeError, OSError):
        return FileIO(os.memfd_create("netsurgery", os.MFD_CLOEXEC), "r+b")
    with tempfile.TemporaryFile() as file:
        return FileIO(os.dup(file.fileno()), "r+b")


def relay_file() -> FileIO:
    """The same for what may be large: on disk, where it can be given a name; or else in memory."""
    with contextlib.suppress(AttributeError, OSError):
        folder = tempfile.gettempdir()
        return FileIO(os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600), "r+b")
    return shared_file()


def environment(options: EngineOptions) -> dict[str, str]:
    """The worker's environment: ours, with Caffe's log level and number of threads set."""
    env = guest_environment(modules="python" in options.allow)
    env["GLOG_logtostderr"] = "1"
    env["GLOG_minloglevel"] = "0" if options.verbose else "2"
    env["PYTHONUNBUFFERED"] = "1"
    if options.threads is not None:
        for library in ("OPENBLAS", "OMP", "MKL"):
            env[f"{library}_NUM_THREADS"] = str(options.threads)
    return env


def end(
    process: subprocess.Popen[bytes],
    control: socket.socket,
    shared: Sequence[FileIO],
    folders: contextlib.ExitStack,
    words: LastWords,
    undo: Undo,
    owner: int,
) -> None:
    """Kill the process group, reap the process, close and remove what was shared with it."""
    if os.getpid() != owner:
        return  # a fork of ours: the worker is still its parent's
    undo()
    control.close()
    process.wait()
    words.finish()
    for file in shared:
        file.close()
    folders.close()


def wire_path(path: Path) -> str:
    """An absolute path as the worker takes it: a character for each byte of the name."""
    return os.fsencode(os.path.abspath(path)).decode("latin-1")


def wire_text(text: str) -> str:
    """A prototxt's text as the worker takes it: a character for each byte."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")
