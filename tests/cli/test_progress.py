"""A bar for long work, on a terminal while it goes on, and nowhere else."""

from __future__ import annotations

import re
import shutil
import sys
import time
from pathlib import Path

import pytest

from netsurgery.cli import progress, run
from netsurgery.cli.caffe import _Phases
from netsurgery.io import cleanup

NET = ["digits.prototxt", "digits.caffemodel"]
COMMANDS = {
    "convert": [*NET, "--engine", "embedded"],
    "edit": [*NET, "ip1[0]*=2", "-o", "out.caffemodel"],
    "init": [NET[0], "-o", "out.caffemodel"],
    "transplant": [*NET, NET[0], "-o", "out.caffemodel"],
    "upgrade": [NET[1], "-o", "out.caffemodel"],
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(repo_root / "prototxt/digits_deploy.prototxt", NET[0])
    shutil.copy(repo_root / "models/digits/digits.caffemodel", NET[1])
    monkeypatch.setattr(progress, "_MOMENT", 0.0)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_bar_on_a_terminal_is_wiped(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert run([command, *COMMANDS[command]]) == 0
    drawn = capsys.readouterr().err
    assert re.search(r"\[#{24}\]  100%  (\d+\.\d KiB) of \1\r", drawn)
    assert drawn.endswith("KiB\r\x1b[K")
    assert "\n" not in drawn


def test_the_bar_says_the_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    clock = Clock(monkeypatch)
    bar = progress.Progress(8, show_pos=True)
    for done in range(3):
        bar.step_to(done, "a\x1b[2J.png")
        clock.now += 10
    bar.clear()
    drawn = capsys.readouterr().err.split("\r\x1b[K")
    assert drawn[1] == "[------------------------]  0/8  a\\x1b[2J.png"
    assert drawn[3] == "[######------------------]  2/8  00:01:00  a\\x1b[2J.png"
    assert drawn[4:] == [""]


def test_what_was_done_before_does_not_shorten_the_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    clock = Clock(monkeypatch)
    bar = progress.Progress(100, before=50, show_pos=True)
    for done in (50, 51, 52):
        bar.step_to(done)
        clock.now += 10
    bar.clear()
    drawn = capsys.readouterr().err.split("\r\x1b[K")
    assert drawn[3] == "[############------------]  52/100  00:08:00"


def test_short_work_shows_no_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    clock = Clock(monkeypatch)
    bar = progress.Progress(8, moment=1.0)
    bar.step_to(2)
    bar.clear()
    assert capsys.readouterr().err == ""
    clock.now += 2
    bar.step_to(4)
    assert "50%  00:00:02" in capsys.readouterr().err


def test_the_bar_is_no_wider_than_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    progress.Progress(8).step_to(1, "a" * 100)
    assert max(map(len, capsys.readouterr().err.split("\r\x1b[K"))) == 39


def test_one_phase_after_another_leaves_one_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    before = dict(cleanup._left)
    phases = _Phases(quiet=False, verbose=False)
    phases.show("index", 0.5)
    phases.show("packages", 0.5)
    assert len(cleanup._left) == len(before) + 1  # a signal ends one line
    phases.clear()
    assert cleanup._left == before
    assert capsys.readouterr().err.endswith("\r\x1b[K")


class Clock:
    """Stands in for the time that click's bar asks for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = time.time()
        monkeypatch.setattr(time, "time", lambda: self.now)


@pytest.mark.parametrize("command", COMMANDS)
def test_there_is_no_bar_elsewhere(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, *COMMANDS[command]]) == 0
    assert capsys.readouterr().err == ""


def test_a_quiet_run_says_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert run(["init", *COMMANDS["init"], "-q"]) == 0
    assert capsys.readouterr().err == ""
