"""Who decides what a path leads to: every step of it, with owners and groups as they may be."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from lacking import as_root, with_owners

from netsurgery.io import ownership
from netsurgery.io.ownership import exposure

#: A user that no machine of ours has.
EVE = 4_000_000_123

pytestmark = with_owners

Give = Callable[[Path, int], None]


@pytest.fixture
def give(monkeypatch: pytest.MonkeyPatch) -> Give:
    """Gives a file to a user: for real as root, else `os.lstat` says so."""
    owners: dict[str, int] = {}
    lstat = os.lstat

    def asked(path: str) -> os.stat_result:
        status = lstat(path)
        owner = owners.get(os.fspath(path), status.st_uid)
        return os.stat_result((*status[:4], owner, *status[5:10]))

    def give_file(path: Path, user: int) -> None:
        if os.geteuid() == 0:
            os.lchown(path, user, -1)
        else:
            monkeypatch.setattr(ownership.os, "lstat", asked)  # type: ignore[attr-defined]
            owners[str(path)] = user

    return give_file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file two folders down, all of it one's own."""
    path = tmp_path / "a" / "b" / "netsurgery.toml"
    path.parent.mkdir(parents=True)
    path.touch()
    assert exposure(path) is None
    return path


def belongs(place: object) -> str:
    return f"{place} belongs to another user (uid {EVE})"


def test_another_users_file(file: Path, give: Give) -> None:
    give(file, EVE)
    assert exposure(file) == belongs("it")


@pytest.mark.parametrize("up", [0, 1])
def test_another_users_folder_on_the_way(file: Path, give: Give, up: int) -> None:
    give(file.parents[up], EVE)
    assert exposure(file) == belongs(file.parents[up])


def test_another_users_link_on_the_way(file: Path, tmp_path: Path, give: Give) -> None:
    link = tmp_path / "link"
    link.symlink_to("a")
    assert exposure(link / "b" / file.name) is None
    give(link, EVE)
    assert exposure(link / "b" / file.name) == belongs(link)
    assert exposure(file) is None


def test_a_link_of_ones_own_to_what_is_another_users(
    file: Path, tmp_path: Path, give: Give
) -> None:
    (tmp_path / "eve").mkdir()
    path = tmp_path / "eve" / "x.toml"
    path.touch()
    give(tmp_path / "eve", EVE)
    (tmp_path / "chain").symlink_to(path)
    for target in ("../../eve/x.toml", str(path), "../../chain"):
        file.unlink()
        file.symlink_to(target)
        assert exposure(file) == belongs(tmp_path / "eve")


def test_where_the_current_folder_is_gone(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert exposure(file) is None


def test_a_link_in_a_ring_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "ring").symlink_to("ring")
    assert exposure(tmp_path / "ring") is None  # and it cannot be opened


@pytest.mark.parametrize("mode", [0o777, 0o757, 0o702])
def test_a_folder_that_all_can_write_to(file: Path, tmp_path: Path, mode: int) -> None:
    (tmp_path / "a").chmod(mode)
    assert exposure(file) == f"{tmp_path / 'a'} can be written by others"


def test_a_file_that_all_can_write_to(file: Path) -> None:
    file.chmod(0o646)
    assert exposure(file) == "it can be written by others"


def test_with_the_sticky_bit_folders_are_ones_own_and_files_are_not(
    file: Path, tmp_path: Path
) -> None:
    """Another user moves, or links, a file of one's own to where it means another thing."""
    sticky = tmp_path / "a"
    sticky.chmod(0o1777)
    assert exposure(file) is None
    inside = "is in a folder that others can write to"
    (sticky / "netsurgery.toml").touch()
    assert exposure(sticky / "netsurgery.toml") == f"it {inside}"
    assert exposure(sticky / "b" / ".." / "netsurgery.toml") is not None
    assert exposure(sticky / "not there yet") == f"it {inside}"
    (sticky / "link").symlink_to("b")
    assert exposure(sticky / "link" / file.name) == f"{sticky / 'link'} {inside}"


def test_another_users_folder_in_one_with_the_sticky_bit(
    file: Path, tmp_path: Path, give: Give
) -> None:
    (tmp_path / "a").chmod(0o1777)
    give(file.parent, EVE)
    assert exposure(file) == belongs(file.parent)


#: The group of a new file.
GROUP = os.getegid() if hasattr(os, "getegid") else 0


def user(name: str, number: int, group: int) -> SimpleNamespace:
    return SimpleNamespace(pw_name=name, pw_uid=number, pw_gid=group)


@pytest.mark.parametrize(
    ("members", "others", "acl", "private"),
    [
        ([], [], False, True),  # umask 002: a group that only the user has
        (["me"], [], False, True),
        (["me", "eve"], [], False, False),
        ([], [("eve", EVE, GROUP)], False, False),  # eve's first group, too
        (["nobody knows"], [], False, False),
        ([], [], True, False),
    ],
)
def test_a_folder_that_a_group_can_write_to(
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    members: list[str],
    others: list[tuple[str, int, int]],
    acl: bool,
    private: bool,
) -> None:
    import grp
    import pwd

    users = [
        user("me", os.geteuid(), GROUP),
        user("eve", EVE, 1),
        *(user(*account) for account in others),
    ]
    by_name = {account.pw_name: account for account in users}
    monkeypatch.setattr(pwd, "getpwall", lambda: users)
    monkeypatch.setattr(pwd, "getpwnam", lambda name: by_name[name])
    monkeypatch.setattr(pwd, "getpwuid", lambda number: users[0])
    monkeypatch.setattr(grp, "getgrgid", lambda number: SimpleNamespace(gr_mem=members))
    monkeypatch.setattr(ownership, "_has_acl", lambda place: acl)
    file.parent.chmod(0o775)
    file.chmod(0o664)
    message = f"{file.parent} can be written by others"
    assert exposure(file) == (None if private else message)


def test_a_group_without_a_name_or_members_is_not_private(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import grp
    import pwd

    file.parent.chmod(0o775)
    with monkeypatch.context() as patch:
        patch.setattr(grp, "getgrgid", lambda number: {}[number])
        assert exposure(file) is not None
    monkeypatch.setattr(grp, "getgrgid", lambda number: SimpleNamespace(gr_mem=[]))
    monkeypatch.setattr(pwd, "getpwall", list)
    monkeypatch.setattr(pwd, "getpwuid", lambda number: user("me", number, GROUP + 1))
    assert exposure(file) == f"{file.parent} can be written by others"


def test_an_acl_by_which_another_user_may_write(file: Path) -> None:
    """The ACL as the kernel keeps it: version, then tag, permissions and id of each entry."""
    if not hasattr(os, "setxattr"):
        pytest.skip("no ACLs of POSIX here")
    entries = ((1, 7, -1), (2, 7, EVE - (1 << 32)), (4, 5, -1), (0x10, 7, -1), (0x20, 5, -1))
    acl = (2).to_bytes(4, "little") + b"".join(
        tag.to_bytes(2, "little")
        + may.to_bytes(2, "little")
        + who.to_bytes(4, "little", signed=True)
        for tag, may, who in entries
    )
    try:
        os.setxattr(file.parent, "system.posix_acl_access", acl)
    except OSError as error:
        pytest.skip(f"no ACLs on this file system: {error}")
    assert file.parent.stat().st_mode & stat.S_IWGRP
    assert exposure(file) == f"{file.parent} can be written by others"


def test_root_is_trusted_and_for_root_the_caller_of_sudo(
    file: Path, give: Give, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(file, EVE)
    assert exposure(file) is not None
    monkeypatch.setattr(ownership.os, "geteuid", lambda: 0)  # type: ignore[attr-defined]
    for caller, known in ((str(EVE), True), ("1", False), ("", False), ("x", False), ("9" * 99, 0)):
        monkeypatch.setenv("SUDO_UID", caller)
        own = ownership._own_users()
        assert 0 in own
        assert (EVE in own) == bool(known)
    monkeypatch.setenv("SUDO_UID", str(EVE))
    monkeypatch.setattr(ownership.os, "geteuid", lambda: 1)  # type: ignore[attr-defined]
    assert ownership._own_users() == {0, 1}


def test_what_is_trusted_and_all_below_it(file: Path, tmp_path: Path, give: Give) -> None:
    give(file, EVE)
    give(file.parent, EVE)
    give(tmp_path / "a", EVE)
    for trusted in (file, file.parent, tmp_path / "a", Path("/")):
        assert exposure(file, [str(trusted)]) is None
    for path in (tmp_path / "a" / "b2", tmp_path / "a" / "b" / "netsurgery", tmp_path / "z"):
        assert exposure(file, [str(path)]) == belongs(tmp_path / "a")


def test_what_is_on_the_way_is_trusted_for_what_is_trusted_only(
    file: Path, tmp_path: Path, give: Give
) -> None:
    beside = tmp_path / "a" / "other"
    beside.touch()
    give(tmp_path / "a", EVE)
    assert exposure(file, [str(file.parent)]) is None
    assert exposure(beside, [str(file.parent)]) == belongs(tmp_path / "a")


def test_a_link_that_leads_out_of_what_is_trusted(file: Path, tmp_path: Path, give: Give) -> None:
    path = tmp_path / "eve"
    path.mkdir()
    (path / "x").touch()
    give(path, EVE)
    (file.parent / "out").symlink_to(path)
    give(file.parent, EVE)
    assert exposure(file.parent / "out" / "x", [str(file.parent)]) == belongs(path)
    trusted = [str(file.parent / "out")]  # the link and what it leads to
    assert exposure(file.parent / "out" / "x", trusted) is None


@as_root
def test_what_is_ones_own_as_another_user() -> None:
    """Not patched: one file seen by root and by its owner, who trusts the folders of root."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        file = Path(folder, "netsurgery.toml")
        file.touch()
        os.chown(file, EVE, EVE)
        assert exposure(file) == belongs("it")
        pid = os.fork()
        if not pid:
            code = 1
            try:
                os.setresuid(EVE, EVE, EVE)
                code = 0 if exposure(file) is None else 1
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
