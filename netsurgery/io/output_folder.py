"""Outputs that are folders, and appear whole or not at all, as `netsurgery.io.files` has it.

A folder is filled under a temporary name beside its place and renamed when it is complete; a later
run removes what killed ones have left (`netsurgery.io.locked_folder`).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

from netsurgery.errors import OutputError
from netsurgery.io.cleanup import Undo, step
from netsurgery.io.files import temporary_name
from netsurgery.io.locked_folder import (
    lock_folder,
    machine_mark,
    make_locked_folder,
    remove_dead_folders,
    unlock_folder,
)
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


#: Of the temporary names.
_PATTERN = r"\..*\.{}\.[0-9a-f]{{12}}\.netsurgery-tmp"


class OutputFolder:
    """A folder that is filled as `temporary`, and takes its place when the ``with`` is left."""

    def __init__(self, path: str, *, force: bool = False) -> None:
        self.path, self.force = path, force
        self.target = os.path.realpath(path)

    def __enter__(self) -> OutputFolder:
        with one_line(self.path):
            pattern = _PATTERN.format(machine_mark())
            remove_dead_folders(os.path.dirname(self.target), pattern, _remove)
            with step:
                self.temporary, self._fd = make_locked_folder(self._new_name)
                self._undo = Undo(lambda: _remove(self.temporary))
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is None:
                with ExitStack() as stack, one_line(self.path):
                    with step:
                        old = self._put(stack)
                    if old is not None:
                        _remove(old)
        finally:
            self._undo()
            unlock_folder(self._fd)

    def _new_name(self, mark: str) -> str:
        """A temporary name beside the target; one has 255 bytes at most."""
        folder, name = os.path.split(self.target)
        short = os.fsdecode(os.fsencode(name)[:180])
        return temporary_name(os.path.join(folder, f"{short}.{mark}"))

    def _put(self, stack: ExitStack) -> str | None:
        """Put the folder in its place; what was there has another name then, which is returned, and
        is locked as long as the stack lasts."""
        check_links(self.path)
        old = None
        if os.path.lexists(self.target):
            if not self.force:
                raise OutputError(f"{self.path}: exists already; {argument('--force')} replaces it")
            stack.callback(close_quietly, lock_folder(self.target, wait=False))
            old = self._new_name(machine_mark())
            os.rename(self.target, old)
        try:
            os.rename(self.temporary, self.target)
        except OSError:
            if old is not None:
                os.rename(old, self.target)
            raise
        return old


def _remove(folder: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
