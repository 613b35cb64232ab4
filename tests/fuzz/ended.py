"""A command that a signal ends at a moment that the bytes of a case give."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fuzz.commands import COMMANDS, case_of
from fuzz.seeds import ROOT

__all__ = ["check"]

#: Those that write files.
LINES = [words for words in COMMANDS if {"-o", "--picture"} & set(words)]
NUMBERS = [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT]
OLD = b"old"
_LIMIT = 30.0

#: Command line -> seconds that it takes, and what it writes.
_known: dict[tuple[str, ...], tuple[float, dict[str, bytes]]] = {}


def check(data: bytes) -> None:
    """Which command, which signal, when, and whether there are old outputs and a second signal."""
    which, number, high, low, how = (data + bytes(5))[:5]
    words = LINES[which % len(LINES)]
    moment = int.from_bytes((high, low), "big") / 0xFFFF
    _end(words, NUMBERS[number % 4], moment, old=bool(how & 1), again=how >> 1 & 15)


def _end(words: list[str], number: int, moment: float, *, old: bool, again: int) -> None:
    seconds, whole = _undisturbed(words)
    before = {name: OLD for name in whole if name != "netsurgery.toml"} if old else {}
    with tempfile.TemporaryDirectory(dir=os.getcwd()) as name:
        folder = Path(name)
        process = _start(folder, [*words, "--force"], before)
        time.sleep(1.1 * moment * seconds)
        process.send_signal(number)
        if again:
            time.sleep((again - 1) / 1000)
            process.send_signal(number)
        _, said = process.communicate(timeout=_LIMIT)
        code = process.returncode
        # Before our first line and behind our last the signal is Python's own.
        pythons = code == -number or (number == signal.SIGINT and "KeyboardInterrupt" in said)
        trouble = code not in (0, 128 + number) or "error: " in said or "Traceback" in said
        assert pythons or not trouble, f"exit code {code}: {said}"
        contents = _written(folder, words)
        assert not any(name.endswith("-tmp") for name in contents), f"left: {list(contents)}"
        assert os.listdir(folder / "tmp") == [], "a scratch folder is left"
        for name, content in contents.items():
            assert content in (whole[name], before.get(name)), f"{name} is neither old nor new"
        assert set(contents) >= set(before), f"gone: {set(before) - set(contents)}"
        assert code or set(contents) == set(whole), f"done, but for {set(whole) - set(contents)}"


def _undisturbed(words: list[str]) -> tuple[float, dict[str, bytes]]:
    key = tuple(words)
    if key not in _known:
        with tempfile.TemporaryDirectory(dir=os.getcwd()) as name:
            began = time.monotonic()
            process = _start(Path(name), words, {})
            _, said = process.communicate(timeout=_LIMIT)
            assert process.returncode == 0, said
            _known[key] = time.monotonic() - began, _written(Path(name), words)
    return _known[key]


def _start(folder: Path, words: list[str], before: dict[str, bytes]) -> subprocess.Popen[str]:
    (folder / "tmp").mkdir()
    for name, content in {**case_of(words).files, **before}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    env = {"PYTHONPATH": str(ROOT), "NETSURGERY_ENGINE": "embedded", "TMPDIR": str(folder / "tmp")}
    return subprocess.Popen(
        [sys.executable, "-m", "netsurgery", *words], cwd=folder, env={**os.environ, **env},
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def _written(folder: Path, words: list[str]) -> dict[str, bytes]:
    """What is there besides the inputs."""
    inputs = set(case_of(words).files)
    files = [path for path in folder.rglob("*") if path.is_file()]
    contents = {str(path.relative_to(folder)): path.read_bytes() for path in files}
    return {name: content for name, content in contents.items() if name not in inputs}
