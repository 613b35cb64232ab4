"""Where an attack is played: a folder, and commands run in it under limits.

What every attack may ask of a command that has been given something hostile is written once here:
that it ended in time and within memory, with one line and the right exit code, and that nothing
appeared or changed beside its outputs.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ROOT", "Arena", "Done"]

ROOT = Path(__file__).resolve().parents[2]

_LIMITED = Path(__file__).with_name("limited.py")

_MEMORY = 4 << 30
_SECONDS = 60.0


@dataclass(frozen=True)
class Done:
    """A command that has ended.

    code: the exit code, 128 + n for signal n. seconds: wall clock. peak: bytes of memory that it,
    or the largest of its children, had at once.
    """

    code: int
    out: str
    err: str
    seconds: float
    peak: int


class Arena:
    """A folder to attack in, and real Caffe's interpreter, where there is one."""

    def __init__(self, folder: Path, caffe_python: str | None) -> None:
        self.folder, self.caffe_python = folder, caffe_python

    def write(self, name: str, content: str | bytes) -> Path:
        """A file in the arena."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def run(
        self,
        *arguments: object,
        env: Mapping[str, str | None] | None = None,
        memory: int = _MEMORY,
        seconds: float = _SECONDS,
        cwd: Path | None = None,
        stdin: bytes = b"",
    ) -> Done:
        """Run ``netsurgery arguments`` here; `env` is added, None takes a variable away.

        Fails where it takes longer than `seconds`. `memory`: bytes of address space; 0: no limit.
        """
        command = [sys.executable, "-m", "netsurgery", *map(str, arguments)]
        return self.command(command, env=env, memory=memory, seconds=seconds, cwd=cwd, stdin=stdin)

    def command(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str | None] | None = None,
        memory: int = _MEMORY,
        seconds: float = _SECONDS,
        cwd: Path | None = None,
        stdin: bytes = b"",
    ) -> Done:
        """The same for any command."""
        with tempfile.NamedTemporaryFile() as report:
            limited = [sys.executable, "-I", "-S", str(_LIMITED), str(memory), report.name]
            began = time.monotonic()
            process = subprocess.Popen(
                [*limited, *command],
                cwd=cwd or self.folder,
                env=_environment(env or {}),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            try:
                out, err = process.communicate(stdin, timeout=seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                raise AssertionError(f"more than {seconds:g} s: {' '.join(command)}") from None
            return Done(
                code=process.returncode,
                out=out.decode("utf-8", "backslashreplace"),
                err=err.decode("utf-8", "backslashreplace"),
                seconds=time.monotonic() - began,
                peak=int(report.read()),
            )

    def files(self) -> dict[str, str]:
        """Every file of the arena and a digest of its content; links as links, folders as such."""
        states = {}
        for folder, folders, names in os.walk(self.folder):
            for name in [*folders, *names]:
                path = Path(folder, name)
                where = str(path.relative_to(self.folder))
                if path.is_symlink():
                    states[where] = f"-> {os.readlink(path)}"
                elif path.is_file():
                    states[where] = hashlib.sha256(path.read_bytes()).hexdigest()
                else:
                    states[where] = "folder" if path.is_dir() else "special"
        return states

    def refused(self, *arguments: object, code: int = 1, words: Sequence[str] = ()) -> Done:
        """Run a command that must refuse: `code`, one line with all of `words`, no file changed."""
        before = self.files()
        done = self.run(*arguments)
        self.one_line(done, code=code, words=words)
        assert self.files() == before, "files changed"
        return done

    def one_line(self, done: Done, *, code: int = 1, words: Sequence[str] = ()) -> None:
        """Fail unless the command ended with `code` and one line of error that has `words`."""
        assert done.code == code, f"exit code {done.code}, not {code}: {done.err}"
        assert done.err.startswith("error: "), done.err
        assert len(done.err.splitlines()) == 1, done.err
        for word in words:
            assert word in done.err, f"no {word!r} in: {done.err}"


def _environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("NETSURGERY_")}
    merged: dict[str, str | None] = {**inherited, "PYTHONPATH": str(ROOT), **changes}
    return {name: value for name, value in merged.items() if value is not None}
