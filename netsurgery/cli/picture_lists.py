"""The pictures of a command that takes many: IMAGE..., --from and -r."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from netsurgery.cli.command import useless
from netsurgery.cli.files import IMAGE, LIST

__all__ = ["pictures_argument"]

F = TypeVar("F", bound=Callable[..., Any])

_IMAGES = click.argument("images", metavar="[IMAGE...]", nargs=-1, type=IMAGE)
_FROM = click.option(
    "--from",
    "lists",
    metavar="FILE",
    multiple=True,
    type=LIST,
    help="Images named in a file, a line each or with a zero byte behind each (find -print0); - is "
    "standard input; repeatable.",
)
_RECURSIVE = useless("where no IMAGE is a folder", lambda values: not _has_folder(values))(
    click.option(
        "-r",
        "--recursive",
        is_flag=True,
        help="Take the images in folders, and in all folders below them.",
    )
)


def _has_folder(values: Mapping[str, Any]) -> bool:
    """Whether there is a folder, or a list, in which there may be one."""
    return bool(values["lists"]) or any(map(os.path.isdir, values["images"]))


def _pictures(images: tuple[str, ...], lists: tuple[str, ...], recursive: bool) -> tuple[str, ...]:
    from netsurgery.maps.picture_list import listed, read_list

    pictures = list(listed(images, recursive=recursive))
    for path in lists:
        pictures += listed(read_list(path), recursive=recursive, patterns=False)
    return tuple(pictures)


def pictures_argument(command: F) -> F:
    """IMAGE..., --from and -r; the command gets all that they stand for as `images`.

    And the `lists`, which no output may replace. Raises UsageError for none of them, and ImageError
    for a list that cannot be read.
    """

    @functools.wraps(command)
    def wrapped(
        *args: Any, images: tuple[str, ...], lists: tuple[str, ...], recursive: bool, **kwargs: Any
    ) -> Any:
        if not images and not lists:
            raise click.UsageError("missing argument IMAGE..., or a list of them: --from FILE")
        if lists or recursive or not all(map(os.path.isfile, images)):
            images = _pictures(images, lists, recursive)
        return command(*args, images=images, lists=lists, **kwargs)

    return _IMAGES(_FROM(_RECURSIVE(wrapped)))  # type: ignore[return-value]
