"""Files of the user's cache: whole, of one's own, bounded, and never needed."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from netsurgery.cli import run
from netsurgery.errors import NetsurgeryError
from netsurgery.io.user_cache import UserCache, user_cache


def put(cache: UserCache, name: str, size: int, used: float) -> str:
    path = cache.make(name, size, lambda fd: os.truncate(fd, size))
    os.utime(path, (used, used))
    return path


@pytest.fixture
def cache(tmp_path: Path) -> UserCache:
    return UserCache(tmp_path / "a/cache", 1000)


def test_what_was_made_is_found(cache: UserCache) -> None:
    path = cache.make("a", 3, lambda fd: os.write(fd, b"abc"))
    assert cache.find("a", 3) == path
    assert Path(path).read_bytes() == b"abc"
    assert cache.find("a", 4) is None, "it was cut short"
    assert cache.find("b", 3) is None
    assert [file.path for file in cache.files()] == [path]


def test_the_one_used_longest_ago_goes(cache: UserCache) -> None:
    for age, name in enumerate("cba"):
        put(cache, name, 400 - 100 * age, time.time() - 100 + age)  # c 400, b 300, a 200
    assert cache.find("c", 400)  # the last that was used from now on
    put(cache, "d", 350, time.time())
    assert {Path(file.path).name[0] for file in cache.files()} == {"c", "a", "d"}
    assert sum(file.size for file in cache.files()) == 950


def test_a_write_that_fails_leaves_nothing(cache: UserCache) -> None:
    def fail(fd: int) -> None:
        os.write(fd, b"half")
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        cache.make("a", 8, fail)
    assert not list(cache.folder.iterdir())


def test_what_a_killed_process_left_goes(cache: UserCache) -> None:
    cache.folder.mkdir(parents=True)
    left, making = (cache.folder / f"{n}-12345678.netsurgery-making" for n in "ab")
    for file in (left, making):
        file.write_bytes(b"half")
    os.utime(left, (1, 1))
    put(cache, "c", 10, time.time())
    assert not left.exists()
    assert making.exists(), "another process may be at it"


def test_files_of_others_stay(cache: UserCache) -> None:
    cache.folder.mkdir(parents=True)
    (cache.folder / "thesis.tex").write_text("years")
    put(cache, "a", 1000, 1)
    put(cache, "b", 1000, 2)
    assert cache.clear() == 1000
    assert [file.name for file in cache.folder.iterdir()] == ["thesis.tex"]


def test_a_disk_with_little_room(cache: UserCache, monkeypatch: pytest.MonkeyPatch) -> None:
    room = shutil.disk_usage(cache.folder.parent.parent)._replace(free=40)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: room)
    cache.make("a", 10, lambda fd: None)
    with pytest.raises(OSError, match="No space left on device"):
        cache.make("b", 11, lambda fd: None)


def test_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETSURGERY_CACHE", str(tmp_path / "c"))
    monkeypatch.setenv("NETSURGERY_CACHE_SIZE", "3 MiB")
    usual = user_cache()
    assert usual is not None
    assert (usual.folder, usual.limit) == (tmp_path / "c", 3 << 20)
    monkeypatch.setenv("NETSURGERY_CACHE_SIZE", "much")
    with pytest.raises(NetsurgeryError, match="NETSURGERY_CACHE_SIZE: 'much' is not a size"):
        user_cache()
    (tmp_path / "c").mkdir()
    (tmp_path / "c").chmod(0o777)
    assert user_cache() is None, "others could put theirs there"
    monkeypatch.setenv("NETSURGERY_CACHE", "none")
    assert user_cache() is None
    monkeypatch.delenv("NETSURGERY_CACHE")
    monkeypatch.delenv("NETSURGERY_CACHE_SIZE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    usual = user_cache()
    assert usual is not None
    assert (usual.folder, usual.limit) == (tmp_path / "netsurgery", 2 << 30)


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "c"
    monkeypatch.setenv("NETSURGERY_CACHE", str(folder))
    usual = user_cache()
    assert usual is not None
    put(usual, "a", 2048, time.time())
    assert run(["cache"]) == 0
    assert capsys.readouterr().out == f"1 file, 2.0 KiB of at most 2.0 GiB, in {folder}\n"
    assert run(["cache", "--clear", "--json"]) == 0
    expected = {"folder": str(folder), "files": 0, "bytes": 0, "limit": 2 << 30, "deleted": 2048}
    assert json.loads(capsys.readouterr().out) == expected
    assert not list(folder.iterdir())
    assert run(["cache", "-q"]) == 0
    assert capsys.readouterr().out == ""
    monkeypatch.setenv("NETSURGERY_CACHE", "none")
    assert run(["cache"]) == 0
    assert capsys.readouterr().out.startswith("no cache")
