"""Leases: who holds one, and when it is over."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from netsurgery.io import lease as module
from netsurgery.io.lease import LEASE, Lease, is_held, read_lease


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lease"


def taken(path: Path, note: dict[str, object]) -> Lease:
    lease = Lease.take(path, note)
    assert lease is not None
    return lease


def test_one_has_it_until_it_ends(path: Path) -> None:
    assert not is_held(path)
    lease = taken(path, {"picture": 3})
    assert is_held(path)
    assert read_lease(path)["picture"] == 3
    assert Lease.take(path, {"picture": 4}) is None
    assert read_lease(path)["picture"] == 3
    lease.write({"picture": 5})
    assert read_lease(path)["picture"] == 5
    lease.end()
    lease.end()
    assert not path.exists()
    taken(path, {}).end()


def test_one_that_could_not_be_written_is_not_in_the_way(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk; who comes when there is room again need not wait for it to be old."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(OSError, match="No space left"):
            Lease.take(path, {})
    assert not path.exists()
    assert Lease.take(path, {}) is not None


def test_a_dead_holders_lease_is_over(path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from netsurgery.io.lease import Lease; "
        "Lease.take(Path(sys.argv[1]), {'picture': 7})"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    assert read_lease(path)["picture"] == 7  # the next holder learns what it was at
    assert not is_held(path)
    lease = taken(path, {"picture": 8})
    assert read_lease(path)["pid"] == os.getpid()
    lease.end()


def test_another_process_of_the_same_number_does_not_hold_it(path: Path) -> None:
    lease = taken(path, {})
    holder = read_lease(path)
    lease.end()
    assert holder["pid"] == os.getpid()
    path.write_text(json.dumps({**holder, "started": "1"}))
    assert not is_held(path)
    path.write_text(json.dumps(holder))
    assert is_held(path)


@pytest.mark.parametrize(
    "text", ['{"place": "elsewhere", "pid": 1, "started": "1"}', "", "[1]", "{"]
)
def test_one_from_elsewhere_or_half_written_is_held_until_it_is_old(path: Path, text: str) -> None:
    path.write_text(text)
    assert is_held(path)
    assert Lease.take(path, {}) is None
    old = time.time() - LEASE - 1
    os.utime(path, (old, old))
    assert not is_held(path)
    taken(path, {}).end()
    assert os.listdir(path.parent) == []  # nor is there what the age was measured by


def test_its_age_is_by_the_clock_of_the_file_system(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine whose own clock is an hour ahead takes nobody's lease."""
    path.write_text('{"place": "elsewhere", "pid": 1, "started": "1"}')
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3600)
    assert is_held(path)


def test_renewing_makes_it_young_for_others(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = taken(path, {})
    old = time.time() - LEASE - 1
    os.utime(path, (old, old))
    monkeypatch.setattr(module, "_place", lambda: "elsewhere")
    assert not is_held(path)
    lease.renew()
    assert is_held(path)
    lease.end()


def test_who_was_robbed_of_it_leaves_the_others_alone(path: Path) -> None:
    first = taken(path, {"picture": 1})
    path.unlink()
    second = taken(path, {"picture": 2})
    first.write({"picture": 9})
    first.end()
    assert read_lease(path)["picture"] == 2
    second.end()
    assert not path.exists()
