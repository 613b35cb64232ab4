"""Every call to the system that a command makes fails once: one line says of what, and no more.

In this process, by functions put in place of those of `os`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from every_command import COMMANDS, make_good

from netsurgery.cli import run
from netsurgery.io.segments import FileSource

#: What a file is met with: looked at, read, written and put in place.
CALLS = """
open stat fstat pread preadv pwrite ftruncate posix_fallocate fchmod link replace unlink mkdir
listdir close
""".split()

#: What the line about it names, one of these.
NAMES = ("good.", "grey.png", "out", "current folder")
#: setup's only output lies in the folder it runs in, where the others' annotated pictures are.
MORE_NAMES = {
    "setup": ("netsurgery.toml", "error: .: "),
    "evaluate": ("error: .: ",),
    "train": ("error: .: ",),
}


class Broken:
    """Functions of `os` in which the `turn`-th call from here on fails, after it was made."""

    def __init__(self, turn: int, number: int) -> None:
        self.left, self.number = turn, number
        self.failed = ""

    def wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            self.left -= 1
            if self.left != -1:
                return real(*args, **options)
            self.failed = name
            if name == "close":  # it is closed whatever is said
                real(*args, **options)
            named = args and isinstance(args[0], (str, os.PathLike))
            path = os.fspath(args[0]) if named else None
            raise OSError(self.number, os.strerror(self.number), path)

        return call


@pytest.fixture
def current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of `every_command` in the current folder."""
    monkeypatch.chdir(tmp_path)
    make_good(128)
    return tmp_path


def clear(folder: Path, names: set[str]) -> set[str]:
    """Take away what is not to be there; returns it."""
    left = {str(path.relative_to(folder)) for path in folder.rglob("*")} - names
    for name in sorted(left, reverse=True):
        path = folder / name
        path.rmdir() if path.is_dir() else path.unlink()
    return left


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_call_that_fails(
    current_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    number: int,
) -> None:
    words = [name, *COMMANDS[name][-1].replace("NET", "good.prototxt").split()]
    assert run(words) == 0  # and all is imported
    names = {path.name for path in current_folder.iterdir()} - {"out"}
    names -= {path for path in names if path.startswith("out")}
    for turn in range(10_000):
        clear(current_folder, names)
        capsys.readouterr()
        broken = Broken(turn, number)
        with monkeypatch.context() as patch:
            for call in CALLS:
                if hasattr(os, call):
                    patch.setattr(os, call, broken.wrapped(call, getattr(os, call)))
            code = run(words)
        if not broken.failed:
            break
        out, err = capsys.readouterr()
        message = f"{broken.failed} at {turn}: code {code}, {err!r}"
        assert code in (0, 1, 2), message
        if name == "check" and code == 1:  # that is what it found, and said so
            assert "error" in out, message
        elif code:
            assert err.count("\n") == 1, message
            assert err.startswith("error: "), message
            named = NAMES + MORE_NAMES.get(name, ())
            assert any(each in err for each in named), message
        left = {path for path in clear(current_folder, names) if path.endswith("netsurgery-tmp")}
        assert not left or broken.failed == "unlink", message
    assert turn > 5


@pytest.mark.parametrize(
    "name", [name for name in COMMANDS if name not in ("dense", "init", "upgrade")]
)
@pytest.mark.parametrize("which", ["good.caffemodel", "good.prototxt"])
def test_an_input_that_is_cut_once_it_is_open(
    current_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    which: str,
) -> None:
    """By half; whatever is read then ends early."""

    def opened(source: FileSource, path: str | Path) -> None:
        real(source, path)
        if os.path.basename(path) == which:
            os.truncate(path, size)

    real, size = FileSource.__init__, os.path.getsize(which) // 2
    words = [name, *COMMANDS[name][-1].replace("NET", "good.prototxt").split()]
    if which not in words:
        words[1:] = ["good.caffemodel", "good.caffemodel"]
    before = {path.name for path in current_folder.iterdir()}
    monkeypatch.setattr(FileSource, "__init__", opened)
    code = run(words)
    out, err = capsys.readouterr()
    if name == "check" and code == 1:
        assert f"{which}" in out
    elif code:
        assert err.count("\n") == 1, err
        assert f"{which}: " in err, err
    assert code in (1, 2)
    assert {path.name for path in current_folder.iterdir()} == before
