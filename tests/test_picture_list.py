"""Lists of pictures, folders and patterns: what they stand for, in which order."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from netsurgery.cli import run
from netsurgery.cli.files import IMAGE
from netsurgery.errors import ImageError
from netsurgery.maps.picture_list import PICTURE_ENDINGS, listed, read_list

NET = ("prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel")
MODEL = ["--prototxt", NET[0], "--weights", NET[1], "--engine", "embedded"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in (
        "b/2.png b/1.JPG b/notes.txt b/.hidden.png b/deep/3.webp b/.git/x.png a.png [1].png 1.png"
    ).split():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (b"b.png\na.png\nb.png\n", ["b.png", "a.png", "b.png"]),
        (b"a.png", ["a.png"]),
        (b"\xef\xbb\xbfa.png\r\n\r\n b.png\r\n", ["a.png", " b.png"]),
        (b"a\nb.png\0c.png\0", ["a\nb.png", "c.png"]),
        (b"-\n#1.png\n*.png\n", [os.path.join(".", "-"), "#1.png", "*.png"]),
        (b"\xff.png\n", [os.fsdecode(b"\xff.png")]),
    ],
)
def test_a_list(
    content: bytes, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "list.txt").write_bytes(content)
    assert read_list(str(tmp_path / "list.txt")) == names
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert read_list("-") == names


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty, expected a list of pictures, a line each"),
        (b"\n\r\n", "is empty, expected a list of pictures, a line each"),
        (b"\x89PNG\r\n\x1a\n", "is a PNG picture, expected a list of pictures"),
        ("a.png\n".encode("utf-16"), "is UTF-16, expected a list of pictures in UTF-8; in Power"),
        (None, "No such file or directory"),
    ],
)
def test_what_is_no_list(content: bytes | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ImageError) as caught:
        read_list(str(path))
    assert str(caught.value).startswith(f"{path}: {said}")


def test_a_list_that_is_a_folder_or_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImageError, match="is a folder, expected a list of pictures"):
        read_list(str(tmp_path))
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(ImageError, match=r"^<stdin>: is closed$"):
        read_list("-")


def test_folders_and_patterns(folder: Path) -> None:
    def names(*words: str, **options: Any) -> list[str]:
        return [name.replace(os.sep, "/") for name in listed(words, **options)]

    assert names("b", recursive=True) == ["b/1.JPG", "b/2.png", "b/deep/3.webp"]
    assert names("b") == ["b"]
    assert names("a.png", "b/deep", "a.png", recursive=True) == ["a.png", "b/deep/3.webp", "a.png"]
    assert names("b/*") == ["b/1.JPG", "b/2.png", "b/notes.txt"]
    assert names("**/*.png") == ["1.png", "[1].png", "a.png", "b/2.png"]
    # The name of a file is no pattern, nor is anything in a list.
    assert names("[1].png") == ["[1].png"]
    assert names("b/*", patterns=False) == ["b/*"]
    assert names("*.gif") == ["*.gif"]


def test_completion_offers_what_folders_hold() -> None:
    assert IMAGE.endings == PICTURE_ENDINGS


def test_folders_without_pictures(folder: Path) -> None:
    Path("empty").mkdir()
    with pytest.raises(ImageError, match=r"^empty: holds no picture; looked for .jpg, .jpeg"):
        list(listed(["empty"], recursive=True))


@pytest.mark.parametrize(
    "command", [["classify-map"], ["features", "--blob", "pool3", "-o", "o.npz", "--json"]]
)
def test_the_commands_take_them_in_order(
    command: list[str], bundled_nets: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("some").mkdir()
    for name in ("some/b.png", "some/a.png", "c.png"):
        Image.new("L", (40, 52), 200).save(name)
    Path("list.txt").write_text("c.png\nnone.png\nc.png\n")
    words = [*command, *MODEL, "some", "some/?.png", "--from", "list.txt", "-r", "-q"]
    assert (
        run([*words, *(["--json", "--blob", "pool3"] if command == ["classify-map"] else [])]) == 1
    )
    printed = capfd.readouterr().out
    places = [printed.index(f'"{name}"') for name in ("some/a.png", "some/b.png", "none.png")]
    assert places == sorted(places)
    assert printed.count('"image": "some/a.png"') == 2
    assert printed.count('"image": "c.png"') == 2


def test_wrong_usages(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in (
        ([], "error: missing argument IMAGE..., or a list of them: --from FILE"),
        (["-", "--from", "-"], "error: standard input (-) can be one of the inputs only"),
        (["a.png", "-r"], "error: -r/--recursive does nothing where no IMAGE is a folder"),
        (["--from", ""], "error: --from: expected a file's name, found an empty one"),
    ):
        assert run(["classify-map", *words]) == 2
        assert capsys.readouterr().err.startswith(said)
