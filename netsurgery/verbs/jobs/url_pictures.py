"""Pictures at URLs, of which the worker that does them has a copy meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from netsurgery.errors import ImageError, MemoryLimitError
from netsurgery.io.url_files import fetch_url

if TYPE_CHECKING:
    from netsurgery.maps.any_picture import AnyPicture
    from netsurgery.maps.image import Picture

__all__ = ["opened_url", "without_copy"]


@contextmanager
def opened_url(url: str, scratch: Path) -> Iterator[Picture]:
    """The picture at a URL, called by it; the copy in a folder goes with the context.

    Raises ImageError where it cannot be fetched or read, and JobError where the library that the
    URL needs is not installed.
    """
    from netsurgery.maps.image import out_of_memory_named, renamed
    from netsurgery.maps.large_file import open_picture

    with ExitStack() as stack:
        try:
            folder = scratch / "pictures"
            folder.mkdir(exist_ok=True)
            copy = str(stack.enter_context(fetch_url(url, folder)))
        except OSError as error:
            raise ImageError(f"{url}: {error.strerror}") from error
        try:
            with out_of_memory_named(url):
                picture = open_picture(copy)
        except (ImageError, MemoryLimitError) as error:
            raise ImageError(str(error).replace(copy, url)) from error
        yield renamed(picture, url)


def without_copy(message: str, image: AnyPicture) -> str:
    """A message about a picture, with its URL in the place of its copy's name."""
    from netsurgery.maps.image import Picture, picture_file

    if not isinstance(image, Picture):
        return message
    return message.replace(picture_file(image), image.name)
