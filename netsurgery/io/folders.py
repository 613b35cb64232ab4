"""The folders of outputs, made where they are missing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from netsurgery.errors import OutputError
from netsurgery.io.cleanup import Undo, step
from netsurgery.io.targets import STDOUT, check_links

__all__ = ["check_output_folder", "make_folder", "output_folders"]


def check_output_folder(folder: Path, hint: str = "") -> None:
    """Raise OutputError for what is no folder for outputs: standard output, or a file."""
    if str(folder) == STDOUT:
        raise OutputError(f"{STDOUT}: is standard output, expected a folder for the outputs{hint}")
    if os.path.isfile(folder):
        raise OutputError(f"{folder}: is a file, expected a folder for the outputs{hint}")


def make_folder(path: str) -> None:
    """Make a folder where there is none. Raises OutputError."""
    check_links(path)
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror}") from error


@contextmanager
def output_folders(paths: Iterable[Path]) -> Iterator[None]:
    """Make the outputs' folders, one level; those that were made are removed on an error.

    Raises OutputError.
    """
    undos = []
    try:
        for folder in {path.parent for path in paths}:
            if not os.path.exists(folder):
                check_links(folder)
                try:
                    with step:
                        folder.mkdir()
                        undos.append(Undo(folder.rmdir))
                except (FileNotFoundError, FileExistsError, NotADirectoryError):
                    pass  # what is wrong with its name is said when a file goes there
                except OSError as error:
                    raise OutputError(f"{folder}: {error.strerror}") from error
        yield
    except BaseException:
        for undo in undos:
            with suppress(OSError):
                undo()
        raise
    finally:
        for undo in undos:
            undo.forget()
