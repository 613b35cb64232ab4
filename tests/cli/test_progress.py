"""Bytes written are told on a terminal while a long run goes on, and nowhere else."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from netsurgery.cli import progress, run

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
def test_it_is_told_on_a_terminal_and_wiped(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert run([command, *COMMANDS[command]]) == 0
    told = capsys.readouterr().err
    assert "KiB written" in told
    assert told.endswith("written\r\x1b[K")


@pytest.mark.parametrize("command", COMMANDS)
def test_it_is_told_nowhere_else(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, *COMMANDS[command]]) == 0
    assert capsys.readouterr().err == ""


def test_a_quiet_run_says_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert run(["init", *COMMANDS["init"], "-q"]) == 0
    assert capsys.readouterr().err == ""
