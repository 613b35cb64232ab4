"""With --json a command that fails prints what is wrong as a record, whichever command it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from every_command import COMMANDS, GOOD, make_good
from jsonschema import Draft202012Validator

from netsurgery.cli import run

SCHEMA = Path(__file__).resolve().parent.parent / "docs" / "json" / "error.schema.json"
TYPO = GOOD.replace('bottom: "conv"', 'bottom: "cnv"')


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make_good()
    Path("typo.prototxt").write_text(TYPO)
    return tmp_path


def failed(capsys: pytest.CaptureFixture[str], words: list[str]) -> dict[str, Any]:
    """The record of a command that fails, which is on one line; stderr has its message."""
    capsys.readouterr()
    assert run([*words, "--json"]) in (1, 2)
    out, err = capsys.readouterr()
    (line,) = out.splitlines()
    record = json.loads(line)
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(record)
    error: dict[str, Any] = record["error"]
    (said,) = (text for text in err.splitlines() if text.startswith("error: "))
    assert said.removeprefix("error: ").partition(" (try ")[0] == error["message"]
    return error


CALLS = [(name, words) for name, several in COMMANDS.items() for words in several]
#: Commands that have something to say of a net that contradicts itself, or do not look.
NO_ERROR = ("check", "diff", "upgrade")


@pytest.mark.parametrize(("command", "words"), CALLS)
def test_no_such_file(command: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    error = failed(capsys, [command, *words.replace("NET", "goood.prototxt").split()])
    assert error["file"] == "goood.prototxt"
    assert error["hint"] == "did you mean good.prototxt?"
    assert (error["line"], error["column"], error["layer"]) == (None, None, None)


@pytest.mark.parametrize(
    ("command", "words"), [(name, words) for name, words in CALLS if name not in NO_ERROR]
)
def test_a_place_in_a_prototxt(
    command: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = words.replace("NET", "typo.prototxt")
    error = failed(capsys, [command, *words.split()])
    assert error["type"] == "PrototxtError"
    assert (error["file"], error["layer"]) == ("typo.prototxt", "fc")
    line = 1 + next(i for i, text in enumerate(TYPO.split("\n")) if '"cnv"' in text)
    assert (error["line"], error["column"]) == (line, 7)
    assert error["hint"] == "did you mean conv?"


@pytest.mark.parametrize("command", COMMANDS)
def test_wrong_usage(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    error = failed(capsys, [command, "--nonsense"])
    assert error["type"] == "UsageError"
    assert error["message"] == "--nonsense: no such option"
    assert error["hint"] == f"netsurgery {command} --help"


def test_other_errors(capsys: pytest.CaptureFixture[str]) -> None:
    pair = ["good.prototxt", "good.caffemodel"]
    Path("cut").write_bytes(Path("good.caffemodel").read_bytes()[:-9])
    error = failed(capsys, ["export", pair[0], "cut", "-o", "o.onnx"])
    assert (error["type"], error["file"], error["line"]) == ("CaffemodelError", "cut", None)
    Path("netsurgery.toml").write_text("\n\n[model]\nweigths = 1\n")
    error = failed(capsys, ["classify-map", "grey.png"])
    assert (error["type"], error["line"]) == ("SettingsError", 4)
    assert error["file"].endswith("netsurgery.toml")
    error = failed(capsys, ["edit", *pair, "fcc[0]*=2", "-o", "o.caffemodel"])
    assert (error["type"], error["file"]) == ("SurgeryError", None)
    error = failed(capsys, ["export", *pair, "-o", "x.pb"])  # of a class of the command's own
    assert (error["type"], error["file"]) == ("OutputError", "x.pb")


def test_what_prints_an_output_prints_no_record(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", "good.prototxt", "good.caffemodel", "-o", "-", "--json"]) == 2
    assert capsys.readouterr().out == ""


def test_without_json_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", "none"]) == 1
    assert run(["inspect", "--", "none", "--json"]) in (1, 2)
    assert capsys.readouterr().out == ""
