"""Options that name a model and say how pictures are fed to it, for commands that run one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from netsurgery.cli.options import FILE_PATH, WordType, parse_size

__all__ = ["model_options", "picture_options"]

F = TypeVar("F", bound=Callable[..., Any])

_SIZES = ("net", "image")


class MapSizeType(WordType[str | tuple[int, int]]):
    """``net``, ``image`` or a size."""

    def __init__(self) -> None:
        super().__init__("net|image|HxW", _map_size)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [CompletionItem(word) for word in _SIZES if word.startswith(incomplete)]


def _map_size(text: str) -> str | tuple[int, int]:
    if text.lower() in _SIZES:
        return text.lower()
    try:
        return parse_size(text)
    except ValueError as error:
        raise ValueError(f"{error}, net or image") from None


def model_options(command: F) -> F:
    """--prototxt and --weights; the command gets `prototxt` and `weights`, None where not given."""
    prototxt = click.option(
        "--prototxt",
        metavar="FILE",
        type=FILE_PATH,
        envvar="NETSURGERY_PROTOTXT",
        help="The net (default: what netsurgery.toml says, here or above).",
    )
    weights = click.option(
        "--weights",
        metavar="FILE",
        type=FILE_PATH,
        envvar="NETSURGERY_WEIGHTS",
        help="Its caffemodel (default: what netsurgery.toml says).",
    )
    return prototxt(weights(command))


def picture_options(command: F) -> F:
    """--fit, --antialias and --size.

    The command gets `fit`, `antialias` and `size`: "net", "image" or (height, width).
    """
    fit = click.option(
        "--fit",
        type=click.Choice(["warp", "crop", "pad"]),
        default="warp",
        show_default=True,
        envvar="NETSURGERY_FIT",
        help="How the image is made as large as the input: each side scaled on its own, as Caffe "
        "does; or the aspect ratio kept, what sticks out cropped, or the rest padded with zeros.",
    )
    antialias = click.option(
        "--antialias/--no-antialias",
        default=True,
        show_default=True,
        envvar="NETSURGERY_ANTIALIAS",
        help="Blur before shrinking, as caffe.io does today; in Caffe's own time it did not.",
    )
    size = click.option(
        "--size",
        type=MapSizeType(),
        default="net",
        show_default=True,
        envvar="NETSURGERY_SIZE",
        help="Size of the net's input: the prototxt's, the image's own, or HEIGHTxWIDTH.",
    )
    return fit(antialias(size(command)))
