"""Pictures of a job, of which those at URLs are copied for the worker that does them."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from netsurgery.errors import ImageError, MemoryLimitError, OutputError
from netsurgery.io.unreadable import as_url
from netsurgery.io.url_files import copy_name, fetch_url

if TYPE_CHECKING:
    from netsurgery.maps.any_picture import AnyPicture
    from netsurgery.maps.image import Picture

__all__ = ["is_read_once", "picture_at", "without_copy"]


def is_read_once(name: str) -> bool:
    """Whether a name leads to a pipe or a device, which each process has of its own, if at all."""
    try:
        mode = os.stat(name).st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


@contextmanager
def picture_at(name: str, scratch: Path | None) -> Iterator[AnyPicture]:
    """A picture, by its name; one at a URL is opened, and called by it, as long as this lasts.

    scratch: where its copy is meanwhile; None where nothing is to be copied. Raises ImageError
    where a picture at a URL cannot be fetched or read, or is no file, for which it would be waited,
    OutputError where there is no room for the copy, and JobError where the library that it needs is
    not installed.
    """
    if is_read_once(name):  # as /dev/stdin, where the driver's was a file
        raise ImageError(f"{name}: is not a regular file")
    if scratch is None or not as_url(name):
        yield name
        return
    with _opened_url(name, scratch) as picture:
        yield picture


@contextmanager
def _opened_url(url: str, scratch: Path) -> Iterator[Picture]:
    from netsurgery.maps.image import out_of_memory_named, renamed
    from netsurgery.maps.large_file import open_picture

    folder = _folder(scratch)
    with ExitStack() as stack:
        try:
            folder.mkdir(exist_ok=True)
            copy = str(stack.enter_context(fetch_url(url, folder)))
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):  # which is not the picture's fault
                raise OutputError(
                    f"no room for a copy of {url}: {error.strerror}; TMPDIR names another folder"
                ) from error
            raise ImageError(f"{url}: {error.strerror}") from error
        try:
            with out_of_memory_named(url):
                picture = open_picture(copy)
        except (ImageError, MemoryLimitError) as error:
            raise ImageError(without_copy(str(error), url, scratch)) from error
        yield renamed(picture, url)


def without_copy(message: str, name: str, scratch: Path) -> str:
    """A message about a picture, with its URL in the place of its copy's name, if it has one."""
    if not as_url(name):
        return message
    return message.replace(str(_folder(scratch) / copy_name(name)), name)


def _folder(scratch: Path) -> Path:
    return scratch / "pictures"
