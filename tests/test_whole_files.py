from __future__ import annotations

import os
from pathlib import Path

import pytest

from netsurgery.io.reader import read_head, read_whole


def refused(path: str, limit: int = 100) -> str | None:
    with pytest.raises(OSError) as caught:  # noqa: PT011 - any of them; its words are compared
        read_whole(path, limit)
    return caught.value.strerror


def test_files_are_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"all of it")
    assert read_whole(path, 9) == b"all of it"
    assert (read_head(path, 3), read_head(path, 99)) == (b"all", b"all of it")


def test_what_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_bytes(b"all of it")
    os.mkfifo("fifo")  # nobody will ever write to it
    assert refused("file", 8) == "9 bytes, where at most 8 make sense"
    assert refused("fifo") == refused("/dev/zero") == "is not a regular file"
    assert refused(".") == "is a folder"
    assert refused("absent") == "No such file or directory"
    assert refused("a\0b") == "not a file name (it holds a zero byte)"
