"""A file that is none of Caffe's, or no file at all, is called what it is by every command."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from every_command import COMMANDS, make_good

from netsurgery.cli import run

CALLS = [(name, words) for name, several in COMMANDS.items() for words in several]

#: What is named -> what is said, of a prototxt, of weights and of a picture alike.
FILES = {
    "folder": "folder: is a folder, expected ",
    "https://host/file": "https://host/file: is a URL, not a file; download it first",
    "page": "page: is a web page, expected ",
    "pointer": "pointer: is a git-lfs pointer, not the file it stands for, expected ",
    "zipped": "zipped: is a gzip file, expected ",
    "good.prototx": "good.prototx: No such file or directory; did you mean good.prototxt?",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NETSURGERY_ENGINE", "embedded")
    make_good()
    Path("folder").mkdir()
    Path("page").write_text("<!DOCTYPE html>\n<html></html>\n")
    Path("pointer").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    Path("zipped").write_bytes(b"\x1f\x8b\x08\0\0\0\0\0")
    return tmp_path


def said(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of a command that fails, and writes nothing."""
    before = sorted(os.listdir())
    assert run(line.split()) in (1, 2)
    out, err = capsys.readouterr()
    assert (out, sorted(os.listdir())) == ("", before)
    (error,) = (text for text in err.splitlines() if text.startswith("error: "))
    return error


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize(("command", "words"), CALLS)
def test_for_a_prototxt(
    command: str, words: str, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line = f"{command} {words.replace('NET', file)}"
    assert said(line, capsys).startswith(f"error: {FILES[file]}")


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize(
    ("command", "words"), [call for call in CALLS if "good.caffemodel" in call[1]]
)
def test_for_weights(
    command: str, words: str, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line = f"{command} {words}".replace("NET", "good.prototxt").replace("good.caffemodel", file, 1)
    assert said(line, capsys).startswith(f"error: {FILES[file]}")


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize(("command", "words"), [call for call in CALLS if "grey.png" in call[1]])
def test_for_a_picture(
    command: str, words: str, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line = f"{command} {words}".replace("NET", "good.prototxt").replace("grey.png", file)
    assert said(line, capsys).startswith(f"error: {FILES[file]}")


_NET = "--prototxt good.prototxt --weights good.caffemodel --blob conv"

#: Commands and what they say of URL, a URL in the place of what is none of the three.
ELSEWHERE = {
    "train run URL": "folder; expected that of a training plan",
    "train report URL": "folder; expected that of a training plan",
    "train plan good.prototxt good.caffemodel --annotations good.json --images URL -o out":
        "folder; expected that of the annotated pictures",
    f"evaluate URL --annotations good.json {_NET}":
        "folder; expected that of the annotated pictures",
    "train plan good.prototxt good.caffemodel --annotations good.json --images . --mean URL -o out":
        "file; download it first",
    f"evaluate . --annotations URL {_NET}": "file; download it first",
    f"classify-map grey.png {_NET} --picture out.png --font URL": "file; download it first",
    f"classify-map --from URL {_NET}": "file; download it first",
    "edit good.prototxt good.caffemodel conv[0]=npy:URL -o out.caffemodel":
        "file; download it first",
    "inspect good.prototxt good.caffemodel --param conv[0] --npy URL": "file; outputs are files",
}  # fmt: skip


@pytest.mark.parametrize("line", ELSEWHERE)
def test_a_url_is_called_one(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    url = "https://host/file.npy"
    assert said(line.replace("URL", url), capsys).endswith(
        f"{url}: is a URL, not a {ELSEWHERE[line]}"
    )
