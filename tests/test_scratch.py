"""Temporary folders go with whoever made them, and where that is killed with the next command."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from netsurgery.io import locked_folder, locks
from netsurgery.io.files import Outputs
from netsurgery.io.locked_folder import machine_mark, make_locked_folder, remove_dead_folders
from netsurgery.io.output_folder import OutputFolder
from netsurgery.io.scratch import scratch_folder

ROOT = Path(__file__).parent.parent
NETSURGERY = [sys.executable, "-m", "netsurgery"]
NET = ROOT / "prototxt/digits_deploy.prototxt"


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left is looked for each time."""
    monkeypatch.setattr(locked_folder, "_CLEARING", 0.0)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this process makes temporary folders."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def named(kind: str, mark: str | None = None) -> str:
    return f"netsurgery-{machine_mark() if mark is None else mark}{kind}"


def start(words: list[str], place: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*NETSURGERY, *words], env={**os.environ, "TMPDIR": str(place)}, cwd=place.parent,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def folders(place: Path) -> list[str]:
    """The temporary folders; Python tries out a place for them with a file of another name."""
    return [path.name for path in place.glob("netsurgery-*")]


def inspect_stdin(place: Path) -> None:
    """Another command, to its end: the net is kept in a temporary folder while it is read."""
    command = start(["inspect", "-", "-q"], place)
    assert command.communicate(NET.read_bytes(), timeout=60) == (b"", b"")
    assert command.returncode == 0


def test_a_command_that_is_killed_while_it_reads(place: Path) -> None:
    """Two are at work, and one of them is killed: its folder goes, the other's stays."""
    killed, alive = start(["inspect", "-"], place), start(["inspect", "-", "-q"], place)
    for process in (killed, alive):
        assert process.stdin is not None
        process.stdin.write(NET.read_bytes())
        process.stdin.flush()
    until = time.monotonic() + 60
    while len(list(place.glob("netsurgery-*/*"))) < 2:  # both are locked, and in use
        assert time.monotonic() < until
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert len(folders(place)) == 2
    inspect_stdin(place)
    assert len(folders(place)) == 1
    assert alive.communicate(timeout=60) == (b"", b"")
    assert alive.returncode == 0
    assert folders(place) == []


def test_a_command_that_is_killed_while_caffe_runs(place: Path, caffe_python: str) -> None:
    """What Caffe saves, and is started with, lies in temporary folders for a moment."""
    model, out = ROOT / "models/digits/digits.caffemodel", place.parent / "out"
    words = ["convert", str(NET), str(model), "-o", str(out), "--verify", "-q"]
    command = start([*words, "--engine", "caffe", "--caffe-python", caffe_python], place)
    while command.poll() is None:
        if folders(place):
            command.send_signal(signal.SIGSTOP)
            if folders(place):
                break
            command.send_signal(signal.SIGCONT)
        time.sleep(0.001)
    command.send_signal(signal.SIGKILL)
    printed = command.communicate()
    assert command.returncode == -signal.SIGKILL, printed
    assert folders(place) != []
    inspect_stdin(place)
    assert folders(place) == []


def test_what_others_have_stays(place: Path) -> None:
    """Folders of living processes, of other machines and of this one before its start, of other
    programs, and what is no folder."""
    for name in (named("000a"), named("000b-going")):
        (place / name / "within").mkdir(parents=True)
        (place / name / "within/file").write_text("left")
    others = {
        named("000c", "0000"), named("000d", "aaaa"), named("00c"), named("000d-gone"),
        "netsurgery-3k_d0ax1", f"my-{named('000e')}", f"{named('000e')}.txt",
    }  # fmt: skip
    for name in others:
        (place / name).mkdir()
    (place / named("000f")).write_text("a file")
    (place / named("0010")).symlink_to(place / "netsurgery-3k_d0ax1")
    others |= {named("000f"), named("0010")}
    with scratch_folder() as alive:
        assert set(os.listdir(place)) == others | {alive.name}
        with scratch_folder() as second:
            assert set(os.listdir(place)) == others | {alive.name, second.name}
    assert set(os.listdir(place)) == others
    assert alive.name.startswith(named(""))


def test_outputs_within_wait_for_no_lock_of_our_own(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as an output of many that is made there first: each would wait for seconds."""

    def sleep(_: float) -> None:
        pytest.fail("waited")

    monkeypatch.setattr("netsurgery.io.files.time.sleep", sleep)
    before = set(locks.held)
    with scratch_folder() as scratch, OutputFolder(str(place / "a.zarr")) as filled:
        for folder in (str(scratch), filled.temporary):
            with Outputs([f"{folder}/a", f"{folder}/b"]):
                pass
            assert set(os.listdir(folder)) == {"a", "b"}
    assert locks.held == before


def test_what_another_user_has_stays(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / named("000a")).mkdir()
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    remove_dead_folders(str(place), f"{named('')}.*", shutil.rmtree)
    assert os.listdir(place) == [named("000a")]
    monkeypatch.setattr(os, "geteuid", lambda: user)
    remove_dead_folders(str(place), f"{named('')}.*", shutil.rmtree)
    assert os.listdir(place) == []


@pytest.mark.parametrize("moment", ["_opened", "lock"])
def test_a_folder_that_was_taken_for_dead_is_made_again(
    place: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Another process has come between the making and the locking, twice."""
    before, names = getattr(locked_folder, moment), iter("abcd")

    def late(*args: Any, **options: Any) -> Any:
        for name in {"a", "b"} & set(os.listdir(place)):
            os.rmdir(place / name)
        return before(*args, **options)

    monkeypatch.setattr(locked_folder, moment, late)
    marks = []

    def name(mark: str) -> str:
        marks.append(mark)
        return str(place / next(names))

    path, fd = make_locked_folder(name)
    assert marks == 3 * [machine_mark()]
    assert os.path.samestat(os.stat(path), os.fstat(fd))
    assert os.listdir(place) == ["c"]
    os.close(fd)


def test_where_nothing_can_be_locked_nothing_is_removed(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on some network file systems: others might get a lock that this process did not."""
    lock = locks.lock
    monkeypatch.setattr(locked_folder, "lock", lambda fd, *, wait: None)
    (place / named("000a")).mkdir()
    with scratch_folder() as first:
        assert first.name.startswith(named("", "0000"))
        monkeypatch.setattr(locked_folder, "lock", lock)
        with scratch_folder() as second:
            assert set(os.listdir(place)) == {first.name, second.name}
    assert os.listdir(place) == []


def test_a_folder_that_was_to_be_an_output(tmp_path: Path) -> None:
    """It lies beside its place, which other machines may share."""
    mark, end = machine_mark(), "0123456789ab.netsurgery-tmp"
    dead, elsewhere, unmarked = f".a.zarr.{mark}.{end}", f".a.zarr.aaaa.{end}", f".a.zarr.{end}"
    for name in (dead, elsewhere, unmarked):
        (tmp_path / name).mkdir()
    with OutputFolder(str(tmp_path / "a.zarr")) as first:
        alive = os.path.basename(first.temporary)
        with OutputFolder(str(tmp_path / ("b" * 250))) as second:
            assert set(os.listdir(tmp_path)) == {
                elsewhere, unmarked, alive, os.path.basename(second.temporary)
            }  # fmt: skip
    assert set(os.listdir(tmp_path)) == {elsewhere, unmarked, "a.zarr", "b" * 250}
    with OutputFolder(str(tmp_path / "a.zarr"), force=True) as again:
        Path(again.temporary, "new").touch()
    assert os.listdir(tmp_path / "a.zarr") == ["new"]
    assert set(os.listdir(tmp_path)) == {elsewhere, unmarked, "a.zarr", "b" * 250}
