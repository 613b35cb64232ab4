"""Outputs that are folders, and appear whole or not at all, as `netsurgery.io.files` has it.

A folder is filled under a temporary name beside its place and renamed when it is complete. It is
locked for as long as the process that made it lives, so that a later run removes dead ones only.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from netsurgery.errors import OutputError
from netsurgery.io.cleanup import Undo, step
from netsurgery.io.locks import lock
from netsurgery.io.segments import close_quietly
from netsurgery.io.targets import check_links, one_line
from netsurgery.io.unreadable import url_in
from netsurgery.io.wording import argument

__all__ = ["OutputFolder", "check_output_folders"]

_TEMPORARY = re.compile(r"\..*\.[0-9a-f]{12}\.netsurgery-tmp", re.DOTALL)


def check_output_folders(
    paths: Iterable[str], signs: Iterable[str], *, inputs: Iterable[str] = (), force: bool = False
) -> None:
    """Refuse, before any work, folders that could not or must not be written. Raises OutputError.

    signs: files of which a folder of the kind has one; no other folder is replaced.
    """
    for path in paths:
        with one_line(path):
            check_links(path)
            _check(path, os.path.realpath(path), signs, inputs, force)


def _check(
    path: str, target: str, signs: Iterable[str], inputs: Iterable[str], force: bool
) -> None:
    if url_in(path):
        raise OutputError(f"{url_in(path)}: is a URL, not a folder")
    if not os.path.isdir(os.path.dirname(target)):
        folder = os.path.dirname(path)
        raise OutputError(f"{path}: there is no folder {folder}; make it first (mkdir -p)")
    for name in inputs:
        if os.path.exists(name) and Path(os.path.realpath(name)).is_relative_to(target):
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
                self.temporary = _temporary_name(self.target)
                os.mkdir(self.temporary)
                self._undo = Undo(lambda: shutil.rmtree(self.temporary, ignore_errors=True))
            self._fd = os.open(self.temporary, os.O_RDONLY)
            lock(self._fd, wait=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is None:
                with one_line(self.path), step:
                    self._put()
        finally:
            self._undo()
            close_quietly(self._fd)

    def _put(self) -> None:
        check_links(self.path)
        old = None
        if os.path.lexists(self.target):
            if not self.force:
                raise OutputError(f"{self.path}: exists already; {argument('--force')} replaces it")
            old = _temporary_name(self.target)
            os.rename(self.target, old)
        try:
            os.rename(self.temporary, self.target)
        except OSError:
            if old is not None:
                os.rename(old, self.target)
            raise
        if old is not None:
            shutil.rmtree(old, ignore_errors=True)


def _temporary_name(target: str) -> str:
    folder, name = os.path.split(target)
    short = os.fsdecode(os.fsencode(name)[:200])
    return os.path.join(folder, f".{short}.{os.urandom(6).hex()}.netsurgery-tmp")


def _remove_dead(folder: str) -> None:
    """Remove temporary folders whose makers are gone."""
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if not _TEMPORARY.fullmatch(name) or os.path.islink(path) or not os.path.isdir(path):
            continue
        try:
            fd = os.open(path, os.O_RDONLY)
        except OSError:
            continue
        if lock(fd, wait=False):
            shutil.rmtree(path, ignore_errors=True)
        close_quietly(fd)
