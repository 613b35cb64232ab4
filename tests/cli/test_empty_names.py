"""An empty name of a file or folder is refused, by every command: it is not the current folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from command_tree import every_command

from netsurgery.cli import run
from netsurgery.cli.files import FilePathType

#: Options that are a folder's.
FOLDERS = {
    ("convert", "-o/--output-dir"),
    ("setup", "-o/--output-dir"),
    ("caffe install", "--prefix"),
    ("classify-map", "--job"),
    ("job status", "DIR"),
    ("job resume", "DIR"),
    ("job merge", "DIR"),
    ("evaluate", "IMAGES"),
    ("train plan", "--images"),
    ("train report", "DIR"),
    ("train run", "DIR"),
    ("train plan", "-o/--output-dir"),
}


def _calls() -> Iterator[tuple[str, str, list[str]]]:
    """Command, name in the message, and the words of a call in which that path is empty."""
    for name, command in every_command().items():
        before: list[str] = []
        for param in command.params:
            if isinstance(param, click.Argument):
                if isinstance(param.type, click.Path):
                    yield name, str(param.metavar), [*before, ""]
                before.append("x")
            elif isinstance(param.type, click.Path):
                yield name, "/".join(param.opts), [param.opts[-1], ""]


CALLS = list(_calls())


def test_every_path_is_of_the_type_that_refuses_it() -> None:
    assert len(CALLS) > 50
    for command in every_command().values():
        for param in command.params:
            assert isinstance(param.type, FilePathType) or not isinstance(param.type, click.Path)


@pytest.mark.parametrize(("name", "path", "words"), CALLS, ids=str)
def test_an_empty_name_is_refused(
    name: str,
    path: str,
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run([*name.split(), *words]) == 2
    what = "folder" if (name, path) in FOLDERS else "file"
    assert capsys.readouterr() == (
        "",
        f"error: {path}: expected a {what}'s name, found an empty one "
        f"(try netsurgery {name} --help)\n",
    )
    assert list(tmp_path.iterdir()) == []
