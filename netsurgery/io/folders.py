"""The folders of outputs, made where they are missing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from netsurgery.errors import OutputError
from netsurgery.io.cleanup import Undo, step
from netsurgery.io.targets import check_links

__all__ = ["output_folders"]


@contextmanager
def output_folders(paths: Iterable[Path]) -> Iterator[None]:
    """Make the outputs' folders, one level; those that were made are removed on an error.

    Raises OutputError.
    """
    undos = []
    try:
        for folder in {path.parent for path in paths}:
            if not folder.exists():
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
