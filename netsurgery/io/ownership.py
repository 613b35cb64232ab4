"""Who else can decide what a path leads to, by the rules of git and OpenSSH.

Whoever owns a file, a folder or a symbolic link on the way to it, or may write to one of those
folders, chooses what is read there. Root, who may do anything anyway, and for root the user who
called sudo, count as oneself. In a folder where others may write with the sticky bit, as /tmp, a
folder of one's own is safe, since only its owner can move it. A file or a link is not: others may
have moved it there, or given it a second name there. What passes cannot be changed by others
afterwards either, so that it may be opened by its path.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

__all__ = ["exposure", "foreign_link", "is_own"]

#: As many symbolic links are followed; Linux follows no more.
_LINKS = 40


def exposure(path: Path | str, exempt: Sequence[str] = ()) -> str | None:
    """How others decide what `path` holds, as "it belongs to another user (eve)"; None if not.

    Where that is so of a folder or a link on the way, it is named instead. exempt: absolute paths;
    they, all below and what is on the way to them are taken for one's own. Always None on Windows,
    where `os.stat` does not know owners.
    """
    if sys.platform == "win32":
        return None
    # The current folder may be gone, and is not asked for where the path is whole.
    whole = os.fspath(path) if os.path.isabs(path) else os.path.join(os.getcwd(), path)
    roots = {
        os.path.realpath(trusted): {place for place, _ in _steps(trusted)} for trusted in exempt
    }
    own, shared, exposed = _own_users(), set[str](), dict[str, str]()
    for place, state in _steps(whole):
        ways = [way for root, way in roots.items() if _is_below(place, root)]
        if ways:
            exposed = {at: why for at, why in exposed.items() if not any(at in way for way in ways)}
        elif why := _why(place, state, os.path.dirname(place) in shared, own):
            exposed[place] = why
        if state is not None and stat.S_ISDIR(state.st_mode) and _is_shared(place, state, own):
            shared.add(place)
    return next((f"{'it' if at == whole else at} {why}" for at, why in exposed.items()), None)


def foreign_link(path: Path | str) -> str | None:
    """The first symbolic link on the way to `path` that another user made, with who that is.

    Root's links, and one's own, are followed by whoever follows links; the kernel does likewise in
    /tmp (protected_symlinks). None where there is no such link, and on Windows.
    """
    if sys.platform == "win32":
        return None
    own = _own_users()
    whole = os.fspath(path) if os.path.isabs(path) else os.path.join(os.getcwd(), path)
    for place, state in _steps(whole):
        if state is not None and stat.S_ISLNK(state.st_mode) and state.st_uid not in own:
            return f"{place} is a symbolic link of another user ({_name(state.st_uid)})"
    return None


def is_own(state: os.stat_result) -> bool:
    """Whether a file is one's own, or root's."""
    return sys.platform == "win32" or state.st_uid in _own_users()


def _own_users() -> set[int]:
    own = {0, os.geteuid()}
    caller = os.environ.get("SUDO_UID", "")
    if os.geteuid() == 0 and caller.isascii() and caller.isdigit() and len(caller) <= 10:
        own.add(int(caller))
    return own


def _steps(path: str) -> Iterator[tuple[str, os.stat_result | None]]:
    """Every folder, link and file on the way, the root first; None for one that is not there."""
    current, left, links = "/", path.split("/")[::-1], 0
    yield current, os.lstat(current)
    while left:
        name = left.pop()
        if name in ("", ".", ".."):
            current = os.path.dirname(current) if name == ".." else current
            continue
        place = os.path.join(current, name)
        try:
            state = os.lstat(place)
            target = os.readlink(place) if stat.S_ISLNK(state.st_mode) else None
        except OSError:
            yield place, None
            return
        yield place, state
        if target is None:
            current = place
        elif links < _LINKS:
            links, left = links + 1, left + target.split("/")[::-1]
            current = "/" if target.startswith("/") else current
        else:
            return


def _is_below(place: str, root: str) -> bool:
    return place == root or place.startswith(root.rstrip("/") + "/")


def _why(place: str, state: os.stat_result | None, shared: bool, own: set[int]) -> str | None:
    """What is wrong with one step; `shared`: it lies in a folder that others may write to."""
    is_folder = state is not None and stat.S_ISDIR(state.st_mode)
    if state is not None and state.st_uid not in own:
        return f"belongs to another user ({_name(state.st_uid)})"
    if shared and not is_folder:
        return "is in a folder that others can write to"
    if state is None or stat.S_ISLNK(state.st_mode) or not _is_shared(place, state, own):
        return None
    return None if is_folder and state.st_mode & stat.S_ISVTX else "can be written by others"


def _name(user: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"uid {user}"


def _is_shared(place: str, state: os.stat_result, own: set[int]) -> bool:
    """Whether others may write to a file or folder."""
    if state.st_mode & stat.S_IWOTH:
        return True
    if not state.st_mode & stat.S_IWGRP:
        return False
    return _has_acl(place) or not _is_private(state.st_gid, own)


def _has_acl(place: str) -> bool:
    """Whether others than owner and group may write by an ACL; the group's bit stands for them."""
    try:
        return bool(os.getxattr(place, "system.posix_acl_access"))
    except (OSError, AttributeError):  # none there; macOS has no such call
        return False


def _is_private(group: int, own: set[int]) -> bool:
    """Whether a group has members and all are oneself: umask 002 goes with such groups."""
    import grp
    import pwd

    users = {user.pw_name: user for user in pwd.getpwall()}
    with contextlib.suppress(KeyError):  # a directory service may know users it does not list
        users.setdefault("", pwd.getpwuid(os.geteuid()))
    try:
        named = [users.get(name) or pwd.getpwnam(name) for name in grp.getgrgid(group).gr_mem]
    except KeyError:
        return False
    members = {user.pw_uid for user in users.values() if user.pw_gid == group}
    members |= {user.pw_uid for user in named}
    return bool(members) and members <= own
