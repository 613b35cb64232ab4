"""Outputs that are folders, and appear whole or not at all, as `netsurgery.io.files` has it.

A folder is filled under a temporary name beside its place and renamed when it is complete. It is
locked for as long as the process that made it lives, so that a later run removes dead ones only.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from netsurgery.errors import OutputError
from netsurgery.io.cleanup import Undo, step
from netsurgery.io.files import TEMPORARY, temporary_name
from netsurgery.io.locks import lock
from netsurgery.io.segments import close_quietly
from netsurgery.io.targets import check_links, one_line
from netsurgery.io.unreadable import url_in
from netsurgery.io.wording import argument

__all__ = ["OutputFolder", "check_output_folders"]


def check_output_folders(
    paths: Iterable[str], signs: Iterable[str], *, inputs: Iterable[str] = (), force: bool = False
) -> None:
    """Refuse, before any work, folders that could not or must not be written. Raises OutputError.

    signs: files of which a folder of the kind has one; no other folder is replaced.
    """
    holders = _holders(inputs)
    for path in paths:
        with one_line(path):
            check_links(path)
            _check(path, os.path.realpath(path), signs, holders, force)


def _holders(inputs: Iterable[str]) -> dict[str, str]:
    """The inputs that there are, and every folder above one -> the input's name."""
    holders: dict[str, str] = {}
    for name in inputs:
        if os.path.exists(name):
            target = Path(os.path.realpath(name))
            for each in (target, *target.parents):
                holders.setdefault(str(each), name)
    return holders


def _check(
    path: str, target: str, signs: Iterable[str], holders: Mapping[str, str], force: bool
) -> None:
    if url_in(path):
        raise OutputError(f"{url_in(path)}: is a URL, not a folder")
    if not os.path.isdir(os.path.dirname(target)):
        folder = os.path.dirname(path)
        raise OutputError(f"{path}: there is no folder {folder}; make it first (mkdir -p)")
    if (name := holders.get(target)) is not None:
        raise OutputError(f"{path}: holds an input ({name}); give the output another name")
    if not os.path.lexists(target):
        return
    if not force:
        raise OutputError(f"{path}: exists already; {argument('--force')} replaces it")
    if not any(os.path.isfile(os.path.join(target, sign)) for sign in signs):
        raise OutputError(
            f"{path}: found none of {', '.join(signs)} in it, so it is not replaced; remove it"
        )


class OutputFolder:
    """A folder that is filled as `temporary`, and takes its place when the ``with`` is left."""

    def __init__(self, path: str, *, force: bool = False) -> None:
        self.path, self.force = path, force
        self.target = os.path.realpath(path)

    def __enter__(self) -> OutputFolder:
        with one_line(self.path):
            _remove_dead(os.path.dirname(self.target))
            with step:
                self.temporary = temporary_name(self.target)
                os.mkdir(self.temporary)
                self._undo = Undo(lambda: shutil.rmtree(self.temporary, ignore_errors=True))
            self._fd = _opened(self.temporary)
            if self._fd >= 0:
                lock(self._fd, wait=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is None:
                with one_line(self.path), step:
                    old = self._put()
                if old is not None:
                    shutil.rmtree(old, ignore_errors=True)
        finally:
            self._undo()
            close_quietly(self._fd)

    def _put(self) -> str | None:
        """Put the folder in its place; what was there has another name then, which is returned."""
        check_links(self.path)
        old = None
        if os.path.lexists(self.target):
            if not self.force:
                raise OutputError(f"{self.path}: exists already; {argument('--force')} replaces it")
            old = temporary_name(self.target)
            os.rename(self.target, old)
        try:
            os.rename(self.temporary, self.target)
        except OSError:
            if old is not None:
                os.rename(old, self.target)
            raise
        return old


def _remove_dead(folder: str) -> None:
    """Remove temporary folders whose makers are gone."""
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if not TEMPORARY.fullmatch(name) or os.path.islink(path) or not os.path.isdir(path):
            continue
        fd = _opened(path)
        if fd >= 0 and lock(fd, wait=False):
            shutil.rmtree(path, ignore_errors=True)
        close_quietly(fd)


def _opened(folder: str) -> int:
    """A descriptor to lock the folder by; -1 where there is none, as on Windows."""
    try:
        return os.open(folder, os.O_RDONLY)
    except OSError:
        return -1
